"""Lines on their way to the output, for those who watch them.

Where no one does, a batch costs one look at an empty list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from metrics_agent.batch import Batch

__all__ = ["Tap", "Watcher", "matching"]


class Watcher(Protocol):
    """Who watches; must not raise."""

    def lines(self, module: str, data: bytes) -> None:
        """Take the lines of a batch, whole ones."""


class Tap:
    """Shows watchers what modules write.

    Args:
        caught: called with a fault of a watcher.

    Attributes:
        watchers: who watches.
    """

    def __init__(self, caught: Callable[[BaseException], object]) -> None:
        self._caught = caught
        self.watchers: list[Watcher] = []

    def through(self, module: str, write: Callable[[Batch], None]) -> Callable[[Batch], None]:
        """Return what writes the batches of a module, and shows them.

        Args:
            module: its name; ``agent`` for the agent's own.
            write: takes a batch.
        """
        watchers = self.watchers

        def write_and_show(batch: Batch) -> None:
            if watchers:
                self._show(module, batch.data)
            write(batch)

        return write_and_show

    def _show(self, module: str, data: bytes) -> None:
        for watcher in list(self.watchers):
            try:
                watcher.lines(module, data)
            except Exception as error:  # noqa: PERF203 - the others go on, and so does the batch
                self.watchers.remove(watcher)
                self._caught(error)


def matching(data: bytes, pattern: re.Pattern[bytes]) -> list[bytes]:
    """Return the lines that a pattern matches at their beginning, each with its newline."""
    return [line for line in data.splitlines(keepends=True) if pattern.match(line)]
