"""Where faults of a module's code end: caught, logged and counted.

Everything is caught, `SystemExit`, `KeyboardInterrupt`, `GeneratorExit`, `MemoryError` and
`RecursionError` too: inside a module they are faults like any other. A real Ctrl-C never arrives as
an exception, since the process handles the signal itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.logs.events import describe
from metrics_agent.logs.logger import failure_of

__all__ = ["Caught", "Guard"]

T = TypeVar("T")


class Caught:
    """The result of a call that raised, or of a Deferred that failed; false.

    Args:
        error: the exception; it is logged and counted.
    """

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __bool__(self) -> Literal[False]:
        return False


class Guard:
    """Contains the faults of one module, or of the agent itself.

    Args:
        log: stamps the module on its lines.
        count: called with the place of each fault.
        note: called with the place and the text of each fault that was logged.
    """

    def __init__(
        self,
        log: Logger,
        count: Callable[[str], object],
        note: Callable[[str, str], object] = lambda _place, _text: None,
    ) -> None:
        self._log = log
        self._count = count
        self._note = note

    def run(self, place: str, call: Callable[..., T], *args: object) -> T | Caught:
        """Call, and return the result, or what it raised.

        Args:
            place: what it does, snake_case: a counter is named after it.
            call: what to call.
            *args: what to call it with.
        """
        try:
            return call(*args)
        except BaseException as error:
            return self.caught(place, error)

    def watch(self, place: str, work: Deferred[Any]) -> Deferred[Any]:
        """Contain the failure of a Deferred; its result is a `Caught` then.

        A Deferred that was cancelled has not failed: its result is None.
        """

        def contain(failure: Failure) -> Caught | None:
            if isinstance(failure.value, CancelledError):
                return None
            return self.caught(place, failure)

        return work.addErrback(contain)

    def caught(self, place: str, error: BaseException | Failure, detail: str = "") -> Caught:
        """Log, in one line, and count a fault that was caught elsewhere.

        Args:
            place: see `run`.
            error: the fault.
            detail: what it is about, such as a topic, for the log line.
        """
        self._count(place)
        failure = error if isinstance(error, Failure) else failure_of(error)
        # Faults of one place and type are one kind, and logged once: see logs.folding.
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
        text = describe(failure)
        self._note(place, f"{text} in {detail!r}" if detail else text)
        assert failure.value is not None
        return Caught(failure.value)
