"""Entities that become available or go away, a limited number per turn.

One message of a bridge may say of tens of thousands of entities that they are there. Whether one
is there, its `Availability` knows at once; what follows from it, values that were waiting and
lines of devices, may wait until the reactor has done other work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from metrics_agent.interfaces import ModuleContext
from metrics_agent.modules.hadiscovery.availability import Availability
from metrics_agent.modules.hadiscovery.entity import Entity
from metrics_agent.modules.hadiscovery.points import Points

__all__ = ["PER_TURN", "Arrivals"]

PER_TURN: Final = 500
"""Entities of a turn: some 3 ms."""


class Arrivals:
    """Hands on entities that have come or gone.

    Args:
        context: of the module.
        show: called with entities, the time of the message that brought or took them, and where
            their points go; more than once for an entity whose availability changes meanwhile.
    """

    def __init__(
        self, context: ModuleContext, show: Callable[[Iterable[Entity], int, Points], object]
    ) -> None:
        self._context = context
        self._show = show
        self._waiting: dict[Availability, tuple[Iterator[Entity], int]] = {}
        self._is_due = False

    def begin(
        self, availabilities: Iterable[Availability], received_ns: int, points: Points
    ) -> None:
        """Hand on the entities of availabilities that have changed, the first of them at once."""
        for each in availabilities:
            # One that changes again begins again: the last word counts.
            self._waiting.pop(each, None)
            self._waiting[each] = (iter(tuple(each.entities)), received_ns)
        self._work(points)

    def _work(self, points: Points) -> None:
        left = PER_TURN
        while self._waiting and left > 0:
            availability, (entities, received_ns) = next(iter(self._waiting.items()))
            some = tuple(islice(entities, left))
            if len(some) < left:
                del self._waiting[availability]
            left -= max(1, len(some))
            self._show(some, received_ns, points)
        if self._waiting and not self._is_due:
            self._is_due = True
            self._context.later(0, self._turn, place="availability")

    def _turn(self) -> None:
        self._is_due = False
        points = Points()
        self._work(points)
        self._context.emit(points.metrics())
