"""Steps of a start, a reload or a stop: contained, and waited for within limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred

from metrics_agent.deferreds import as_deferred, at_most
from metrics_agent.supervision.guard import Guard

__all__ = ["Steps"]


class Steps:
    """Takes steps.

    Args:
        clock: provides callLater.
        guard: contains what a step raises.
    """

    def __init__(self, clock: Any, guard: Guard) -> None:
        self._clock = clock
        self._guard = guard

    async def take(self, place: str, step: Callable[[], Any], timeout_s: float) -> None:
        """Take one step, and wait at most that long for what it returns."""
        work = self._guard.run(place, step)
        if isinstance(work, Awaitable):
            await self.at_most(timeout_s, self._guard.watch(place, as_deferred(work)))

    async def at_most(self, timeout_s: float, waiting: Deferred[Any]) -> Any:
        """Wait for a Deferred, at most so long; it goes on unobserved after that."""
        return await at_most(self._clock, timeout_s, waiting)
