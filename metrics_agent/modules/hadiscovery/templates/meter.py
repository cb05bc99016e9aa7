"""The work of one render, bounded.

A step is a character that is read or made; an element of a list or an object is `ELEMENT` steps,
for the time and the memory that it takes. All steps of a render take some 20 ms. Many templates may
render one message: beyond a few steps that each has, they share those of the message.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, Final

from metrics_agent.modules.hadiscovery.templates.faults import MAX_TEXT, TemplateError

__all__ = ["ELEMENT", "METER", "STEPS", "VIEWS", "Meter", "one_message"]

STEPS: Final = 500_000
"""Steps of one render. Home Assistant's own templates for a message of 1 KB take some 100."""

_OWN_STEPS: Final = 2_000
"""Steps that no other template can take from a render."""

_SHARED_STEPS: Final = 1_000_000
"""Steps beyond these of all renders of one message: some 40 ms."""

ELEMENT: Final = 16

_DEPTH: Final = 64
_SCALARS: Final = frozenset({int, float, bool, type(None)})
VIEWS: Final[tuple[type, ...]] = (type({}.keys()), type({}.values()), type({}.items()))
_PARTS: Final = (list, tuple, *VIEWS)


class Meter:
    """Counts down the steps of a render."""

    __slots__ = ("_given", "_left", "_of_message", "_shared")

    def __init__(self) -> None:
        self._given = self._left = STEPS
        self._shared: float = inf
        self._of_message: float = 0

    def restart(self) -> None:
        """Begin a render."""
        self._shared -= max(0, self._given - max(0, self._left) - _OWN_STEPS)
        self._given = self._left = int(min(STEPS, _OWN_STEPS + max(0, self._shared)))

    @contextmanager
    def one_message(self, *, again: bool = False) -> Iterator[None]:
        """Let the renders that begin now share the steps of one message.

        Args:
            again: it is the message of the last time.
        """
        self._given = self._left = 0
        self._shared = self._of_message if again else _SHARED_STEPS
        try:
            yield
        finally:
            self.restart()
            self._of_message = self._shared
            self._given = self._left = 0
            self._shared = inf

    def spend(self, steps: int) -> None:
        """Take steps.

        Raises:
            TemplateError: there are no more.
        """
        self._left -= steps
        if self._left < 0:
            raise TemplateError(f"it takes more than {self._given:,} steps")

    def make(self, length: int, unit: int = 1) -> None:
        """Take the steps of a text or list that is to be made.

        Args:
            length: how many characters or elements it will have.
            unit: 1 for characters, `ELEMENT` for elements.
        """
        if length > MAX_TEXT:
            raise TemplateError(f"it would make more than {MAX_TEXT:,} characters or elements")
        self.spend(length * unit)

    def read(self, *values: Any) -> int:
        """Take the steps of reading values as a whole, and return how many these were."""
        steps = 0
        for value in values:
            kind = value.__class__
            if kind in _SCALARS:
                steps += 1
            elif kind is str:
                steps += len(value) + 1
            else:
                steps += self._size(value)
        self.spend(steps)
        return steps

    def _size(self, value: Any) -> int:
        """Count the steps of a value, no further than there are any left."""
        steps = 0
        waiting = [(value, 0)]
        while waiting:
            each, depth = waiting.pop()
            steps += ELEMENT
            if isinstance(each, str | bytes):
                steps += len(each)
                continue
            if isinstance(each, dict):
                each = (*each.keys(), *each.values())
            elif not isinstance(each, _PARTS):
                continue
            # Before they are put on the list: shared parts count as often as they occur.
            steps += ELEMENT * len(each)
            if steps > self._left or depth >= _DEPTH:
                raise TemplateError("it has a value that is too large")
            waiting.extend((part, depth + 1) for part in each)
        return steps


METER: Final = Meter()
"""The one of all renders: they run one after the other, in one thread."""

one_message = METER.one_message
