"""The agent's states, in words: a fault may strike in any of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from metrics_agent.agent import Agent
from metrics_agent.supervision.lifecycle import State

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["STATES", "states_of"]

STATES: Final = (
    "not there",
    "starting",
    "running",
    "reloading",
    "stopping",
    "standing still",
    "pressed",
    "draining",
    "not connected",
    "awaiting announcements",
    "paused with messages",
    "holding acknowledgements",
    "module starting",
    "module backing off",
    "module parked",
    "module leaving",
)
"""The first six exclude each other; several of the others may hold at once."""


def states_of(world: World) -> Iterator[str]:
    """Yield all that holds now."""
    process = world.process
    if process is None or not process.alive:
        yield "not there"
        return
    agent = process.agent
    yield _phase(process)
    sink = agent._parts.sink
    if sink._pressed:
        yield "pressed"
    if sink._drains:
        yield "draining"
    yield from _of_connections(agent)
    yield from _of_modules(agent)


def _of_connections(agent: Agent) -> Iterator[str]:
    connections = agent._parts.connections.all()
    links = [link for each in connections if (link := each._link) is not None]
    if not all(each.connected for each in connections):
        yield "not connected"
    if any(link.inflow.announcement_gate.active for link in links):
        yield "awaiting announcements"
    if any(link.inflow._held and (link.inflow._reads or link.inflow._frames) for link in links):
        yield "paused with messages"
    if any(len(link.acknowledgements) for link in links):
        yield "holding acknowledgements"


def _of_modules(agent: Agent) -> Iterator[str]:
    states = {each.state for each in agent.supervisors}
    if State.STARTING in states:
        yield "module starting"
    if State.BACKING_OFF in states:
        yield "module backing off"
    if State.PARKED in states:
        yield "module parked"
    if agent._modules._leaving or State.CLEARING in states:
        yield "module leaving"


def _phase(process: Any) -> str:
    agent = process.agent
    if process.reactor.is_frozen:
        return "standing still"
    if agent.stopping:
        return "stopping"
    if agent._working is None:
        return "running"
    return "reloading" if agent.reloads or process.has_started else "starting"
