"""The state of an agent as people see it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.commands.status_table import MOST_DEVICES, WIDTH, table


def state(**parts: Any) -> dict[str, Any]:
    """Make what an agent answers."""
    return {
        "problems": [],
        "agent": {
            "version": "1.2",
            "instance": "pi",
            "uptime": 90_000.0,
            "config": "/etc/metrics-agent/metrics-agent.toml",
            "memory": 40 * 2**20,
            "open_files": 17,
            "errors": 0,
            "queue_metrics": 0,
            "queue_bytes": 0,
            "delivery_lag": 0.0,
            "reactor_lag_max": 0.0031,
        },
        "modules": [],
        "connections": [],
        "outputs": [{"output": "stdout", "state_text": "running", "metrics": 7}],
        "devices": [],
        **parts,
    }


def module(**values: Any) -> dict[str, Any]:
    """Make the values of a module."""
    return {
        "module": "tasmota",
        "state_text": "running",
        "state_since": 7200.0,
        "restarts": 0,
        "restarts_recent": 0,
        "messages": 0,
        "metrics": 0,
        "errors": 0,
        **values,
    }


def device(**values: Any) -> dict[str, Any]:
    """Make the values of a device."""
    return {
        "module": "tasmota",
        "device": "plug",
        "friendly": "",
        "vendor": "tasmota",
        "last_seen": 3.0,
        "online": None,
        "stale": False,
        "interval": None,
        "series": [],
        **values,
    }


def series(measurement: str, tags: dict[str, str], **fields: Any) -> dict[str, Any]:
    """Make a series with its last values."""
    return {"measurement": measurement, "tags": tags, "fields": fields, "time": 1}


class TableTests(SynchronousTestCase):
    """What there is, and how it looks."""

    def shown(self, all_of: bool = False, **parts: Any) -> list[str]:
        return list(table(state(**parts), all_of=all_of))

    def test_all_well(self) -> None:
        """A short answer to a short question."""
        self.assertEqual(
            self.shown(modules=[module(metrics=12, last_metric=2.4, messages=5)]),
            [
                "metrics-agent 1.2 on pi, up 25 h",
                "/etc/metrics-agent/metrics-agent.toml",
                "reactor late by 3 ms at most, 40 MiB, 17 files, 0 errors",
                "All is well.",
                "",
                "MODULE                 STATE         SINCE    RESTARTS  METRICS    LAST",
                "tasmota                running       2 h      0         12         2 s",
                "  5 messages",
                "",
                "OUTPUT stdout: works, 7 metrics taken",
            ],
        )

    def test_a_module_that_fails(self) -> None:
        """Its restarts, its last error and what it has dropped."""
        failing = module(
            state_text="backing_off",
            restarts=9,
            restarts_recent=2,
            errors=4,
            dropped=3,
            dropped_oversized=3,
            last_error="ValueError('x')",
            last_error_place="tick",
            last_error_since=61.0,
        )
        problems = [{"module": "tasmota", "text": "is backing off: ValueError('x')"}]
        lines = self.shown(modules=[failing], problems=problems)
        self.assertIn("PROBLEM: tasmota is backing off: ValueError('x')", lines)
        at = lines.index("tasmota                backing off   2 h      9 (2)     0")
        self.assertEqual(
            lines[at + 1 : at + 3],
            [
                "  4 errors, dropped: 3 oversized",
                "  last error in tick, 61 s ago: ValueError('x')",
            ],
        )

    def test_connections_and_output(self) -> None:
        """Why they do not work, and what waits."""
        connections = [
            {
                "broker": "tcp://a:1883",
                "module_instance": "tasmota",
                "state_text": "backing_off",
                "last_error": "connection refused",
            }
        ]
        found = state()
        agent = {**found["agent"], "queue_metrics": 9, "queue_bytes": 2048, "delivery_lag": 130.0}
        outputs = [
            {
                "output": "tcp://b:1",
                "state_text": "backing_off",
                "metrics": 7,
                "last_error": "no route",
                "dropped": 5,
            }
        ]
        lines = self.shown(connections=connections, agent=agent, outputs=outputs)
        self.assertEqual(
            lines[-9:],
            [
                "",
                "CONNECTION                               MODULE                 STATE",
                "tcp://a:1883                             tasmota                not connected",
                "  connection refused",
                "",
                "OUTPUT tcp://b:1: DOES NOT WORK, 7 metrics taken",
                "  no route",
                "  9 metrics wait (2 KiB), the oldest for 2 min",
                "  5 metrics dropped",
            ],
        )

    def test_devices(self) -> None:
        """Those that are silent first; last values with units."""
        devices = [
            device(
                device="b",
                online=False,
                series=[series("electricity", {}, power=230.123456789, voltage=1e9)],
            ),
            device(device="c", last_seen=None),
            device(device="a", friendly="Zoo", stale=True, last_seen=400_000.0),
            device(device="d", series=[series("device", {}, online=True, last_seen=3.0)]),
            device(device="e", friendly=" ", last_seen=None, online=True),
            device(device="f", last_seen=None, online=False),
        ]
        lines = self.shown(devices=devices)
        at = lines.index("DEVICE                     LAST SEEN    LAST VALUES")
        self.assertEqual(
            lines[at + 1 :],
            [
                "Zoo                        5 d !",
                "b                          3 s off      power 230.123 W, voltage 1e+09 V",
                "c                          never",
                "d                          3 s          online yes",
                "e                          online",
                "f                          offline",
            ],
        )

    def test_one_device(self) -> None:
        """All its series, each on a line, with the tags that tell them apart."""
        plug = device(
            friendly="Plug",
            interval=300.0,
            series=[
                series("electricity", {"channel": "1"}, power=1.0),
                series("text", {}, mode="eco"),
            ],
        )
        lines = self.shown(all_of=True, devices=[plug])
        self.assertEqual(
            lines[-3:],
            [
                "Plug                       3 s          plug of tasmota, sends every 5 min",
                "    electricity 1: power 1 W",
                "    text: mode eco",
            ],
        )

    def test_many_devices(self) -> None:
        """No more than fit on some screens; the others are counted."""
        lines = self.shown(devices=[device(device=str(number)) for number in range(1000)])
        self.assertEqual(
            lines[-1], f"{1000 - MOST_DEVICES} more; --module, --device and --json show them"
        )
        self.assertLess(len(lines), MOST_DEVICES + 15)

    def test_reloads(self) -> None:
        """What the last one did."""
        modules = {"added": ["a"], "removed": [], "changed": [], "unchanged": ["b", "c"]}
        agent = state()["agent"]
        for reload, line in (
            (
                {"accepted": True, "since": 5.0, "modules": modules, "reasons": ""},
                "last reload 5 s ago, accepted (modules: 1 added, 2 unchanged)",
            ),
            (
                {"accepted": False, "since": 5.0, "modules": modules, "reasons": "line 3"},
                "last reload 5 s ago, REJECTED (line 3)",
            ),
        ):
            self.assertIn(line, self.shown(agent={**agent, "last_reload": reload}))

    def test_why_a_reload_was_rejected(self) -> None:
        """All of it: the next start will not accept that file either."""
        reasons = "/etc/metrics-agent/metrics-agent.toml:15: modules.demo.intervall: unknown key, "
        reasons += "did you mean `interval`?"
        reload = {"accepted": False, "since": 5.0, "modules": {}, "reasons": reasons}
        lines = self.shown(agent={**state()["agent"], "last_reload": reload})
        self.assertIn(f"REJECTED ({reasons})", " ".join(line.strip() for line in lines))
        self.assertLessEqual(max(map(len, lines)), WIDTH)

    @given(st.text(max_size=200), st.text(max_size=200))
    def test_any_name(self, name: str, text: str) -> None:
        """Names are texts: a row stays a row, as wide as a terminal, whatever they hold."""
        lines = self.shown(
            modules=[module(module=name, last_error=text, last_error_place="tick")],
            devices=[device(device=name, series=[series("text", {}, mode=text)])],
            problems=[{"module": name, "text": text}],
        )
        for line in lines:
            self.assertTrue(line.isprintable() or not line.isascii(), line)
            self.assertNotIn("\n", line)
        rows = [line for line in lines if "running" in line or line.startswith(name[:20] or "?")]
        for row in rows:
            if row.isascii() and "  last error" not in row and "PROBLEM" not in row:
                self.assertLessEqual(len(row), WIDTH + 1)

    def test_wide_characters(self) -> None:
        """Columns stay in line where a character takes two."""
        lines = self.shown(devices=[device(device="温度" * 20), device(device="x")])
        row = next(line for line in lines if "温" in line)
        self.assertTrue(row.startswith("温度" * 6 + ".."), row)
        self.assertTrue(row.endswith(".. 3 s"), row)
