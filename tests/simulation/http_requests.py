"""What must be true of the requests that one agent process sends to a database."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from attrs import define

from tests.simulation.clock import SimClock

__all__ = ["Meaning", "Request", "Requests"]

_SOON_S: Final = 0.2
"""The shortest delay after a failure is a quarter of a second."""
_LATE_S: Final = 14.0
"""Where only the user can help the shortest is 15 s."""


class Meaning(enum.Enum):
    """What an answer means for the lines of its request."""

    STORED = enum.auto()
    """All that are ever stored are."""
    REJECTED = enum.auto()
    """None is: one of them is bad, or they are too many."""
    AGAIN = enum.auto()
    """Nothing is known."""
    USER = enum.auto()
    """The same, and only the user can help."""


_UNKNOWN: Final = frozenset({None, Meaning.AGAIN, Meaning.USER})


@define(eq=False)
class Request:
    """A request that has come as a whole.

    Attributes:
        body: of it.
        came_s: when.
        meaning: of the answer that it got, None without one.
        answered_s: when that was sent.
        wait_s: what the answer's Retry-After asks for.
        has_arrived: says whether all of the answer has come to the agent.
    """

    body: bytes
    came_s: float
    meaning: Meaning | None = None
    answered_s: float = 0.0
    wait_s: float = 0.0
    has_arrived: Callable[[], bool] = lambda: False


class Requests:
    """Looks at each request of a process in turn.

    Args:
        clock: of the simulation.
        violate: called with what must not happen.

    Attributes:
        is_stopping: says that the process is about to end: it then hurries.
    """

    def __init__(self, clock: SimClock, violate: Callable[[str], object]) -> None:
        self._clock = clock
        self._violate = violate
        self._last: Request | None = None
        self.is_stopping: Callable[[], bool] = lambda: False

    @property
    def is_unknown(self) -> bool:
        """Whether the agent does not know what became of the last one."""
        return self._last is not None and self._what_is_known(self._last) in _UNKNOWN

    @staticmethod
    def _what_is_known(request: Request) -> Meaning | None:
        return request.meaning if request.has_arrived() else None

    def begin(self, body: bytes) -> Request:
        """Take a request that has come."""
        now_s = self._clock.now_s
        request = Request(body, now_s)
        last, self._last = self._last, request
        if last is None:
            return request
        meaning = self._what_is_known(last)
        if meaning in _UNKNOWN and body != last.body:
            self._violate(
                f"a request of {len(body)} bytes, although it is not known what became of the "
                f"one before, of {len(last.body)} bytes"
            )
        if meaning is not None and not self.is_stopping():
            self._check_delay(last, meaning, now_s - last.answered_s)
        return request

    def forget(self) -> None:
        """Take note that another process begins."""
        self._last = None

    def _check_delay(self, last: Request, meaning: Meaning, passed_s: float) -> None:
        least_s = {Meaning.AGAIN: _SOON_S, Meaning.USER: _LATE_S}.get(meaning, 0.0)
        least_s = max(least_s, last.wait_s)
        if passed_s < least_s:
            self._violate(
                f"a request comes {passed_s:.2f} s after an answer that asks for {least_s:g} s"
            )
