"""When all works again after the last fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.simulation.configuration import INSTANCES, NUMBERED

if TYPE_CHECKING:
    from tests.simulation.process import AgentProcess
    from tests.simulation.world import World

__all__ = ["await_recovery", "backlog", "client_ids"]

_RECOVERY_S: Final = 100.0
"""After the last fault. A refused filter is asked for again after 65 s, a connection that vanished
is noticed after 45 s and made again within 5 s, a module that is parked waits for 20 s."""
_LOOK_EVERY_S: Final = 0.93
"""Not at the pace of the ticks, right after each of which a line is under way."""
_BACKLOG_S: Final = 0.02
"""For each message that waits at a broker then: it may send them one by one."""


def await_recovery(world: World) -> None:
    """Go on until all works again; a violation if that takes too long."""
    clock = world.clock
    healed_s = clock.now_s
    limit_s = _RECOVERY_S + _BACKLOG_S * backlog(world)
    while clock.now_s < healed_s + limit_s:
        if world.violations or _is_settled(world, healed_s):
            break
        clock.run(_LOOK_EVERY_S)
    if not (world.violations or _is_settled(world, healed_s)):
        world.violate(f"not recovered {limit_s:.0f} s after the last fault: {_state(world)}")


def backlog(world: World) -> int:
    """Return how many messages wait at all brokers."""
    return sum(
        len(session.inflight) + len(session.waiting)
        for broker in world.brokers.values()
        for session in broker.sessions.values()
    )


def client_ids(process: AgentProcess) -> set[str]:
    """Return the ids of the agent's connections; a module that was renamed had another."""
    return {each.client_id for each in process.agent._parts.connections.all()}


def _is_settled(world: World, healed_s: float) -> bool:
    """Whether the agent runs, and no broker has anything for it."""
    process = world.process
    if process is None or not process.alive or process.agent.stopping:
        return False
    running = {each.module_name: each.state.word for each in process.agent.supervisors}
    # By their own names: one that was renamed may still have to be reloaded.
    if running != dict.fromkeys(INSTANCES, "running"):
        return False
    if any(each.vanished and each.open for each in process.reactor.connections):
        return False
    # An output that was away for long is tried again after half a minute.
    sink = process.agent._parts.sink
    if sink.queued_bytes or sink.problem:
        return False
    # Ticks that failed may still have their module restarted, or parked.
    if min(_ticks(world).values()) < healed_s or world.seams.polls.given_s < healed_s:
        return False
    # A renamed module has left a session behind, which does not count.
    ids = client_ids(process)
    sessions = [
        session
        for broker in world.brokers.values()
        for session in broker.sessions.values()
        if session.client_id in ids
    ]
    return (
        # A broker does not notice the end of a connection that has vanished.
        all(each.connected for each in process.agent._parts.connections.all())
        and len(sessions) == len(ids)
        and world.devices.have_subscribers()
        and all(
            session.client is not None
            and bool(session.filters)
            and not list(session.unacknowledged())
            for session in sessions
        )
    )


def _ticks(world: World) -> dict[str, float]:
    return {name: world.steps.ticked_s.get(f"numbered:{name}", 0.0) for name in NUMBERED}


def _state(world: World) -> str:
    process = world.process
    if process is None or not process.alive:
        return "no agent runs"
    states = {each.module_name: each.state.word for each in process.agent.supervisors}
    left = {
        f"{session.client_id} at {port}": (
            session.client is not None,
            len(session.inflight),
            len(session.waiting),
        )
        for port, broker in world.brokers.items()
        for session in broker.sessions.values()
    }
    queued = process.agent._parts.sink.queued_bytes
    return (
        f"modules {states}, sessions (connected, in flight, waiting) {left}, "
        f"bytes queued for the output {queued}, last ticks {_ticks(world)}, "
        f"last poll {world.seams.polls.given_s:.1f}"
    )
