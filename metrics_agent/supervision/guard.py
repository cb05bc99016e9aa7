"""The one place that catches: what a module's code raises ends here, told and counted.

Everything is caught, `SystemExit`, `KeyboardInterrupt`, `GeneratorExit`, `MemoryError` and
`RecursionError` too: inside a module they are faults like any other. A real Ctrl-C never arrives as
an exception, since the process handles the signal itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.logs.logger import failure_of

__all__ = ["Guard", "OnError"]

T = TypeVar("T")
OnError = Callable[[BaseException], object]
"""Told of a fault after it was logged and counted; must not raise."""


class Guard:
    """Contains the faults of one module, or of the agent itself.

    Args:
        log: stamps the module on its lines.
        count: told the place of each fault.
    """

    def __init__(self, log: Logger, count: Callable[[str], object]) -> None:
        self._log = log
        self._count = count

    def run(
        self,
        place: str,
        call: Callable[..., T],
        *args: object,
        detail: str = "",
        on_error: OnError | None = None,
    ) -> T | None:
        """Call, and return what it returns; None if it raises.

        Args:
            place: what it does, snake_case: a counter is named after it.
            call: what to call.
            *args: what to call it with.
            detail: what it is about, such as a topic, for the log line.
            on_error: told what it raised.
        """
        try:
            return call(*args)
        except BaseException as error:
            self.caught(place, error, detail)
            if on_error is not None:
                on_error(error)
            return None

    def watch(
        self, place: str, work: Deferred[Any], *, on_error: OnError | None = None
    ) -> Deferred[Any]:
        """Contain the failure of a Deferred; its result is None then.

        A Deferred that was cancelled has not failed: somebody wanted it to end.
        """

        def contain(failure: Failure) -> None:
            if isinstance(failure.value, CancelledError):
                return
            self.caught(place, failure)
            if on_error is not None and failure.value is not None:
                on_error(failure.value)

        return work.addErrback(contain)

    def caught(self, place: str, error: BaseException | Failure, detail: str = "") -> None:
        """Tell and count a fault that somebody else caught, in one line."""
        self._count(place)
        failure = error if isinstance(error, Failure) else failure_of(error)
        # Faults of one place and type are one kind, and told once: see logs.folding.
        if detail:
            self._log.failure(
                "Error in {place} of {detail!r}",
                failure,
                place=place,
                detail=detail,
                fold=("place",),
            )
        else:
            self._log.failure("Error in {place}", failure, place=place, fold=("place",))
