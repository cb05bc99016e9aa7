"""What is counted for one module; the self-metrics report it."""

from __future__ import annotations

from operator import index
from typing import Final

__all__ = ["Counters", "CountersByModule"]

MAX_NAMES: Final = 64
"""Different places or reasons of one module; a module may make them up."""

LONGEST_NAME: Final = 64
OTHER: Final = "other"
"""What is counted in place of a name beyond these."""


class Counters:
    """Ints that begin at 0 with the process and only grow, also over restarts and reloads.

    Attributes:
        restarts: new instances after a failure.
        metrics: lines that were accepted.
        errors: faults that were contained, by place.
        dropped: metrics and messages that were left, by reason.
    """

    __slots__ = ("dropped", "errors", "metrics", "restarts")

    def __init__(self) -> None:
        self.restarts = 0
        self.metrics = 0
        self.errors: dict[str, int] = {}
        self.dropped: dict[str, int] = {}

    def error(self, place: str) -> None:
        """Count a fault."""
        _add(self.errors, place, 1)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count what was left.

        Raises:
            TypeError: the count is not an int; a float would change the type of a field.
            ValueError: it is negative.
        """
        if index(count) < 0:
            raise ValueError(f"got a count of {count}, expected 0 or more")
        _add(self.dropped, reason, index(count))


def _add(counts: dict[str, int], name: str, count: int) -> None:
    # Called while a fault is logged, so an invalid name must not become the next fault.
    if not isinstance(name, str) or (
        name not in counts and (len(counts) >= MAX_NAMES or len(name) > LONGEST_NAME)
    ):
        name = OTHER
    counts[name] = counts.get(name, 0) + count


class CountersByModule:
    """The counters of all modules, by the name of the module."""

    def __init__(self) -> None:
        self._counters: dict[str, Counters] = {}

    def of(self, module: str) -> Counters:
        """Return the counters of a module, the same at each call."""
        return self._counters.setdefault(module, Counters())
