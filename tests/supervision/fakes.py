"""A builder with clock, log, counters and guard; no delayed call may be left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.logs.events import read_event
from metrics_agent.logs.levels import Level, Levels
from metrics_agent.logs.logger import make_logger
from metrics_agent.supervision.counters import Counters
from metrics_agent.supervision.guard import Guard

FAULTS: tuple[type[BaseException], ...] = (
    ValueError,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    RecursionError,
    MemoryError,
)
"""What a module may raise at any place."""


def raiser(error: BaseException | type[BaseException]) -> Callable[..., Any]:
    """Make what raises this, whatever it is called with."""

    def fail(*_args: object) -> Any:
        raise error

    return fail


def in_turn(*calls: Callable[[], Any]) -> Callable[[], Any]:
    """Make what does the first at its first call, and so on."""
    remaining = iter(calls)

    def call() -> Any:
        return next(remaining)()

    return call


def recurse() -> None:
    """Fail as code that calls itself for ever does."""
    recurse()


class SupervisionCase(SynchronousTestCase):
    """Has a clock, and what one module's faults are told and counted by."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[dict[str, Any]] = []
        self.log = make_logger("demo", self.events.append)  # type: ignore[arg-type]  # takes an event
        self.counters = Counters()
        self.guard = Guard(self.log, self.counters.error)
        self.addCleanup(self.check_no_calls)

    def check_no_calls(self) -> None:
        left = [str(call) for call in self.clock.getDelayedCalls()]
        self.assertEqual(left, [], "delayed calls are left behind")

    def told(self, level: str = "error") -> list[str]:
        """Return the lines of a level, as a person reads them."""
        entries = [read_event(event, Levels("debug")) for event in self.events]
        wanted = Level[level.upper()]
        return [entry.text for entry in entries if entry is not None and entry.level is wanted]

    def forget(self) -> None:
        """Begin anew with an empty log."""
        self.events.clear()
