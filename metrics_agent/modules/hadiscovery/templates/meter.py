"""The work of one render, bounded.

A step is a character that is read or made; an element of a list or an object is `ELEMENT` steps,
for the time and the memory that it takes. All steps of a render take some 20 ms.
"""

from __future__ import annotations

from typing import Any, Final

from metrics_agent.modules.hadiscovery.templates.faults import MAX_TEXT, TemplateError

__all__ = ["ELEMENT", "STEPS", "VIEWS", "Meter"]

STEPS: Final = 500_000
"""Steps of one render. Home Assistant's own templates for a message of 1 KB take some 100."""

ELEMENT: Final = 16

_DEPTH: Final = 64
_SCALARS: Final = frozenset({int, float, bool, type(None)})
VIEWS: Final[tuple[type, ...]] = (type({}.keys()), type({}.values()), type({}.items()))
_PARTS: Final = (list, tuple, *VIEWS)


class Meter:
    """Counts down the steps of a render."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = STEPS

    def restart(self) -> None:
        """Begin a render."""
        self._left = STEPS

    def spend(self, steps: int) -> None:
        """Take steps.

        Raises:
            TemplateError: there are no more.
        """
        self._left -= steps
        if self._left < 0:
            raise TemplateError(f"it takes more than {STEPS:,} steps")

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
