"""The observer that writes the log to stderr.

It can be called from any thread, before the reactor runs, while it runs and after it has stopped,
also again while it is at work (a signal handler, a ``__del__`` that the garbage collector runs).
What can not be written is kept, and tried again with the next line; once ``attach`` has been
called also by a timer, which logs the counts of folded and suppressed lines as well.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import ILogObserver, LogEvent
from zope.interface import implementer

from metrics_agent.clock import wall_s
from metrics_agent.logs.descriptor import Descriptor
from metrics_agent.logs.events import AGENT, LogEntry, read_event
from metrics_agent.logs.folding import Folder
from metrics_agent.logs.levels import Level, Levels
from metrics_agent.logs.rate import RateLimit
from metrics_agent.logs.rendering import choose_format, render
from metrics_agent.logs.writer import BoundedWriter, LogTarget

__all__ = ["StderrObserver"]


@implementer(ILogObserver)
class StderrObserver:
    """Writes events to a descriptor, never blocking.

    Args:
        fd: where to; what it refers to is not changed, and it may be closed afterwards.
        format: one of ``rendering.LOG_FORMATS``.
        environ: shows whether stderr is the journal's.
        clock: seconds of a clock that never jumps; ``time.monotonic`` but in tests.
        target: what is written to instead of ``fd``, in tests.
        rate: the bound on lines a second.

    Attributes:
        suppressed: events that were folded, or not written because there were too many or
            stderr was not read; their counts are logged in separate lines.
    """

    def __init__(
        self,
        fd: int = 2,
        *,
        format: str = "auto",  # noqa: A002 - named like the setting
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] | None = None,
        target: LogTarget | None = None,
        rate: RateLimit | None = None,
    ) -> None:
        self._fd = fd
        self._environ = environ
        self._format = choose_format(format, fd, environ)
        self._clock = time.monotonic if clock is None else clock
        self._descriptor = Descriptor(fd) if target is None else None
        self._target: LogTarget = target or self._descriptor  # type: ignore[assignment]  # one is
        self._writer = BoundedWriter(self._target, self._dropped)
        self._folder = Folder()
        self._rate = RateLimit() if rate is None else rate
        self._levels = Levels()
        self._level_listeners: list[Callable[[], None]] = []
        self.suppressed = 0
        self._lock = threading.RLock()
        self._busy = False
        self._inbox: deque[LogEntry] = deque()
        self._reactor: Any = None
        self._reactor_thread = 0
        self._asked_reactor = False
        self._timer: IDelayedCall | None = None
        self._timer_due_s = 0.0

    # -- settings ----------------------------------------------------------------------------

    @property
    def levels(self) -> Levels:
        """Which levels are written."""
        return self._levels

    def set_levels(self, default: str, per_module: Mapping[str, str] | None = None) -> None:
        """Set the lowest level written: for all modules, and for some.

        Raises:
            ValueError: there is no such level; nothing is changed then.
        """
        self._levels = Levels(default, per_module)
        for listener in self._level_listeners:
            listener()

    def when_levels_change(self, listener: Callable[[], None]) -> None:
        """Have a function called after each ``set_levels``."""
        self._level_listeners.append(listener)

    def set_format(self, setting: str) -> None:
        """Set the line format.

        Raises:
            ValueError: there is no such format.
        """
        self._format = choose_format(setting, self._fd, self._environ)

    # -- events ------------------------------------------------------------------------------

    def __call__(self, event: LogEvent) -> None:
        """Take an event; raises nothing, and never waits for the reader."""
        try:
            entry = read_event(event, self._levels)
            if entry is not None:
                self._take(entry)
        except Exception as error:
            # This is where faults are logged, so this one must be reported here.
            text = f"A log line was lost, the log itself failed: {type(error).__name__}"
            self._take(LogEntry(Level.ERROR, AGENT, text, wall_s()))

    def _take(self, entry: LogEntry) -> None:
        with self._lock:
            self._inbox.append(entry)
            with self._alone():
                pass

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Hold the lock, and log afterwards what has come in.

        Gives False, and does nothing more, when called from within itself; the lock lets the
        same thread in again. The outer call sees to what the inner one left in the inbox.
        """
        with self._lock:
            if self._busy:
                yield False
                return
            self._busy = True
            try:
                yield True
                while self._inbox:
                    self._log(self._inbox.popleft())
                self._set_timer()
            finally:
                self._busy = False

    def _log(self, entry: LogEntry) -> None:
        now_s = self._clock()
        self.suppressed += 1  # until it is written
        for shown in self._folder.take(entry, now_s):
            suppressed = self._rate.due(now_s)
            if suppressed is not None:
                self._write(suppressed)
            if self._rate.allows(shown.level, now_s):
                self._write(shown)
                self.suppressed -= shown is entry

    def _write(self, entry: LogEntry) -> None:
        now_s = self._clock()
        for line in render(entry, self._format):
            self._writer.write(line, now_s)

    def _write_all(self, entries: Iterable[LogEntry | None]) -> None:
        for entry in entries:
            if entry is not None:
                self._write(entry)

    def _dropped(self, count: int) -> bytes:
        self.suppressed += count
        lines = "1 log line was" if count == 1 else f"{count} log lines were"
        text = f"{lines} dropped, stderr was not read."
        return next(render(LogEntry(Level.WARN, AGENT, text, wall_s()), self._format))

    # -- the reactor -------------------------------------------------------------------------

    def attach(self, reactor: Any) -> None:
        """Set timers from now on; to be called in the reactor's thread.

        Args:
            reactor: provides IReactorTime, and IReactorFromThreads if other threads log.
        """
        with self._alone():
            self._reactor = reactor
            self._reactor_thread = threading.get_ident()

    def detach(self) -> None:
        """Set no more timers, and cancel the one that is set."""
        with self._lock:
            self._reactor = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _set_timer(self) -> None:
        if self._reactor is None:
            return
        parts = (self._folder, self._rate, self._writer)
        dues = [part.next_due_s for part in parts if part.next_due_s is not None]
        if not dues or (self._timer is not None and self._timer_due_s <= min(dues)):
            return
        if threading.get_ident() != self._reactor_thread:
            if not self._asked_reactor:
                self._asked_reactor = True
                self._reactor.callFromThread(self._on_timer)
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due_s = min(dues)
        delay_s = max(0.0, self._timer_due_s - self._clock())
        self._timer = self._reactor.callLater(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        with self._alone():
            self._asked_reactor = False
            if self._timer is not None and not self._timer.active():
                self._timer = None
            now_s = self._clock()
            self._write_all(self._folder.due(now_s))
            self._write_all([self._rate.due(now_s)])
            retry_s = self._writer.next_due_s
            if retry_s is not None and retry_s <= now_s:
                self._writer.flush(now_s)

    # -- the end -----------------------------------------------------------------------------

    def final_flush(self, timeout_s: float = 1.0) -> bool:
        """Write counts and what is kept, waiting for the reader that long; True if all is out.

        For the end of the process; events may still come afterwards.
        """
        with self._alone() as alone:
            if not alone:
                return False
            now_s = self._clock()
            self._write_all(self._folder.drain(now_s))
            self._write_all([self._rate.drain()])
            return self._writer.flush_within(timeout_s)

    def close(self, timeout_s: float = 0.0) -> None:
        """Flush, cancel the timer and close our own descriptor; later lines go nowhere."""
        self.final_flush(timeout_s)
        self.detach()
        if self._descriptor is not None:
            self._descriptor.close()
