"""A thread whose start does not wait without an end.

`threading.Thread.start` waits until the new thread runs. Where memory is short the thread may end
before that, and what started it, the reactor's thread for one, waits forever.
"""

from __future__ import annotations

import threading
from _thread import allocate_lock
from collections.abc import Callable
from typing import Any, Final

__all__ = ["BoundedThread", "use_bounded_threads"]

STEPS: Final = 20
STEP_S: Final = 0.25
"""A thread that does not run after so many steps is given up. On a busy machine it takes some
10 ms. In steps, since time in which the process stands still must not count."""


def use_bounded_threads(pool: Any) -> None:
    """Have a `twisted.python.threadpool.ThreadPool` make such threads."""
    pool.threadFactory = BoundedThread


class _BoundedEvent(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        wait = super().wait
        return wait(timeout) if timeout is not None else any(wait(STEP_S) for _ in range(STEPS))


class BoundedThread(threading.Thread):
    """A thread that runs soon after its start, or never.

    Args:
        target: called in the thread.
        name: of the thread.
        daemon: the process may end before it does.
    """

    def __init__(self, target: Callable[[], object], name: str, *, daemon: bool = False) -> None:
        super().__init__(target=target, name=name, daemon=daemon)
        # What `threading` waits for, in all Pythons so far.
        self._started = _BoundedEvent()
        self._claim = allocate_lock()
        self._runs = allocate_lock()
        self._runs.acquire()

    def start(self) -> None:
        """Start it; where this raises, the target is never called.

        Raises:
            RuntimeError: no thread can be made, or it does not run within some seconds.
            MemoryError: memory is short.
        """
        try:
            self._start_and_wait()
        except (RuntimeError, MemoryError):
            # Memory may also end while this waits for a thread that runs.
            if self._claim.acquire(blocking=False):
                raise

    def _start_and_wait(self) -> None:
        super().start()
        steps = STEPS if self._started.is_set() else 1
        if not any(self._runs.acquire(timeout=STEP_S) for _ in range(steps)):
            raise RuntimeError("a new thread does not run, memory may be short")

    def run(self) -> None:
        """Call the target, unless the thread was given up."""
        if self._claim.acquire(blocking=False):
            self._runs.release()
            super().run()

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end; one that never ran has ended."""
        if self._started.is_set():
            super().join(timeout)
