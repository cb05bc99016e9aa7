"""The base of the tests of the matrix: two steady modules run beside what breaks."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from typing import Any, Final

from attrs import frozen
from twisted.internet.threads import deferToThread

from tests.faults.row import Measured, Row, record
from tests.integration.case import AgentCase

__all__ = ["GAP_LIMIT_MS", "FaultCase", "Point"]

GAP_LIMIT_MS: Final = 100.0
STEADY_INTERVAL_MS: Final = 10.0
MODULES: Final = {
    "steady": "tests.faults.faulty:STEADY",
    "faulty": "tests.faults.faulty:FAULTY",
}

HEALTHY: Final = """
[modules."steady:one"]
enabled = true
[modules."steady:two"]
enabled = true
"""

TOP: Final = """
restart_backoff_min = "100ms"
restart_backoff_max = "200ms"
module_start_timeout = "500ms"
module_stop_timeout = "300ms"
self_metrics_interval = "200ms"
"""

_POINT = re.compile(rb"(\w+),?(\S*) (?:.*,)?number=(\d+)i.* (\d+)\Z")

_CONTROL: Final = """
import sys, threading, time
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
longest, before = 0, time.monotonic_ns()
print("ready", flush=True)
while not ended.is_set():
    time.sleep(0.01)
    now = time.monotonic_ns()
    longest, before = max(longest, now - before), now
print(longest / 1e6)
"""
"""Shows what the machine itself makes of a 10 ms timer at the same time."""


@frozen
class Point:
    """A numbered metric of a module of `faulty`."""

    measurement: str
    tags: str
    number: int
    time_ns: int


class FaultCase(AgentCase):
    """Runs an agent with two healthy modules, and judges how they fared."""

    timeout = 120

    # What runs.

    def healthy_beside(self, text: str, top: str = TOP) -> None:
        """Write a configuration with the two steady modules and what is under test."""
        self.configure(f"{top}\n{HEALTHY}\n{text}")

    async def start_beside(self, **how: Any) -> Any:
        """Start the agent, and the control beside it."""
        self._start_control()
        return await self.start(modules=MODULES, **how)

    def _start_control(self) -> None:
        self.control = subprocess.Popen(
            [sys.executable, "-c", _CONTROL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self._end_control)

    async def control_gap_ms(self) -> float:
        """End the control; return the longest gap that the machine itself has made."""
        out, _ = await deferToThread(self.control.communicate, "")
        return float(out.split()[-1])

    def _end_control(self) -> None:
        self.control.kill()
        self.control.communicate()

    # What happened.

    def points(self, parent: Any, measurement: str) -> list[Point]:
        """Return the numbered metrics of a measurement, in order of the output."""
        found = (_POINT.match(line) for line in parent.lines())
        return [
            Point(match[1].decode(), match[2].decode(), int(match[3]), int(match[4]))
            for match in found
            if match and match[1].decode() == measurement
        ]

    def steady(self, parent: Any) -> tuple[float, int]:
        """Return the longest gap of the healthy modules in ms beyond their interval, and holes.

        Each instance counts from 1; between two instances of a module time passes too.
        """
        longest_ns = lost = 0
        for module in ("one", "two"):
            lives: dict[str, list[Point]] = {}
            mine = [each for each in self.points(parent, "steady") if f":{module}" in each.tags]
            self.assertTrue(mine, f"nothing of steady:{module}")
            for point in mine:
                lives.setdefault(point.tags, []).append(point)
            for life in lives.values():
                lost += life[-1].number - len({point.number for point in life})
            times = sorted(point.time_ns for point in mine)
            gaps = [later - sooner for sooner, later in pairwise(times)]
            longest_ns = max(longest_ns, *gaps)
        return max(0.0, longest_ns / 1e6 - STEADY_INTERVAL_MS), lost

    async def judge(
        self, row: Row, parent: Any, *, recovered_ms: float | None = None, lost: int = 0
    ) -> None:
        """Assert that the healthy modules fared well, and record what was measured."""
        control_ms = await self.control_gap_ms()
        gap_ms, others_lost = self.steady(parent)
        self.assert_valid(parent)
        self.assertEqual(others_lost, 0, "metrics of healthy modules are missing")
        if not row.next_layer:
            # What the machine itself does to a timer is not the agent's doing.
            limit_ms = GAP_LIMIT_MS + 2 * control_ms
            self.assertLess(gap_ms, limit_ms, f"the machine's own: {control_ms:.0f} ms")
        record(row, Measured(recovered_ms, gap_ms, others_lost, lost))
