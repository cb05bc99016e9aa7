"""What is counted for one module; the self-metrics report it."""

from __future__ import annotations

from collections.abc import Iterator
from operator import index
from typing import Final

__all__ = ["Counters", "CountersByModule"]

MAX_NAMES: Final = 64
"""Different places or reasons of one module; a module may make them up."""

LONGEST_NAME: Final = 64
LONGEST_ERROR: Final = 300
OTHER: Final = "other"
"""What is counted in place of a name beyond these."""


class Counters:
    """Ints that begin at 0 with the process and only grow, also over restarts and reloads.

    Attributes:
        restarts: new instances after a failure.
        messages: that the module was given: of MQTT brokers and WebSockets.
        metrics: lines that were accepted.
        errors: faults that were contained, by place.
        dropped: metrics and messages that were left, by reason.
        last_error: the place and the text of the last fault, bounded; None if there was none.
    """

    __slots__ = ("dropped", "errors", "last_error", "messages", "metrics", "restarts")

    def __init__(self) -> None:
        self.restarts = 0
        self.messages = 0
        self.metrics = 0
        self.errors: dict[str, int] = {}
        self.dropped: dict[str, int] = {}
        self.last_error: tuple[str, str] | None = None

    def error(self, place: str) -> None:
        """Count a fault."""
        _add(self.errors, place, 1)

    def note_error(self, place: str, text: str) -> None:
        """Keep the text of the last fault; called after `error`."""
        self.last_error = place[:LONGEST_NAME], text[:LONGEST_ERROR]

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

    def all(self) -> Iterator[tuple[str, Counters]]:
        """Yield the name and the counters of each module that was asked for."""
        yield from self._counters.items()
