"""Output of other code that belongs in our log: stray prints, Python's logging and warnings."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, Final

from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    LoggingFile,
    LogLevel,
    LogPublisher,
    globalLogBeginner,
    globalLogPublisher,
)

from metrics_agent.logs.levels import Level
from metrics_agent.logs.logger import failure_of
from metrics_agent.logs.observer import StderrObserver

__all__ = [
    "LoggingBridge",
    "begin_logging",
    "bridge_logging",
    "contain_observers",
    "redirect_stdout",
]

_NAMESPACE: Final = "stdlib"


def begin_logging(observer: ILogObserver, beginner: Any = globalLogBeginner) -> None:
    """Write all events to an observer, those from before this call first; warnings too.

    For the ``metrics-agent`` command; twistd begins by itself, with the application's observer.
    """
    beginner.beginLoggingTo([observer], redirectStandardIO=False)


class _ContainedPublisher(LogPublisher):
    """A publisher whose observers may raise anything.

    Twisted's own contains what is an Exception. A SystemExit of an observer that a module has added
    would come out wherever a line is logged, and end the reactor.

    Attributes:
        on_failure: called first with a failure and its event: to write it may need more
            memory than there is.
    """

    on_failure: Callable[[Any, LogEvent], object] | None = None

    def __call__(self, event: LogEvent) -> None:
        # twisted.python.log, which reports faults in reads and writes, has the latter.
        failure = event.get("log_failure") or event.get("failure")
        if failure is not None and self.on_failure is not None:
            self.on_failure(failure, event)
        try:
            super().__call__(event)
        except BaseException as error:
            if "observer_fault" in event:
                return  # it raises for this line too; the observers before it have it
            text = "An observer of the log raised {observer_fault!r}; that is contained."
            self(
                {
                    "log_namespace": __name__,
                    "log_level": LogLevel.error,
                    "log_time": event.get("log_time"),
                    "log_format": text,
                    "observer_fault": error,
                }
            )


def contain_observers(publisher: Any = globalLogPublisher) -> None:
    """Have no observer's fault, whatever it is, come out of a call that logs."""
    publisher.__class__ = _ContainedPublisher


def redirect_stdout(observer: ILogObserver | None = None) -> None:
    """Make what Python code prints a warning in the log; twistd does the same by itself."""
    level: Any = LogLevel.warn
    log = Logger(namespace="stdout", observer=observer)
    sys.stdout = LoggingFile(log, level)


class _Text:
    """The text of a record, made when it is needed."""

    def __init__(self, record: logging.LogRecord) -> None:
        self._record = record

    def __str__(self) -> str:
        try:
            return self._record.getMessage()
        except (TypeError, ValueError, KeyError) as error:
            # Values that do not fit their format; the format alone still says something.
            return f"{self._record.msg} (its values do not fit: {error})"


class LoggingBridge(logging.Handler):
    """Makes events of the records of Python's logging.

    A library's errors become warnings: whether data was lost is for the module to say that uses
    it. What is below a warning becomes debug.
    """

    def __init__(self, observer: ILogObserver | None = None) -> None:
        super().__init__()
        self._publish = globalLogPublisher if observer is None else observer

    def emit(self, record: logging.LogRecord) -> None:
        """Publish a record; never raises, whatever its arguments do."""
        event: dict[str, Any] = {
            "log_namespace": f"{_NAMESPACE}.{record.name}",
            "log_level": LogLevel.warn if record.levelno >= logging.WARNING else LogLevel.debug,
            "log_time": record.created,
            "log_format": "{text}",
            "text": _Text(record),
            "module": record.name.partition(".")[0],
            # All records share a format; the template they were made with distinguishes them.
            "template": record.msg,
            "fold": ("template",),
        }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            event["log_failure"] = failure_of(error)
        self._publish(event)


def bridge_logging(
    observer: StderrObserver,
    root: logging.Logger | None = None,
    *,
    to: ILogObserver | None = None,
) -> LoggingBridge:
    """Take over Python's logging; its level follows that of the observer.

    Args:
        observer: says which levels are wanted, and takes the events.
        root: takes the handler; Python's root logger if None.
        to: takes the events instead, where the log is not ours.
    """
    top = logging.getLogger() if root is None else root
    bridge = LoggingBridge(observer if to is None else to)
    top.addHandler(bridge)

    def follow() -> None:
        wanted = observer.levels.lowest is Level.DEBUG
        top.setLevel(logging.DEBUG if wanted else logging.WARNING)

    observer.when_levels_change(follow)
    follow()
    return bridge
