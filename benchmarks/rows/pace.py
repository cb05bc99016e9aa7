"""What an agent costs at the pace of a real fleet: the figures to size a machine by."""

from __future__ import annotations

from typing import Final

from benchmarks.bench import Bench
from benchmarks.rows.base import Notebook, Row

__all__ = ["ROW"]

_DEVICES: Final = 500
_PACES: Final = {50: (3, 1), 1_000: (30, 4), 10_000: (80, 20)}
"""Messages a second, and how many rounds of the devices: in full, and to see that all works."""


def measure(bench: Bench, notebook: Notebook) -> None:
    """Send at QoS 1, the default, at some paces."""
    name = bench.agent.name
    for repetition in range(bench.repeat(3)):
        bench.say(f"pace: repetition {repetition + 1}")
        with bench.running(bench.agent, devices=_DEVICES, qos=1) as running:
            for pace, rounds in _PACES.items():
                outcome = running.send(running.load(bench.size(*rounds), rate=float(pace)))
                each = outcome.cpu_us
                notebook.add(f"CPU per message, QoS 1, {pace:,} msg/s", name, each, "us")
                notebook.add(f"CPU, QoS 1, {pace:,} msg/s", name, each * pace / 1e4, "%")
                notebook.add("lost", name, outcome.lost, target=0, floor=0)


ROW: Final = Row("pace", "CPU at the pace of a fleet, 500 devices, QoS 1", measure)
