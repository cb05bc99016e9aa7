"""The base of the tests of the matrix: two steady modules run beside what breaks.

A third one takes numbered messages at QoS 1 and at QoS 0 from a broker of its own, all the time;
what became of each is judged at the end, see `ledger`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from attrs import frozen
from line_protocol_parser import parse_line
from twisted.internet.threads import deferToThread

from tests.faults.ledger import Account
from tests.faults.messages import ENOUGH, Messages, Receiver
from tests.faults.row import Measured, Row, record
from tests.integration.broker import Mosquitto, other_mosquitto
from tests.integration.case import AgentCase

__all__ = ["BESIDE", "GAP_LIMIT_MS", "HEALTHY_NAMES", "FaultCase", "Point", "numbered_table"]

GAP_LIMIT_MS: Final = 100.0
STEADY_INTERVAL_MS: Final = 10.0
MODULES: Final = {
    "steady": "tests.faults.faulty:STEADY",
    "faulty": "tests.faults.faulty:FAULTY",
    "numbered": "tests.faults.numbered:NUMBERED",
}
BESIDE: Final = Receiver("beside", "numbered:beside")

HEALTHY: Final = """
[modules."steady:one"]
enabled = true
[modules."steady:two"]
enabled = true
"""

HEALTHY_NAMES: Final = ("one", "two")

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
    """Runs an agent with two healthy modules, and judges how they fared.

    Attributes:
        gap_limit_ms: of a healthy module's metrics on the clock, beside what the machine makes.
    """

    timeout = 120
    gap_limit_ms = GAP_LIMIT_MS

    # What runs.

    def setUp(self) -> None:
        super().setUp()
        self.parents: list[Any] = []
        # In each row both mosquittos, where they are: one has the fault, the other is beside it.
        # A start on a busy machine takes longer than its default of 1,000 messages lasts.
        queue = ["max_queued_messages 0"]
        healthy = Mosquitto.start(self, settings=queue, program=other_mosquitto(self))
        self.beside = Messages(self, healthy, [BESIDE])
        self.messages = [self.beside]

    def healthy_beside(self, text: str, top: str = TOP) -> None:
        """Write a configuration with the three healthy modules and what is under test."""
        beside = numbered_table(BESIDE, self.beside.url)
        self.configure(f"{top}\n{HEALTHY}\n{beside}\n{text}")

    def parent(self, **how: Any) -> Any:
        """Make a parent for an agent with the modules of the matrix; it is not started."""
        modules = {**MODULES, **(how.pop("modules", None) or {})}
        parent = super().parent(modules=modules, **how)
        self.parents.append(parent)
        return parent

    async def start_beside(self, **how: Any) -> Any:
        """Start the agent, and the control beside it; messages are sent from before the start."""
        self._start_control()
        for each in self.messages:
            await each.begin()
        parent = await self.start(**how)
        for each in self.messages:
            each.agent_started()
        return parent

    async def delivered(self, parent: Any) -> None:
        """Wait until all that was sent at QoS 1 is in the output."""
        for each in self.messages:
            await each.delivered(parent)

    async def accounts(self, counted: int = 0) -> tuple[Account, Account]:
        """Account for the messages of all brokers; nothing is lost, and so many are counted."""
        sums = Account(), Account()
        for each in self.messages:
            one, zero = await each.accounts(self.parents)
            sums = sums[0] + one, sums[1] + zero
        for qos, account in zip((1, 0), sums, strict=True):
            self.assertEqual(account.lost, 0, f"lost at QoS {qos}: {account}")
            self.assertGreaterEqual(account.sent, ENOUGH, f"at QoS {qos}")
        self.assertEqual(sums[0].counted + sums[1].counted, counted, f"dropped: {sums}")
        return sums

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

    def self_metrics(self, parent: Any, module: str) -> Mapping[str, Any]:
        """Return the fields of the last row that the agent wrote about a module."""
        start = f"metrics_agent,module={module} ".encode()
        rows = [line for line in parent.lines() if line.startswith(start)]
        return parse_line(rows[-1])["fields"] if rows else {}

    def lives(self, parent: Any, module: str) -> list[list[Point]]:
        """Return the metrics of each instance of a healthy module, ``one`` or ``two``."""
        lives: dict[str, list[Point]] = {}
        for point in self.points(parent, "steady"):
            if f":{module}" in point.tags:
                lives.setdefault(point.tags, []).append(point)
        self.assertTrue(lives, f"nothing of steady:{module}")
        return list(lives.values())

    def gaps_ms(self, parent: Any) -> list[float]:
        """Return the gaps between two metrics of a healthy module, beyond its interval.

        Between two instances, and two processes, time passes too: the clock is the machine's.
        """
        gaps = [0.0]
        for module in HEALTHY_NAMES:
            times = sorted(each.time_ns for life in self.lives(parent, module) for each in life)
            gaps += [
                (later - sooner) / 1e6 - STEADY_INTERVAL_MS for sooner, later in pairwise(times)
            ]
        return gaps

    def holes(self, parent: Any) -> int:
        """Return how many numbers are missing; each instance counts from 1."""
        return sum(
            life[-1].number - len({point.number for point in life})
            for module in HEALTHY_NAMES
            for life in self.lives(parent, module)
        )

    def assert_every_life(self, parent: Any) -> None:
        """Of each instance that was started something is in the output, the first of all."""
        for module in HEALTHY_NAMES:
            lives = self.lives(parent, module)
            started = len(self.lines_with(parent, f"[steady:{module}] Started.", "I"))
            # The log may be incomplete, where no one reads it.
            self.assertGreaterEqual(len(lives), max(1, started), f"lives of steady:{module}")
            self.assertEqual({life[0].number for life in lives}, {1})

    async def judge(
        self, row: Row, parent: Any, *, recovered_ms: float | None = None, counted: int = 0
    ) -> tuple[Account, Account]:
        """Assert that the healthy modules fared well, and record what was measured.

        So many messages must have been counted as dropped; none may be lost.
        In rows of the next layer the gap is the one from the last metric before the fault to the
        first one after it, and what could not be collected in it is recorded as lost.
        """
        control_ms = await self.control_gap_ms()
        gaps_ms = self.gaps_ms(parent)
        gap_ms = max(gaps_ms)
        self.assert_valid(parent)
        self.assertEqual(self.holes(parent), 0, "metrics of healthy modules are missing")
        others_lost = 0
        if row.next_layer:
            # What was never collected, since nothing ran meanwhile.
            long_ms = [each for each in gaps_ms if each > GAP_LIMIT_MS]
            others_lost = round(sum(long_ms) / STEADY_INTERVAL_MS)
        else:
            self.assert_every_life(parent)
            # What the machine itself does to a timer is not the agent's doing.
            limit_ms = self.gap_limit_ms + 2 * control_ms
            self.assertLess(gap_ms, limit_ms, f"the machine's own: {control_ms:.0f} ms")
        one, zero = await self.accounts(counted)
        record(row, Measured(recovered_ms, gap_ms, others_lost, one, zero))
        return one, zero


def numbered_table(receiver: Receiver, url: str, **settings: Any) -> str:
    """Return the table of a module that takes numbered messages at a broker."""
    # The ledger takes the last ping for the one that a stop waits for: others are rare.
    keys = {"broker": url, "client_id": receiver.client_id, "keepalive": "1h", **settings}
    lines = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    return f'[modules."{receiver.module}"]\nenabled = true\n{lines}'
