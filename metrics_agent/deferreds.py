"""From whatever can be awaited to a Deferred."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from twisted.internet.defer import Deferred, ensureDeferred

__all__ = ["as_deferred"]

T = TypeVar("T")


def as_deferred(work: Awaitable[T]) -> Deferred[T]:
    """Return a Deferred of anything that can be awaited: itself, or the run of a coroutine."""
    if isinstance(work, Deferred):
        return work

    async def wait() -> T:
        return await work

    return ensureDeferred(wait())
