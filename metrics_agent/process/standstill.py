"""A clock for deadlines that leaves out the time in which this process does not run.

A process may stand still: SIGSTOP, a frozen container, a debugger. The clocks of the system go on,
so that to a process that goes on again each of its deadlines is over, and a stop would end without
having had its time. This clock is read often while it matters, at least each `STEP_S`, and of the
time between two readings no more than `LONGEST_STEP_S` counts.

A sleep of the whole machine is not part of the monotonic clock. A clock that jumps, as under a
hypervisor or libfaketime, jumps by no more than one step here, and never back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

__all__ = ["LONGEST_STEP_S", "STEP_S", "RunningClock"]

STEP_S: Final = 0.1
LONGEST_STEP_S: Final = 2 * STEP_S


class RunningClock:
    """Seconds that pass while this process runs; any thread may read it.

    A reactor that is blocked still runs: the thread that waits for a deadline reads on.

    Args:
        clock: monotonic seconds, where this one begins.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._read_s = self._now_s = clock()

    def seconds(self) -> float:
        """Return the time."""
        with self._lock:
            read_s = self._clock()
            self._now_s += min(max(read_s - self._read_s, 0.0), LONGEST_STEP_S)
            self._read_s = read_s
            return self._now_s

    def drive(self, reactor: Any) -> None:
        """Have the timers of a reactor follow this clock from now on, and read it each step."""
        reactor.seconds = self.seconds

        def step() -> None:
            reactor.callLater(STEP_S, step)

        step()
