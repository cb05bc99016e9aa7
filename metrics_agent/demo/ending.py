"""How the demo's processes end.

Ctrl-C reaches every process of a terminal, so SIGINT is ignored: the parent decides what it means.
A process ends by SIGTERM, and when its standard input ends: that is a pipe whose other end the
parent holds, so that nothing stays behind when the parent is killed. A terminal, a file or
/dev/null as standard input says nothing about a parent.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import time

__all__ = ["Ending", "ignore_interrupt"]

_STDIN = 0
_READ_BYTES = 4096


def ignore_interrupt() -> None:
    """Ignore SIGINT; to be called before anything slow is imported."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Ending:
    """Waits for the end; made in the main thread, once in a process."""

    def __init__(self) -> None:
        self._wakes, wakened = os.pipe()
        for fd in (self._wakes, wakened):
            os.set_blocking(fd, False)
        # The handler itself has nothing to do: the interpreter writes the signal's number there.
        signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        self._watched = [self._wakes, *([_STDIN] if _has_parent() else [])]
        self._ended = False

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the end has come, at most for a time; say whether it has."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._ended:
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            ready, _, _ = select.select(self._watched, [], [], left_s)
            if not ready:
                return False
            # What a parent writes is read and means nothing.
            self._ended = self._wakes in ready or not _drain()
        return True


def _has_parent() -> bool:
    try:
        mode = os.fstat(_STDIN).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _drain() -> bool:
    """Read what is there; say whether there may be more one day."""
    try:
        return bool(os.read(_STDIN, _READ_BYTES))
    except BlockingIOError:
        return True
    except OSError:
        return False
