"""The base of the attacks: an agent with two steady modules, measured during an attack."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from tests.faults.case import HEALTHY_NAMES, STEADY_INTERVAL_MS, TOP, FaultCase
from tests.faults.row import Measured, record
from tests.faults.turns import MODULES, TABLE, longest_turn_ms
from tests.hostile.rows import hostile
from tests.hostile.scale import ALL, count
from tests.integration.broker import Mosquitto
from tests.integration.case import QUIET, logged
from tests.integration.load import Load
from tests.integration.watching import memory_bytes, peak_bytes, until

__all__ = ["ATTEMPTS", "GAP_LIMIT_MS", "MEBI", "HostileCase", "Toll"]

MEBI: Final = 1024 * 1024
GAP_LIMIT_MS: Final = 100.0
GROWTH_LIMIT: Final = 40 * MEBI
DEVICE_BYTES: Final = 1200
WORKS_AGAIN_S: Final = 3.0
WORKS_S: Final = count(300.0, 20.0)
"""What an attack of full length has left to do takes that long on a busy machine."""
TOP_OF_ATTACKS: Final = TOP.replace('module_start_timeout = "500ms"\n', "")
"""A start restores the devices that were known, tens of thousands here."""
ATTEMPTS: Final = 3
"""A busy machine stops a process now and then: the best of so many attempts counts."""

FAST_RECONNECT: Final = {"reconnect_min": "100ms", "reconnect_max": "300ms", "keepalive": "5s"}

_CONTROL: Final = """
import sys, time
file = open(sys.argv[1], "w", buffering=1)
before = time.monotonic_ns()
print("ready", flush=True)
while True:
    time.sleep(0.01)
    now = time.monotonic_ns()
    if now - before > 15_000_000:
        file.write(f"{now} {(now - before) / 1e6 - 10}\\n")
    before = now
