"""The wait for announcements ends when it may, goes on after a pause, and a stop leaves what waits.

Watched by looking at each connection that awaits announcements after each turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import define, field

from metrics_agent.agent import Agent
from metrics_agent.transports.mqtt.announcement_gate import ANSWER_S, _is_kept
from tests.simulation.accounting import little_is_set_aside
from tests.simulation.broker import ModelBroker, Publication, matches

__all__ = ["Awaiting", "check_qos"]

_ROUNDED_S: Final = 1e-6
_TOPICS: Final = ("tasmota/discovery/A4CF/config", "homeassistant/sensor/h0q0/power/config")
"""Announcements of devices."""


def check_qos(violate: Callable[[str], object], name: str, qos: int) -> None:
    """See that announcements are asked for at QoS 0, so that they wait for no acknowledgement."""
    if qos and any(matches(name, topic) for topic in _TOPICS):
        violate(f"announcements, {name}, are subscribed to at QoS {qos}")


@define(eq=False)
class _Wait:
    """A connection that awaited announcements after the last turn.

    Attributes:
        began_s: when it was seen first.
        barrier: what it waits for.
        left_s: how much of its time was left when a pause began; None without a pause.
        aside: packets that are set aside.
    """

    link: Any
    began_s: float
    barrier: object = None
    left_s: float | None = None
    aside: list[Any] = field(factory=list)


class Awaiting:
    """Looks at the connections of a process after each turn of its reactor.

    Args:
        violate: called with what must not happen.
        brokers: that have what a stop leaves to them.
    """

    def __init__(
        self, violate: Callable[[str], object], brokers: Mapping[int, ModelBroker]
    ) -> None:
        self._violate = violate
        self._brokers = brokers
        self._waits: dict[str, _Wait] = {}
        self._stood_s = 0.0
        self._left: dict[Publication, tuple[Any, Any]] = {}

    def look(self, agent: Agent, now_s: float, stood_s: float) -> None:
        """Look at all; what ran at once after the process stood still is not judged."""
        has_stood, self._stood_s = stood_s != self._stood_s, stood_s
        for connection in agent._parts.connections.all():
            link = connection._link
            wait = self._waits.pop(connection.client_id, None)
            if link is None or (wait is not None and wait.link is not link):
                continue
            gate = link.inflow.announcement_gate
            if wait is not None and has_stood:
                wait = _Wait(link, wait.began_s) if gate.active else None
            if wait is not None and not connection._awaits_announcements:
                self._check_left(agent, connection, wait)
            elif gate.active and connection._awaits_announcements:
                wait = self._waits[connection.client_id] = wait or _Wait(link, now_s)
                self._check_pause(connection, wait)
            elif wait is not None and link.alive:
                self._check_end(connection, wait, now_s)

    def _check_pause(self, connection: Any, wait: _Wait) -> None:
        """See that a pause has left as much time as there was, if the barrier is the same."""
        gate = wait.link.inflow.announcement_gate
        wait.aside = gate._frames
        if gate._paused:
            wait.left_s = gate._end_s() - gate._paused_at_s
        elif wait.left_s is not None:
            left_s = gate._end_s() - connection._reactor.seconds()
            if left_s > wait.left_s + _ROUNDED_S and gate._barrier is wait.barrier is not None:
                self._violate("a pause begins the wait for announcements again")
            wait.left_s = None
        wait.barrier = gate._barrier

    def _check_end(self, connection: Any, wait: _Wait, now_s: float) -> None:
        """See that the broker has answered by now, or had the time to."""
        filters = connection._table.announcement_filters
        unanswered = connection._subscriber._unanswered.values()
        if (
            now_s < wait.began_s + ANSWER_S
            and any(name in filters for names in unanswered for name in names)
            and not little_is_set_aside()
        ):
            self._violate("the wait for announcements ends before they are subscribed to")

    def _check_left(self, agent: Agent, connection: Any, wait: _Wait) -> None:
        """Take note of what waits when a stop ends the wait: that stays at the broker."""
        if not agent.stopping or little_is_set_aside():
            return
        for packet in wait.aside:
            if _is_kept(packet):
                _first, body = packet
                self._note_left(connection, wait.link, body)

    def _note_left(self, connection: Any, link: Any, body: bytes) -> None:
        at = int.from_bytes(body[:2], "big") + 2
        packet_id = int.from_bytes(body[at : at + 2], "big")
        for broker in self._brokers.values():
            session = broker.sessions.get(connection.client_id)
            publication = None if session is None else session.inflight.get(packet_id)
            if publication is not None:
                self._left[publication] = connection, link

    def acknowledged(self, publication: Publication) -> None:
        """See that what a stop has left to the broker is not acknowledged on that connection."""
        connection, link = self._left.get(publication, (None, None))
        if link is not None and (connection._link is None or connection._link is link):
            self._violate(
                f"{publication.topic} {publication.payload!r} waited for announcements when a "
                "stop began, and is not left to the broker"
            )
