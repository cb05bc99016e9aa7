"""Connections are read only for modules that run, while the output has room.

What a connection has brought is handled before the next one begins, what a module wants is
subscribed on each connection, and filters that a broker has refused are asked for again. The wait
for announcements does not run out while nothing is read. A stop reads although the output is full.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from metrics_agent.agent import Agent
from metrics_agent.supervision.supervisor import State
from metrics_agent.transports.mqtt.subscriber import RETRY_DELAYS_S

__all__ = ["Reading"]

_EVERY: Final = 16
"""Look at every so many turns: a look costs as much as an ordinary turn."""


class Reading:
    """Looks at the connections of a process between two turns of its reactor.

    Args:
        violate: called with what must not happen.
    """

    def __init__(self, violate: Callable[[str], object]) -> None:
        self._violate = violate
        self._turns = 0
        self._links: list[tuple[Any, Any]] = []
        self._waits: dict[int, float] = {}
        self._is_draining = False

    def look(self, agent: Agent) -> None:
        """Look at some turns; a stop reads everything."""
        self._turns += 1
        if self._turns % _EVERY:
            return
        if agent.stopping:
            self._look_at_stop(agent)
            return
        for connection, link in self._links:
            if connection._link is not link:
                self._check_end(link)
        self._links.clear()
        waits, self._waits = self._waits, {}
        pressed = agent._parts.sink._pressed
        states = {each.module_name: each.state for each in agent.supervisors}
        for instance, connection in agent._parts.connections.named():
            state = states.get(instance)
            if state is State.PARKED:
                self._violate(f"{instance} is parked and has a connection")
            link = connection._link
            if link is None:
                continue
            self._links.append((connection, link))
            if link.alive:
                self._check_refused(instance, connection)
                self._check_pauses(instance, link, runs=state is State.RUNNING, pressed=pressed)
                if connection._awaits_announcements:
                    self._check_wait(instance, link.inflow.announcement_gate, waits)

    def _look_at_stop(self, agent: Agent) -> None:
        """See whether a stop reads, from the look after the one when it began to."""
        is_draining, self._is_draining = self._is_draining, agent._working is None
        if not (is_draining and self._is_draining) or agent._stopped is None:
            return
        for instance, connection in agent._parts.connections.named():
            if "pressure" in connection._pause_reasons:
                self._violate(f"a stop reads nothing for {instance}, since the output is full")

    def _check_wait(self, instance: str, gate: Any, waits: dict[int, float]) -> None:
        if not gate._paused:
            return
        if gate.active:
            # Another pause may begin at the same moment.
            if gate._reactor.seconds() > gate._paused_at_s:
                self._waits[id(gate)] = gate._paused_at_s
        elif waits.get(id(gate)) == gate._paused_at_s:
            self._violate(f"the wait for announcements of {instance} ends while nothing is read")

    def _check_pauses(self, instance: str, link: Any, *, runs: bool, pressed: bool) -> None:
        if not link.inflow.reading:
            return
        if not runs:
            self._violate(f"messages are read for {instance}, which does not run")
        elif pressed:
            self._violate(f"messages are read for {instance} while the output is full")

    def _check_refused(self, instance: str, connection: Any) -> None:
        subscriber = connection._subscriber
        may_retry = subscriber._to_retry and subscriber._retries < len(RETRY_DELAYS_S)
        if may_retry and not connection._resubscribes.active:
            names = ", ".join(sorted(subscriber._to_retry))
            self._violate(f"{instance} does not ask again for {names}, which were refused")
        handled = {*subscriber._granted, *subscriber._refused}
        missing = [
            name
            for name in connection._table.wanted()
            if name not in handled and subscriber._suspects.allows(name)
        ]
        if missing and not subscriber.pending_any(missing):
            self._violate(f"{instance} does not subscribe to {', '.join(sorted(missing))}")

    def _check_end(self, link: Any) -> None:
        inflow = link.inflow
        if inflow._reads or inflow._frames or inflow.announcement_gate._frames:
            self._violate("what a connection has brought waits after its end")
