"""Modules that shall run are there and start in time, and what is stopped connects no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from metrics_agent.agent import Agent
from metrics_agent.supervision.lifecycle import State
from metrics_agent.transports.reconnecting import Reconnecting

__all__ = ["Supervising"]

_SLACK_S: Final = 0.1


class Supervising:
    """Looks at the modules of a process after turns of its reactor.

    Args:
        violate: called with what must not happen.
        start_s: how long the start of a module may take.
    """

    def __init__(self, violate: Callable[[str], object], start_s: float) -> None:
        self._violate = violate
        self._start_s = start_s
        self._began_s: dict[str, tuple[object, float]] = {}

    def look(self, agent: Agent, factories: Iterable[Any], ran_s: float) -> None:
        """Look now.

        Args:
            agent: in the process.
            factories: of the attempts to connect that are under way.
            ran_s: the time, without that in which the process stood still.
        """
        if not agent.stopping and agent._working is None:
            missing = {each.name for each in agent.plan.modules}
            missing -= {each.module_name for each in agent.supervisors}
            missing -= {*agent._modules._leaving}
            if missing:
                self._violate(f"nothing runs {sorted(missing)}")
        self._look_at_starts(agent, ran_s)
        for factory in factories:
            owner = _owner_of(factory)
            if owner is not None and not owner._running:
                self._violate(f"a stopped connection to {owner.address} is made")

    def _look_at_starts(self, agent: Agent, ran_s: float) -> None:
        before, self._began_s = self._began_s, {}
        for each in agent.supervisors:
            if each.state is not State.STARTING:
                continue
            name, life = each.module_name, each._life
            began = before.get(name)
            if began is None or began[0] is not life:
                began = life, ran_s
            self._began_s[name] = began
            if ran_s - began[1] > self._start_s + _SLACK_S:
                self._violate(f"{name} has been starting for {ran_s - began[1]:.1f} s")


def _owner_of(factory: Any) -> Any:
    """Return what connects, if it is a `Reconnecting`."""
    wrapped = getattr(factory, "_wrappedFactory", factory)
    owner = getattr(getattr(wrapped, "_make", None), "__self__", None)
    return owner if isinstance(owner, Reconnecting) else None
