"""Deferreds of anything that can be awaited, and a wait with a limit."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred

__all__ = ["as_deferred", "at_most"]

T = TypeVar("T")


def as_deferred(work: Awaitable[T]) -> Deferred[T]:
    """Return a Deferred of anything that can be awaited: itself, or the run of a coroutine."""
    if isinstance(work, Deferred):
        return work

    async def wait() -> T:
        return await work

    return ensureDeferred(wait())


def at_most(
    clock: Any, timeout_s: float, waiting: Deferred[T], otherwise: T | None = None
) -> Deferred[Any]:
    """Wait for a Deferred within a limit, and leave it to itself after that.

    Args:
        clock: provides callLater.
        timeout_s: the limit.
        waiting: must not fail; it is not cancelled, and keeps its result.
        otherwise: the result after the limit.
    """
    result: Deferred[Any] = Deferred()

    def over(value: Any) -> Any:
        if call.active():
            call.cancel()
            result.callback(value)
        return value

    call = clock.callLater(timeout_s, result.callback, otherwise)
    waiting.addBoth(over)
    return result
