"""Which connections may be read: those of modules that run, while the output is not full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from metrics_agent.agent import Agent
from metrics_agent.supervision.supervisor import State

__all__ = ["Reading"]

_EVERY: Final = 16
"""Of the turns, that many for one look: it costs as much as an ordinary turn."""


class Reading:
    """Looks at the connections of a process between two turns of its reactor.

    Args:
        violate: called with what must not happen.
    """

    def __init__(self, violate: Callable[[str], object]) -> None:
        self._violate = violate
        self._turns = 0

    def look(self, agent: Agent) -> None:
        """Look now and then; not during a stop, which reads what has come."""
        self._turns += 1
        if self._turns % _EVERY or agent.stopping:
            return
        pressed = agent._parts.sink._pressed
        running = {each.module_name for each in agent.supervisors if each.state is State.RUNNING}
        for instance, connection in agent._parts.connections.named():
            link = connection._link
            if link is None or not link.alive or not link.inflow.reading:
                continue
            if instance not in running:
                self._violate(f"messages are read for {instance}, which does not run")
            elif pressed:
                self._violate(f"messages are read for {instance} while the output is full")
