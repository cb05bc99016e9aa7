"""The last lines of the log: written even where the process hangs, and read before it ends.

Telegraf closes its end of the log's pipe when we have ended, and what it has not read by then is
lost: the very lines that say why. So the last thing that a process does is to wait until they are
read.
"""

from __future__ import annotations

import time
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from typing import Any, Final

from metrics_agent.process.descriptors import STDERR, unread_bytes
from metrics_agent.process.standstill import RunningClock

__all__ = ["say", "wait_until_read"]

_LOOK_S: Final = 0.005
_SAY_S: Final = 1.0
_READER_WAIT_S: Final = 0.2


def say(words: Callable[[], object]) -> None:
    """Call ``words``, which log, and wait for their reader, no longer than a second in all.

    In a thread of its own: the log may be what hangs, and its locks may be held by the code
    that a signal has interrupted. Not one of `threading`, whose start waits until it runs: where
    memory is short that may be forever.

    Raises:
        RuntimeError: there are no more threads; MemoryError is possible too.
    """
    said = allocate_lock()
    said.acquire()

    def run() -> None:
        try:
            words()
            wait_until_read(STDERR, _READER_WAIT_S)
        finally:
            said.release()

    start_new_thread(run, ())
    said.acquire(timeout=_SAY_S)


def wait_until_read(
    fd: int,
    timeout_s: float,
    *,
    unread: Callable[[int], int] = unread_bytes,
    clock: Any = time,
) -> bool:
    """Wait until the reader of a pipe has taken all of it; blocks.

    Args:
        fd: for anything but a pipe with a reader there is nothing to wait for.
        timeout_s: the longest wait.
        unread: returns how many bytes wait in the pipe; asks the kernel by default.
        clock: provides ``monotonic`` and ``sleep``.

    Returns:
        False if the reader was not that fast.
    """
    running = RunningClock(clock.monotonic)
    end_s = running.seconds() + timeout_s
    while unread(fd):
        if running.seconds() >= end_s:
            return False
        clock.sleep(_LOOK_S)
    return True
