"""Connections are read only for modules that run, while the output has room.

What a connection has brought is handled before the next one begins, what a module wants is
subscribed on each connection, and filters that a broker has refused are asked for again.
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

    def look(self, agent: Agent) -> None:
        """Look at some turns, but not during a stop, which reads everything."""
        self._turns += 1
        if self._turns % _EVERY or agent.stopping:
            return
        for connection, link in self._links:
            if connection._link is not link:
                self._check_end(link)
        self._links.clear()
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
