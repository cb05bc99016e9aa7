"""How the process ends, and with which code.

`twistd` always exits with 0 (or dies by the signal), whatever happens inside. So the code is kept
here and applied by an atexit handler; it is registered before anything else, hence runs after
all others. A stop that hangs (a thread that never returns is joined by the reactor) is ended
by a daemon thread.
"""

from __future__ import annotations

import atexit
import gc
import os
import threading
from contextlib import suppress
from enum import IntEnum
from functools import partial
from typing import Any, Final

from metrics_agent.process.bounded_thread import BoundedThread
from metrics_agent.process.descriptors import STDERR
from metrics_agent.process.last_words import say, wait_until_read
from metrics_agent.process.standstill import STEP_S, RunningClock

__all__ = ["ExitCode", "ExitStatus"]

_READER_WAIT_S: Final = 0.5
"""How long the end waits for the reader of stderr; with the drain before it, less than 5 s."""


class ExitCode(IntEnum):
    """The codes of the contract with the parent; see docs/deployment.md."""

    STOPPED = 0
    FAILED = 1
    HUNG = 70
    CONFIG = 78


class ExitStatus:
    """The code this process will end with; the first that is not 0 wins.

    Args:
        hard_exit: ends the process at once; ``os._exit`` but in tests.
    """

    def __init__(self, hard_exit: object = None) -> None:
        self.code = ExitCode.STOPPED
        self._hard_exit = hard_exit if callable(hard_exit) else os._exit
        self._clock: RunningClock | None = None
        self._cancelled: threading.Event | None = None
        self._may_start_threads = True

    def set(self, code: ExitCode) -> None:
        """Remember the code, unless another than 0 is remembered already."""
        if self.code is ExitCode.STOPPED:
            self.code = code

    def register(self) -> None:
        """Make the code that of the process, also where the caller of us exits with 0."""
        atexit.register(self._at_exit)

    def _at_exit(self) -> None:
        # Whatever fails here (a sleep does under a faked clock): the code must be given.
        with suppress(Exception):
            wait_until_read(STDERR, _READER_WAIT_S)
        # The interpreter would look for garbage in all that we have, while the parent waits: that
        # takes several times as long as a stop itself.
        gc.freeze()
        if self.code is not ExitCode.STOPPED:
            self._hard_exit(int(self.code))

    def start_no_threads(self) -> None:
        """Leave deadlines to another: where memory is short the start of a thread may hang."""
        self._may_start_threads = False

    def leave_out_standstill(self, reactor: Any) -> None:
        """Count only time in which this process runs, for deadlines here and the reactor's timers.

        Called when a stop begins: one that is interrupted by SIGSTOP has its whole time all the
        same. Before, timers are for what happens outside, such as a broker's keepalive.
        """
        if self._clock is None:
            self._clock = RunningClock()
            self._clock.drive(reactor)

    def end_within(self, seconds: float, why: str = "") -> None:
        """End the process after that long, however it hangs; a later call replaces this one.

        Args:
            seconds: from now.
            why: see `now`.
        """
        self.cancel_deadline()
        if not self._may_start_threads:
            return
        clock = self._clock or RunningClock()
        cancelled = self._cancelled = threading.Event()
        end_s = clock.seconds() + seconds

        def wait() -> None:
            while (left_s := end_s - clock.seconds()) > 0:
                if cancelled.wait(min(left_s, STEP_S)):
                    return
            self.now(why)

        BoundedThread(wait, "deadline", daemon=True).start()

    def cancel_deadline(self) -> None:
        """Take the deadline back: the stop went through."""
        if self._cancelled is not None:
            self._cancelled.set()
            self._cancelled = None

    def now(self, why: str = "") -> None:
        """End the process at once, with the code so far; also called by signal handlers.

        Args:
            why: a clause for the log; empty where all is done and only a thread goes on, such as
                one that looks up a name.
        """
        try:
            if why and self._may_start_threads:
                say(partial(_log_the_end, why, self.code))
        finally:
            self._hard_exit(int(self.code))


def _log_the_end(why: str, code: ExitCode) -> None:
    # Not imported at the start: signals are taken before anything slow.
    from twisted.logger import Logger

    log = Logger(namespace=__name__)
    log.error("{why}: this process ends now, with status {status}.", why=why, status=int(code))
