"""Which lines the agent may give up for good, by what a database has answered."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

__all__ = ["Rejections"]

_LONE_S: Final = 9.5
"""A line that is rejected alone for so long may be dropped."""


class Rejections:
    """Follows the searches of one agent process for bad lines.

    A line may be dropped if it was rejected alone after another one of the same search was
    accepted, with no failure in between; or if it was rejected alone for some time and no other one
    came, once after each accepted line.

    Args:
        violate: called with what must not happen.
    """

    def __init__(self, violate: Callable[[str], object]) -> None:
        self._violate = violate
        self._searched: frozenset[bytes] = frozenset()
        self._left: set[bytes] = set()
        self._has_anchor = False
        self._has_accepted = False
        self._lone: list[bytes] = []
        self._lone_since_s = math.inf

    def request(self, lines: list[bytes], now_s: float) -> None:
        """Take a request that has come."""
        if lines == self._lone:
            return
        if self._lone and self._lone[0] not in lines and now_s - self._lone_since_s > _LONE_S:
            # It was dropped: the next one may be only after another line was accepted.
            if not self._has_accepted:
                self._violate(f"{self._lone[0][:80]!r} is dropped at an address that takes none")
            self._has_accepted = False
        self._is_not_alone()

    def stored(self, lines: list[bytes]) -> None:
        """Take that the agent knows of lines that they are stored."""
        self._has_anchor = self._has_accepted = True
        self._left -= {*lines}
        self._is_not_alone()

    def unknown(self) -> None:
        """Take that it does not know what became of a request."""
        self._has_anchor = False

    def rejected(self, lines: list[bytes], answered_s: float, now_s: float) -> bool:
        """Take that it knows that a request was rejected.

        Returns:
            Whether it may drop it, which is a single line.
        """
        if not self._searched.issuperset(lines):
            self._searched, self._left = frozenset(lines), {*lines}
            self._has_anchor = False
        if len(lines) > 1:
            return False
        may_be_dropped = self._has_anchor
        if self._left <= {*lines}:
            if lines != self._lone:
                self._lone, self._lone_since_s = lines, answered_s
            may_be_dropped |= self._has_accepted and now_s - self._lone_since_s > _LONE_S
        if may_be_dropped:
            self._left -= {*lines}
        return may_be_dropped

    def _is_not_alone(self) -> None:
        self._lone, self._lone_since_s = [], math.inf
