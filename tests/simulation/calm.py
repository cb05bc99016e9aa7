"""When nothing was under way between brokers and the reader of the output.

What a broker had given to the agent before is handled by then, or lost by a fault of ours: no kill,
reload or failed module that comes later excuses its loss.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from metrics_agent.supervision.lifecycle import State

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Calm"]

_LOOK_EVERY_S: Final = 0.05
_READ_WITHIN_S: Final = 0.3
"""A reader that is not disturbed has read by then what the agent has written."""
_OVER_AFTER_S: Final = 8.0
"""What a fault brings about has begun by then: a tick that hangs is given up after 5 s."""


class Calm:
    """Looks now and then.

    Attributes:
        last_s: when it was calm last.
    """

    def __init__(self) -> None:
        self.last_s = -math.inf
        self._since_s = math.inf
        self._looked_s = -math.inf

    def look(self, world: World) -> None:
        """Look, after a turn."""
        now_s = world.clock.now_s
        if now_s < self._looked_s + _LOOK_EVERY_S:
            return
        self._looked_s = now_s
        if not _is_calm(world):
            self._since_s = math.inf
            return
        self._since_s = min(self._since_s, now_s)
        if now_s >= self._since_s + _READ_WITHIN_S:
            self.last_s = now_s - _READ_WITHIN_S
            if _all_works(world):
                world.accounting.end_excuses(now_s - _OVER_AFTER_S)


def _is_calm(world: World) -> bool:
    process, reader = world.process, world.reader
    if process is None or not process.alive or process.reactor.is_frozen or process.agent.stopping:
        return False
    parts = process.agent._parts
    if parts.sink.left_metrics or parts.sink.problem or not reader.ready:
        return False
    links = [each._link for each in parts.connections.all() if each._link is not None]
    if any(link.inflow.waits or link.inflow.announcement_gate._frames for link in links):
        return False
    return all(
        connection.vanished or connection.from_peer.is_empty
        for connection in process.reactor.connections
    ) and not any(client._out for broker in world.brokers.values() for client in broker.clients)


def _all_works(world: World) -> bool:
    """Say whether each module runs and is connected, and nothing is about to replace it."""
    assert world.process is not None
    agent = world.process.agent
    return (
        agent._working is None
        and all(each.state is State.RUNNING for each in agent.supervisors)
        and all(each.connected for each in agent._parts.connections.all())
    )
