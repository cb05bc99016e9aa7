"""A cache that is bounded in bytes, for what is kept by keys from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["BoundedCache"]

_K = TypeVar("_K")
_V = TypeVar("_V")


class BoundedCache(Generic[_K, _V]):
    """A dictionary of what can be made again, within a limit of bytes.

    One that is full takes nothing new, until as much was turned away as it may hold; then it
    forgets everything. So where a little more is in use than there is room for, most of it is
    found, and what is no longer used does not stay. An order of use would cost every look-up.

    Args:
        limit_bytes: the most that all entries may take together, by the sizes given to `put`.

    Attributes:
        get: the dictionary's own ``get``, as fast as it is.
        size_bytes: what the entries take together.
    """

    __slots__ = ("_items", "_limit_bytes", "_turned_away_bytes", "get", "size_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._items: dict[_K, _V] = {}
        self._limit_bytes = limit_bytes
        self.get: Callable[[_K], _V | None] = self._items.get
        self.size_bytes = 0
        self._turned_away_bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, key: _K, value: _V, size_bytes: int) -> None:
        """Keep a new entry, if there is room.

        Args:
            key: not in the cache yet.
            value: what `get` returns for it.
            size_bytes: the memory that both take together, with the dictionary's own.
        """
        if size_bytes > self._limit_bytes:
            return
        if self.size_bytes + size_bytes > self._limit_bytes:
            self._turned_away_bytes += size_bytes
            if self._turned_away_bytes < self._limit_bytes:
                return
            self.clear()
        self._items[key] = value
        self.size_bytes += size_bytes

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()
        self.size_bytes = 0
        self._turned_away_bytes = 0
