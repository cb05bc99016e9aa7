"""What the demo shows on a terminal."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.characters import visible
from metrics_agent.commands.demo_summary import Summary
from metrics_agent.commands.status_table import fit
from tests.commands.test_status_table import device, module, series


def whole(*modules: dict[str, Any], metrics: int = 0, uptime: float = 10.0) -> dict[str, Any]:
    """Make the state of an agent."""
    return {"agent": {"metrics": metrics, "uptime": uptime}, "modules": list(modules)}


def plug(name: str, **fields: Any) -> dict[str, Any]:
    """Make a device with last values of one series."""
    return device(device=name, series=[series("electricity", {}, **fields)])


class SummaryTests(SynchronousTestCase):
    """The lines of one look after the other."""

    def test_rate(self) -> None:
        """Of the time since the last look, the first since the start."""
        summary = Summary()
        for metrics, uptime, expected in ((100, 10, "10 "), (250, 15, "30 "), (250, 15, "0 ")):
            line = list(summary.lines(whole(metrics=metrics, uptime=uptime), []))[1]
            self.assertTrue(line.startswith(f"{expected}metrics/s of 0 devices"), line)

    def test_states(self) -> None:
        """Modules by their states, with the last error of those that do not run."""
        modules = (
            module(last_error="old"),
            module(module="demo", state_text="backing_off", last_error="RuntimeError: x"),
            module(module="opendtu"),
        )
        lines = list(Summary().lines(whole(*modules), []))
        self.assertIn("; running: tasmota, opendtu; backing off: demo", lines[1])
        self.assertEqual(lines[2:], ["  demo: RuntimeError: x"])

    def test_values_take_turns(self) -> None:
        """The best known value of each device, with its unit, as many as fit on a line."""
        devices = [plug(f"{number} " + "x" * 28, voltage=230.0, power=1.0) for number in range(3)]
        summary = Summary()
        lines = [list(summary.lines(whole(), [*devices, device()]))[-1] for _ in range(2)]
        x = "x" * 28
        self.assertEqual(lines, [f"  0 {x} 1 W, 1 {x} 1 W", f"  2 {x} 1 W, 0 {x} 1 W"])
        one = list(Summary().lines(whole(), devices[2:]))[-1]
        self.assertEqual(one, f"  2 {x} 1 W")

    def test_value_of_the_whole_device(self) -> None:
        """Not that of a channel, whatever comes first."""
        both = device(
            series=[
                series("electricity", {"channel": "1"}, power=1.0),
                series("electricity", {}, power=3.0),
                series("climate", {}, temperature=20.0),
            ]
        )
        self.assertEqual(list(Summary().lines(whole(), [both]))[-1], "  plug 3 W")

    @given(st.text(), st.text())
    def test_any_text(self, name: str, error: str) -> None:
        """Lines are short and steer no terminal, whatever is in them."""
        modules = module(module=name, state_text="parked", last_error=error)
        for line in Summary().lines(whole(modules), [plug(name, power=1.0)]):
            self.assertEqual(line, visible(line))
            self.assertEqual(line, fit(line))
