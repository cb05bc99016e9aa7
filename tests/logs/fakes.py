"""What represents stderr in the tests of the log, and a builder of the observer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.logs.logger import ModuleLogger, make_logger
from metrics_agent.logs.observer import StderrObserver


class FakeTarget:
    """A stderr that takes what it is asked to.

    Attributes:
        data: what was written.
        room: how many bytes are taken before it is full, None for any number.
        error: raised by each write, if set.
        waited: what ``wait`` was called with; it gives ``on_wait()``.
    """

    def __init__(self) -> None:
        self.data = b""
        self.room: int | None = None
        self.error: OSError | None = None
        self.waited: list[float] = []
        self.on_wait: Callable[[], bool] = lambda: False

    def write(self, data: bytes) -> int:
        if self.error is not None:
            raise self.error
        if self.room is None:
            self.data += data
            return len(data)
        taken = data[: self.room]
        if not taken:
            raise BlockingIOError
        self.room -= len(taken)
        self.data += taken
        return len(taken)

    def wait(self, timeout_s: float) -> bool:
        self.waited.append(timeout_s)
        return self.on_wait()

    @property
    def lines(self) -> list[str]:
        return self.data.decode().splitlines()

    def take(self) -> list[str]:
        """Return the lines so far, and forget them."""
        lines, self.data = self.lines, b""
        return lines


class ObserverCase(SynchronousTestCase):
    """Makes an observer with its fakes; no delayed call may be left behind."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.target = FakeTarget()
        self.observer = self.make()

    def make(self, **options: Any) -> StderrObserver:
        options = {"format": "telegraf", "target": self.target, **options}
        observer = StderrObserver(clock=self.clock.seconds, **options)
        self.addCleanup(self.check_closed, observer)
        return observer

    def check_closed(self, observer: StderrObserver) -> None:
        observer.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def log(self, module: str = "demo") -> ModuleLogger:
        return make_logger(module, self.observer)
