"""A logger that stamps the module on every line."""

from __future__ import annotations

from twisted.logger import ILogObserver, Logger, LogLevel
from twisted.python.failure import Failure

from metrics_agent.logs.events import AGENT

__all__ = ["ModuleLogger", "failure_of", "make_logger"]


class ModuleLogger(Logger):
    """A Logger whose events carry ``module``.

    Args:
        module: whose lines these are.
        observer: takes the events; None for Twisted's global publisher.
    """

    def __init__(self, module: str, observer: ILogObserver | None = None) -> None:
        super().__init__(namespace=f"metrics_agent.module.{module}", observer=observer)
        self.module = module

    def __get__(self, instance: object, owner: type | None = None) -> Logger:
        """Stay as it is where it is an attribute of a class."""
        return self

    def emit(self, level: LogLevel, format: str | None = None, **kwargs: object) -> None:  # noqa: A002 - as in Logger
        """Emit an event, stamped with the module unless it names another."""
        kwargs.setdefault("module", self.module)
        super().emit(level, format, **kwargs)


def failure_of(error: BaseException) -> Failure:
    """Return the failure of an exception that was caught before, with its traceback."""
    return Failure(error, type(error), error.__traceback__)


def make_logger(module: str = AGENT, observer: ILogObserver | None = None) -> ModuleLogger:
    """Make the logger of a module (or instance, ``tasmota:garage``); of the agent by default."""
    return ModuleLogger(module, observer)