"""
"""Writes when the machine itself was late with a 10 ms timer, and by how many milliseconds."""


@frozen
class Toll:
    """What an attack cost the others.

    Attributes:
        gap_ms: the longest gap of a steady module beyond its interval.
        control_ms: of a timer in another process at the same time.
        turn_ms: the longest turn of the reactor, without waiting for a processor.
        grown: how far the resident memory rose above what it was before, at its highest.
    """

    gap_ms: float
    control_ms: float
    turn_ms: float
    grown: int

    @property
    def excess_ms(self) -> float:
        """The part of the gap that is not the machine's.

        On a busy machine whoever works waits longer than a timer that sleeps, even for less than
        it has worked; that part is not in the turn.
        """
        return min(self.gap_ms - self.control_ms, self.turn_ms)

    def __str__(self) -> str:
        return (
            f"gap {self.gap_ms:.0f} ms, the machine's own {self.control_ms:.0f} ms, "
            f"turn {self.turn_ms:.0f} ms, memory +{self.grown / MEBI:.1f} MB"
        )


class HostileCase(FaultCase):
    """Attacks an agent and says what that did to it."""

    timeout = 1800 if ALL else 60

    def setUp(self) -> None:
        super().setUp()
        self._gaps_ms: dict[str, float] = {}
        self._records = False

    async def record(self) -> None:
        """Account for the messages of all agents of this test, and record its rows."""
        one, zero = await self.accounts()
        for name, gap_ms in self._gaps_ms.items():
            record(hostile(name), Measured(gap_ms=gap_ms, qos1=one, qos0=zero))

    async def agent(self, text: str, **how: Any) -> Any:
        """Start an agent with two steady modules and what is attacked."""
        self.healthy_beside(text)
        return await self.start_beside(**how)

    def healthy_beside(self, text: str, top: str = TOP_OF_ATTACKS) -> None:
        """Write a configuration with the module that measures turns, too."""
        super().healthy_beside(f"{text}\n{TABLE}", top)

    def parent(self, **how: Any) -> Any:
        """Make a parent for an agent with that module."""
        return super().parent(modules={**MODULES, **(how.pop("modules", None) or {})}, **how)

    def _start_control(self) -> None:
        if hasattr(self, "control"):
            return  # a second agent
        self._control_log = self.directory / "control"
        self.control = subprocess.Popen(
            [sys.executable, "-c", _CONTROL, str(self._control_log)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self._end_control)
        assert self.control.stdout is not None
        self.control.stdout.readline()

    def tasmota_at(self, url: str, **settings: Any) -> str:
        """Return the table of the module tasmota at a broker."""
        keys = {"client_id": "agent", **FAST_RECONNECT, **settings}
        lines = "".join(f"{key} = {_toml(value)}\n" for key, value in keys.items())
        return f'[modules.tasmota]\nenabled = true\nbroker = "{url}"\n{lines}'

    async def house(self, broker: Mosquitto | None = None, **settings: Any) -> tuple[Any, Load]:
        """Start a broker, an agent with the module tasmota, and two good devices.

        Returns:
            The agent's parent and the devices.
        """
        broker = broker or Mosquitto.start(self, settings=QUIET)
        self.broker = broker
        parent = await self.agent(self.tasmota_at(broker.url, **settings))
        self.parent_of_house = parent
        await self.said(parent, "Connected to", "I")
        load = await Load.connect(self, broker.port, devices=2)
        await self.subscribed(parent, load)
        await self.works(parent, load)
        return parent, load

    async def works(self, parent: Any, load: Load, limit_s: float = WORKS_S) -> None:
        """Send a good device's messages until one arrives: all that came before has been read.

        One may not: a broker drops messages at QoS 0 for who is still behind.
        """
        deadline_s = time.monotonic() + limit_s
        while True:
            left_s = deadline_s - time.monotonic()
            try:
                await self._works(parent, load, max(0.1, min(left_s, WORKS_AGAIN_S)))
            except AssertionError:
                if left_s <= WORKS_AGAIN_S:
                    raise
            else:
                return

    async def _works(self, parent: Any, load: Load, limit_s: float) -> None:
        had = max(0, len(parent.output) - 1)
        before = dict(load.sent)
        load.send(1)
        ((device, number),) = load.sent.items() - before.items()
        sent = f",device={device}".encode(), f"energy_total={number}".encode()

        def arrived() -> bool:
            # Only from where it was: the output of a long attack is large.
            return any(
                sent[0] in line and sent[1] in line
                for line in bytes(parent.output[had:]).split(b"\n")
            )

        await until(
            arrived, lambda: f"message {number} of {device}: {logged(parent.log[-30:])}", limit_s
        )

    # The measurement.

    async def attack(
        self,
        name: str,
        parent: Any,
        attack: Callable[[], Awaitable[object]],
        *,
        devices: int = 0,
        again: bool = True,
        may_exhaust: bool = False,
    ) -> Toll:
        """Attack, up to three times if a gap was too long, and judge.

        Args:
            name: of the row.
            parent: of the agent.
            attack: ends when the agent has dealt with it.
            devices: how many new ones the agent may keep.
            again: whether the attack can be repeated.
            may_exhaust: the agent may run out of memory, and then end in order with status 1.
        """
        pid, starts = parent.agent_pid, parent.starts
        tolls = [await self._one_attack(parent, attack)]
        while again and tolls[-1].excess_ms > GAP_LIMIT_MS and len(tolls) < ATTEMPTS:
            tolls.append(await self._one_attack(parent, attack))
        if may_exhaust and parent.exits:
            self.assert_exhausted(parent)
            self._gaps_ms[name] = tolls[-1].gap_ms
            return tolls[-1]
        toll = min(tolls, key=lambda each: each.excess_ms)
        grown = max(each.grown for each in tolls)
        sys.stderr.write(f"[{name}: {'; '.join(map(str, tolls))}] ")
        self.assertEqual((parent.agent_pid, parent.starts), (pid, starts), logged(parent.log[-20:]))
        self.assertLessEqual(toll.excess_ms, GAP_LIMIT_MS, f"{name}: {toll}")
        self.assertLessEqual(grown, GROWTH_LIMIT + devices * DEVICE_BYTES, f"{name}: {toll}")
        self._gaps_ms[name] = toll.gap_ms
        return toll

    async def _one_attack(self, parent: Any, attack: Callable[[], Awaitable[object]]) -> Toll:
        pid = parent.agent_pid
        had = len(parent.output)
        _forget_peak(pid)
        before = memory_bytes(pid)
        began_ns = time.monotonic_ns()
        await attack()
        ended_ns = time.monotonic_ns()
        grown = peak_bytes(pid) - before if parent.agent_pid == pid else 0
        # A stall that the attack began may not have ended.
        await self._beat(parent, ended_ns)
        return Toll(
            max(self._steady_gaps_ms(parent, had)),
            self._control_ms(began_ns),
            longest_turn_ms(bytes(parent.output[had:]), began_ns),
            max(0, grown),
        )

    async def _beat(self, parent: Any, since_ns: int) -> None:
        """Wait until all that measures has emitted something after a moment."""
        steady = [(b"steady,", b":%s" % name.encode()) for name in HEALTHY_NAMES]

        def beats() -> bool:
            tail = bytes(parent.output[-100_000:]).split(b"\n")[1:-1]
            return all(
                any(
                    line.startswith(name) and tag in line and _time_ns(line) > since_ns
                    for line in tail
                )
                for name, tag in (*steady, (b"turns ", b""))
            )

        await until(beats, lambda: f"the steady modules: {logged(parent.log[-20:])}", 10)

    def _steady_gaps_ms(self, parent: Any, had: int) -> list[float]:
        times: dict[bytes, list[int]] = {}
        for line in bytes(parent.output[max(0, had - 2000) :]).split(b"\n")[1:-1]:
            if line.startswith(b"steady,"):
                head, _, when = line.rpartition(b" ")
                times.setdefault(head.split(b" ")[0], []).append(int(when))
        gaps = [
            (later - sooner) / 1e6 - STEADY_INTERVAL_MS
            for each in times.values()
            for sooner, later in pairwise(each)
        ]
        self.assertTrue(gaps, "the steady modules are silent")
        return gaps

    def _control_ms(self, since_ns: int) -> float:
        gaps = [0.0]
        for line in self._control_log.read_text().splitlines():
            when, gap = line.split()
            if int(when) > since_ns:
                gaps.append(float(gap))
        return max(gaps)

    def assert_exhausted(self, parent: Any) -> None:
        """The agent has ended once, for want of memory, and was started again."""
        self.assertEqual((parent.exits[0], parent.starts), (1, 2), logged(parent.log[-20:]))
        self.assertTrue(self.lines_with(parent, "memory ran out"), logged(parent.log[-20:]))

    async def ends_well(self, parent: Any) -> None:
        """Stop the agent in order; it ran from start to end."""
        self.assertLess(await self.stop(parent), 6)
        self.assertEqual((parent.exits, parent.starts), ([0], 1), logged(parent.log[-20:]))
        self.assert_valid(parent)

    async def stop(self, parent: Any) -> float:
        """Stop the agent once its messages have arrived; return the seconds that it took."""
        await self.delivered(parent)
        took_s = float(await parent.stop())
        if not self._records:
            self._records = True
            self.addCleanup(self.record)  # of this agent and those that are still to come
        return took_s


def _time_ns(line: bytes) -> int:
    return int(line.rsplit(b" ", 1)[1])


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else str(value)
