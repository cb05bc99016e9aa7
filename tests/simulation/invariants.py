"""What must be true at any time: memory is bounded, and each state change is logged once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final

from twisted.logger import LogLevel, formatEvent

from metrics_agent.agent import Agent
from metrics_agent.modules.tasmota import known
from metrics_agent.output.endpoint import EndpointWriter
from metrics_agent.output.http import writer as http_writer
from metrics_agent.output.http.writer import HttpWriter
from metrics_agent.output.path import PathWriter
from metrics_agent.state import directory
from metrics_agent.transports.mqtt import announcement_gate, inflow
from metrics_agent.transports.mqtt.settings import MOST_IN_FLIGHT
from tests.simulation import network
from tests.simulation.configuration import MODULE_STOP_S, PARK_S, RESTART_LIMIT

__all__ = ["DOWNS", "UPS", "Bounds", "LogPairs", "small_limits"]

_FRAME_BYTES: Final = 64 * 1024 + 1024 + 256
"""Set-aside messages may exceed their limit by one packet."""
_REWINDS: Final = (EndpointWriter, PathWriter)
_TAKEN_BACK_BYTES: Final = 1 << 20
"""Batches taken back from a lost connection of the output come on top of the queue."""
_BATCH_BYTES: Final = 1 << 20
_HELD_PARTS: Final = 3
"""Of full size: two that are searched and the next."""
"""A request has whole batches, at least one: the lines of one read, some of them long."""
_SLICE_S: Final = 0.02
"""How long it takes until the next slice of devices: then a stop may come before the last one."""
_KINDS_OF_LOG_LINES: Final = 1000
_READ_BYTES: Final = network.READ_BYTES
UPS: Final = {
    "Connected to {address}.": "connection",
    "Connected to {subject} again after {seconds:.0f} s.": "connection",
    "Connected to {subject} after {seconds:.0f} s.": "connection",
    "Started.": "module",
    "Started again, restart {count}.": "module",
    "The output works again, {count} metrics waited.": "output",
    "The queue has room again, {count} metrics were dropped.": "queue",
}
_PARKED: Final = "Parked after too many restarts; next attempt in {seconds:g} s."
DOWNS: Final = {
    "Cannot connect to {subject}: {cause}. Trying again.": "connection",
    "Lost the connection to {subject}: {cause}. Trying again.": "connection",
    "Restart {restart} in {seconds:.1f} s.": "module",
    _PARKED: "module",
    "Cannot write to the output: {cause}. Metrics are kept within the queue's bound, "
    "trying again.": "output",
    "The queue is full, the output is not read fast enough: the oldest metrics are dropped from "
    "now on, and counted.": "queue",
}
_STOPS_WITHIN_S: Final = MODULE_STOP_S + 0.1
"""A module that fails is stopped before it is logged what follows."""
_UP_AT_FIRST: Final = frozenset({"output", "queue"})
_REPEATS: Final = frozenset({"module"})
"""Each failed start is logged, with its own count."""


@contextmanager
def small_limits(random: Random) -> Iterator[None]:
    """Choose small limits: of reads, reading ahead, set-aside messages, turns and so on.

    So a few messages reach the limits, and a short run has many writes of state. No time passes in
    a turn, so with a negative limit each turn handles one message, or a few devices.
    """
    before = inflow.READ_AHEAD_BYTES, announcement_gate.SET_ASIDE_BYTES
    reads = inflow.FULL_READ_BYTES, network.READ_BYTES
    turn_s = inflow.TURN_S
    write_every_s = directory.WRITE_EVERY_S
    saving = known.SAVE_EVERY_S, known._SLICE_S, known._DEVICES_A_LOOK
    known.SAVE_EVERY_S = random.choice((2.0, saving[0]))  # type: ignore[misc]
    defer_later = known.deferLater
    known.deferLater = lambda clock, _delay_s: defer_later(clock, _SLICE_S)  # type: ignore[attr-defined]
    slices = (-1.0, 1), (-1.0, 1), saving[1:]
    known._SLICE_S, known._DEVICES_A_LOOK = random.choice(slices)  # type: ignore[misc]
    full_bytes = http_writer.FULL_BYTES
    http_writer.FULL_BYTES = random.choice((1 << 11, 1 << 14, full_bytes))  # type: ignore[misc]
    directory.WRITE_EVERY_S = random.choice((2.0, write_every_s))  # type: ignore[misc]
    inflow.READ_AHEAD_BYTES = random.choice((1000, 1 << 16, before[0]))  # type: ignore[misc]
    announcement_gate.SET_ASIDE_BYTES = random.choice((1 << 16, before[1], before[1]))  # type: ignore[misc]
    inflow.FULL_READ_BYTES = network.READ_BYTES = random.choice((1 << 11, *reads))  # type: ignore[misc]
    inflow.TURN_S = random.choice((-1.0, turn_s, turn_s))  # type: ignore[misc]
    try:
        yield
    finally:
        inflow.READ_AHEAD_BYTES, announcement_gate.SET_ASIDE_BYTES = before  # type: ignore[misc]
        inflow.FULL_READ_BYTES, network.READ_BYTES = reads  # type: ignore[misc]
        inflow.TURN_S = turn_s  # type: ignore[misc]
        directory.WRITE_EVERY_S = write_every_s  # type: ignore[misc]
        known.deferLater = defer_later  # type: ignore[attr-defined]
        known.SAVE_EVERY_S, known._SLICE_S, known._DEVICES_A_LOOK = saving  # type: ignore[misc]
        http_writer.FULL_BYTES = full_bytes  # type: ignore[misc]


class LogPairs:
    """Checks that one logger reports down once and up once, in turn.

    It also checks that a module is parked only after too many restarts within the window.

    Args:
        violate: called with what must not happen.
        seconds: the clock.
        window_s: in which restarts count.
        stood_still: says whether the process has: then a start may take too long.
    """

    def __init__(
        self,
        violate: Callable[[str], object],
        seconds: Callable[[], float] = lambda: 0.0,
        window_s: float = 0.0,
        stood_still: Callable[[], bool] = lambda: False,
    ) -> None:
        self._violate = violate
        self._seconds = seconds
        self._window_s = window_s
        self._stood_still = stood_still
        self._restarts_s: list[float] = []
        self._proven_s = 0.0
        self._is_up = dict.fromkeys(_UP_AT_FIRST, True)
        self._said: set[tuple[str, str]] = set()

    def take(self, event: Any) -> None:
        """Take an event of the log.

        The agent contains and logs a fault, or Twisted logs it as unhandled: so every exception
        shows in the log.
        """
        failure = event.get("log_failure")
        if (
            failure is not None
            and not self._is_late(failure)
            and not event.get("module", "").startswith("numbered")
        ):
            trace = failure.getTraceback()[-1500:]
            self._violate(f"an exception outside the modules that raise: {trace}")
        if event["log_level"] is LogLevel.debug:
            return
        text = event["log_format"]
        if (subject := UPS.get(text)) is not None:
            if self._is_up.get(subject):
                self._violate(f"logged twice without its opposite: {text}")
            self._is_up[subject] = True
            self._said = {each for each in self._said if each[0] != subject}
        elif (subject := DOWNS.get(text)) is not None:
            self._is_up[subject] = False
            if subject == "module":
                self._count_restart(parked=text == _PARKED)
            line = subject, formatEvent(event)
            if line in self._said and subject not in _REPEATS:
                self._violate(f"logged twice of one outage: {line[1]}")
            self._said.add(line)

    def _is_late(self, failure: Any) -> bool:
        late = failure.check(TimeoutError) and "did not start" in failure.getErrorMessage()
        return bool(late) and self._stood_still()

    def _count_restart(self, *, parked: bool) -> None:
        now_s = self._seconds()
        if not parked:
            self._restarts_s.append(now_s)
            return
        from_s = now_s - self._window_s - _STOPS_WITHIN_S
        recent = sum(each > from_s for each in self._restarts_s)
        if self._window_s and recent < RESTART_LIMIT and now_s >= self._proven_s:
            self._violate(f"parked after {recent} restarts within {self._window_s:g} s")
        self._proven_s = now_s + PARK_S + self._window_s


class Bounds:
    """Compares what an agent keeps in memory with its bounds.

    Args:
        violate: called with what must not happen.
        folder: of the log.
    """

    def __init__(self, violate: Callable[[str], object], folder: Any) -> None:
        self._violate = violate
        self._folder = folder
        self._parts: list[bytes] = []

    def check(self, agent: Agent) -> None:
        """Compare now."""
        sink = agent._parts.sink
        queued, limit = sink.queued_bytes, sink._queue._limit_bytes
        if queued > limit and (
            not isinstance(sink._writer, _REWINDS) or queued > limit + _TAKEN_BACK_BYTES
        ):
            self._violate(f"{queued} bytes are queued, {limit} may be")
        if isinstance(sink._writer, HttpWriter):
            self._check_held(list(sink._writer._out.parts))
        for connection in agent._parts.connections.all():
            link = connection._link
            if link is not None:
                self._check_link(link)
        if len(self._folder._windows) > _KINDS_OF_LOG_LINES:
            self._violate("the log keeps too many kinds of lines")

    def _check_held(self, parts: list[bytes]) -> None:
        held, limit = sum(map(len, parts)), _HELD_PARTS * http_writer.FULL_BYTES
        if held > limit + _BATCH_BYTES:
            self._violate(f"{held} bytes are held for a database, {limit} may be")
        before, self._parts = self._parts, parts
        if before and parts and parts[0] is before[0] and held > sum(map(len, before)):
            self._violate("more lines are taken for a database that has not got those before")

    def _check_link(self, link: Any) -> None:
        unread, limit = link.inflow._bytes, inflow.READ_AHEAD_BYTES
        if unread > limit + network.READ_BYTES:
            self._violate(f"{unread} bytes are read ahead, {limit} may be")
        aside, limit = link.inflow.announcement_gate._bytes, announcement_gate.SET_ASIDE_BYTES
        if aside > limit + _FRAME_BYTES:
            self._violate(f"{aside} bytes are set aside, {limit} may be")
        if len(link.acknowledgements) > MOST_IN_FLIGHT + _READ_BYTES:
            self._violate(f"{len(link.acknowledgements)} messages are not acknowledged")
