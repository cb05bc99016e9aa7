"""Each connection ends in order, answers count for the pings they are for, and filters wait.

What may never be so is looked for after each turn, whether or not a message is lost by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from attrs import frozen

from metrics_agent.agent import Agent
from metrics_agent.supervision.lifecycle import State
from metrics_agent.transports.mqtt.inflow import _READING_ONLY, ENDING

__all__ = ["Links"]

_SWAP: Final = "reload"
"""Why nothing is read while modules are replaced."""
_STOP: Final = "stop"
"""And from when they stop for good."""


@frozen(eq=False)
class _Pings:
    """Pings of a link that were unanswered after a turn, and the timer of the next one."""

    unanswered: list[Any]
    tick: object

    def is_out_of_order(self, link: Any) -> bool:
        """Say whether the answers since then were not for the first of them."""
        now, ticked = list(link._pings), link._ticks._call is not self.tick
        for index, ping in enumerate(self.unanswered):
            if ping is None or not now:
                continue
            later = self.unanswered[index + 1 :].count(None)
            left = now.count(None)
            if ping in now and left < later:
                return True
            if ping not in now and left - ticked > later:
                return True
        return False


class Links:
    """Looks at the connections of a process after each turn of its reactor.

    Args:
        violate: called with what must not happen.
    """

    def __init__(self, violate: Callable[[str], object]) -> None:
        self._violate = violate
        self._pings: dict[Any, _Pings] = {}
        self._asked: dict[Any, set[int]] = {}
        self._ending: Mapping[Any, bool] = {}
        self._read: dict[Any, tuple[str, Any]] = {}
        self._waits: dict[Any, bool] = {}

    def reload_begins(self, agent: Agent) -> None:
        """Take note of the connections that are read."""
        connections = agent._parts.connections
        self._read = {
            each: (name, each._link)
            for name, each in connections.named()
            if name in connections._running and each._link is not None and each._link.alive
        }
        self._look_at_waiting(agent)

    def look(self, agent: Agent) -> None:
        """Look at all."""
        connections = agent._parts.connections
        pings, self._pings = self._pings, {}
        asked, self._asked = self._asked, {}
        for connection in connections.all():
            link = connection._link
            if link is None:
                continue
            if (before := pings.get(link)) is not None and before.is_out_of_order(link):
                self._violate("an answer counts for another ping than the first unanswered one")
            if len(link._pings) > 1:
                self._pings[link] = _Pings(list(link._pings), link._ticks._call)
            gate = link.inflow.announcement_gate
            if gate.active or gate._leaves:
                self._check_gate(connection, link, gate, asked)
        if connections._ending is not self._ending:
            self._ending = connections._ending
            self._check_reads()
        if agent.stopping:
            self._look_at_stop(agent)
        elif self._read:
            self._look_at_reload(agent)

    def _check_gate(
        self, connection: Any, link: Any, gate: Any, asked: Mapping[Any, set[int]]
    ) -> None:
        if gate._leaves:
            if not gate.active and not link.inflow._closed:
                self._violate("what a stop leaves to the broker is handed on")
            return
        if link.lost is not None:
            self._violate("messages of a connection that is lost wait for announcements")
        unanswered = connection._subscriber._unanswered
        self._asked[link] = {*unanswered}
        new = self._asked[link] - asked.get(link, self._asked[link])
        if new:
            learned, allows = connection._table.learned(), connection._subscriber._suspects.allows
            names = [name for each in new for name in unanswered[each]]
            early = [name for name in names if name in learned and allows(name)]
            if early:
                self._violate(f"{early[0]} is subscribed to while announcements are awaited")

    def _check_reads(self) -> None:
        """See that what is about to end is read, from the beginning of the wait on."""
        for connection in self._ending:
            last, link = connection._last_reads._last, connection._link
            is_waited_for = last is not None and not last.passed.called
            if is_waited_for and link is not None and ENDING in connection._pause_reasons:
                self._violate("it is waited for what a connection brings, which is not read")

    def _look_at_stop(self, agent: Agent) -> None:
        """See that what was read is handed on before modules stop."""
        self._read.clear()
        connections = agent._parts.connections
        if _STOP not in connections._pause_reasons:
            ending = self._ending.keys() & connections.all()
            self._waits = {each: _can_be_handed_on(each, frozenset()) for each in ending}
            return
        for connection, can_be in self._waits.items():
            link = connection._link
            if can_be and link is not None and link.alive and link.inflow.waits:
                self._violate("a stop ends the reading before what was read is handed on")
        self._waits.clear()

    def _look_at_reload(self, agent: Agent) -> None:
        connections = agent._parts.connections
        if _SWAP in connections._pause_reasons:
            states = {each.module_name: each.state for each in agent.supervisors}
            for name in connections._running:
                if states.get(name) is not State.RUNNING:
                    self._violate(f"{name} counts as running in a reload that stops it")
        kept = {*connections.all()}
        for connection, (name, link) in tuple(self._read.items()):
            if connection._link is not link or not link.alive or name in connections._parked:
                del self._read[connection]
            elif connection not in kept:
                self._check_end(connection, link)
        self._look_at_waiting(agent)

    def _check_end(self, connection: Any, link: Any) -> None:
        last = connection._last_reads._last
        if last is None:
            self._violate("a reload ends a connection without waiting for what it brings")
        elif self._waits.get(connection) and not last.passed.called:
            self._violate("a reload ends a connection before what was read is handed on")
        if not (link.inflow._held or link._said_goodbye):
            self._violate("what came on a connection that a reload ends is not handed on")

    def _look_at_waiting(self, agent: Agent) -> None:
        """Take note of what was read and can be handed on when a reload has waited long enough."""
        connections = agent._parts.connections
        self._waits = {
            each: _can_be_handed_on(each, connections._pause_reasons)
            for each in self._read
            if each in connections.all()
        }


def _can_be_handed_on(connection: Any, liftable: AbstractSet[str]) -> bool:
    """Say whether something waits, which some reasons alone keep back, and the socket is read."""
    link = connection._link
    if link is None or ENDING in connection._pause_reasons:
        return False
    return bool(link.inflow.waits and link.inflow._reasons <= _READING_ONLY | liftable)
