"""The time of points, also while the wall clock is wrong.

Theory of operation. A clock that says less than the day on which this version was released, or a
century more, is wrong. There are two cases.

A board without a battery for its clock starts in 1970 and is set by a time server once there is a
network. Until then `now_ns` counts from the start of the machine, the encoder marks such times by a
NUL, which occurs nowhere else in a line, and the output is held: lines wait in the queue, within
its bounds. When the clock is set the difference is known, and each line gets the time at which its
values were taken. If that takes longer than `HOLD_S`, or the agent stops before, the lines are
written without a time, and the reader stamps them on arrival: on another machine it may know the
time, and on one that never will its database has the same clock, so that the points are found.

A clock that jumps out of the range while we run is counted on from before the jump.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, Final

from twisted.application.service import Service
from twisted.logger import Logger

from metrics_agent._version import RELEASED
from metrics_agent.clock import wall_ns
from metrics_agent.timer import Timer

__all__ = ["EARLIEST_NS", "HOLD_S", "LATEST_NS", "PointClock", "steady_ns"]

HOLD_S: Final = 600.0
"""As long as a router may take until a time server can be reached after a power failure."""
LOOK_S: Final = 1.0

_SECOND_NS: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
EARLIEST_NS: Final = round(
    datetime.fromisoformat(f"{RELEASED}T00:00:00+00:00").timestamp() * _SECOND_NS
)
"""A clock that says less is not set."""
LATEST_NS: Final = EARLIEST_NS + 100 * 365 * 24 * 3600 * _SECOND_NS
"""A clock that says this or more is wrong."""

_MARKED: Final = re.compile(rb" \x00(-?\d+)\n")

# Time goes on while the machine sleeps; elsewhere than on Linux there is no such clock.
_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_ns() -> int:
    """Return nanoseconds since about the start of the machine, on a clock that never jumps."""
    return time.clock_gettime_ns(_STEADY)


class _State(Enum):
    RIGHT = "right"
    CARRIED_ON = "carried on"
    HELD = "held"
    WITHOUT = "without"


class PointClock(Service):
    """Says what time it is, as far as that is known.

    Args:
        clock: provides callLater.
        log: where a wrong clock is reported, and its end.
        hold: called at the start if the output has to wait; it is `finish` that makes lines of what
            was queued meanwhile.
        release: called when it need not wait any more.
        wall_ns: the wall clock.
        steady_ns: a clock that never jumps.
    """

    def __init__(
        self,
        clock: Any,
        log: Logger,
        hold: Callable[[], object],
        release: Callable[[], object],
        *,
        wall_ns: Callable[[], int] = wall_ns,
        steady_ns: Callable[[], int] = steady_ns,
    ) -> None:
        self._clock = clock
        self._log = log
        self._wall_ns = wall_ns
        self._steady_ns = steady_ns
        self._timer = Timer(clock, self._look)
        self._hold = hold
        self._release = release
        self._until_s = 0.0
        self._unset_offset_ns = 0
        now_ns = wall_ns()
        self._offset_ns = now_ns - steady_ns()
        self._state = _State.RIGHT if _is_right(now_ns) else _State.HELD

    def startService(self) -> None:
        """Report a clock that is not set, and hold the output until it is."""
        super().startService()
        if self._state is not _State.HELD:
            return
        self._log.warn(
            "The clock of this machine says {now}, which is wrong: this version was released on "
            "{released}. Metrics are held until the clock is set, for {minutes:g} min at most, and "
            "then get the time at which they were collected.",
            released=RELEASED,
            now=_shown(self._wall_ns()),
            minutes=HOLD_S / 60,
            fold=False,
        )
        self._until_s = self._clock.seconds() + HOLD_S
        self._hold()
        self._timer.start(LOOK_S)

    def stopService(self) -> None:
        """Look at the clock no more."""
        super().stopService()
        self._timer.stop()

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch, or since the machine's start while it has no time."""
        state = self._state
        if state is _State.HELD or state is _State.WITHOUT:
            return self._steady_ns()
        now_ns = self._wall_ns()
        if not _is_right(now_ns):
            return self._carry_on(now_ns)
        # Noted each time: it is what remains if the clock jumps.
        self._offset_ns = now_ns - self._steady_ns()
        if state is _State.CARRIED_ON:
            self._state = _State.RIGHT
            self._log.info("The clock of this machine is right again.", fold=False)
        return now_ns

    def stamp(self, time_ns: int) -> bytes:
        """Write the time of a line, with a blank before it, that may come from an unset clock.

        Args:
            time_ns: a time before `line_protocol.UNSET_BEFORE_NS`.
        """
        if self._state is _State.HELD:
            return b" \x00%d" % time_ns
        if self._state is _State.WITHOUT:
            return b""
        return b" %d" % (time_ns + self._unset_offset_ns)

    def finish(self, lines: bytes) -> bytes:
        """Return lines with the times that `stamp` has marked: the right ones, or none."""
        if self._state is _State.HELD:
            return _MARKED.sub(b"\n", lines)
        return _MARKED.sub(lambda match: b"%b\n" % self.stamp(int(match[1])), lines)

    def _carry_on(self, wrong_ns: int) -> int:
        if self._state is _State.RIGHT:
            self._state = _State.CARRIED_ON
            self._log.warn(
                "The clock of this machine jumped to {now}, which is wrong. Metrics get the time "
                "counted on from before, until it is right again.",
                now=_shown(wrong_ns),
                fold=False,
            )
        return self._offset_ns + self._steady_ns()

    def _look(self) -> float | None:
        """See whether the clock was set meanwhile."""
        now_ns = self._wall_ns()
        if _is_right(now_ns):
            self._offset_ns = self._unset_offset_ns = now_ns - self._steady_ns()
            self._state = _State.RIGHT
            self._log.info(
                "The clock of this machine is set: it says {now}.", now=_shown(now_ns), fold=False
            )
            self._release()
            return None
        if self._state is _State.HELD and self._clock.seconds() >= self._until_s:
            self._state = _State.WITHOUT
            self._log.warn(
                "The clock of this machine is not set after {minutes:g} min: metrics are written "
                "without a time until it is, and get that of their arrival.",
                minutes=HOLD_S / 60,
                fold=False,
            )
            self._release()
        return LOOK_S


def _is_right(now_ns: int) -> bool:
    return EARLIEST_NS <= now_ns < LATEST_NS


def _shown(now_ns: int) -> str:
    return f"{_EPOCH + timedelta(seconds=now_ns // _SECOND_NS):%Y-%m-%d %H:%M:%S} UTC"
