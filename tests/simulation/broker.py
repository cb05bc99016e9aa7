"""A model of a broker: what it distributes, keeps and refuses, with MQTT 3.1.1 and 5.

It does what mosquitto 2.0.11 and 2.0.21 do, as far as `test_parity` compares them; how they and
other brokers differ is set by options. A connection is a `BrokerClient`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from attrs import evolve
from twisted.internet import error

from tests.simulation.broker_client import BrokerClient
from tests.simulation.broker_packets import NEVER_S, Connect, Will, matches, order_of
from tests.simulation.broker_session import (
    BrokerOptions,
    Holder,
    Publication,
    Session,
    Subscription,
)
from tests.simulation.clock import SimClock
from tests.simulation.network import Connection

__all__ = ["BrokerOptions", "ModelBroker", "Publication", "Session", "matches"]

_SHARE: Final = "$share/"


class _Route(NamedTuple):
    """Where messages of a topic go: to one session, or to one of a group."""

    order: tuple[object, ...]
    session: Session | None
    filter: str


class ModelBroker:
    """See the module.

    Args:
        clock: of the simulation.
        options: how it is set up; may be changed at any time.

    Attributes:
        usual: its first options.
        sessions: by client id.
        silent: it accepts connections and never answers CONNECT.
        refusal: why it refuses to accept a connection, a key of `broker_client.REFUSALS`.
        refused_filters: filters that no client may subscribe to.
        cuts_at_subscribe: how many more SUBSCRIBEs end their connection unread.
        refused_v5: the last connection of each client that it has refused for MQTT 5.
        unreadable: filters of topics whose messages no client gets, without an error.
        unwritable: filters of topics that no client may publish to.
        on_drop: called with a publication that the broker drops because of a limit, and why.
        on_fault: called with a client's breach of the protocol.
        on_sent: called with a QoS 0 publication that was given to a connection, and what says
            whether the client's socket delivered it.
        on_transmit: called with each publication that goes out to a client, each time.
        on_subscribe: called with a filter that a client asks for, and the QoS.
        on_unsubscribe: called with a filter that a client has given up.
        on_ack: called with a publication that the agent has acknowledged.
        on_publish: called with topic and payload of what a client publishes.
    """

    def __init__(self, clock: SimClock, options: BrokerOptions | None = None) -> None:
        self.clock = clock
        self.options = options or BrokerOptions()
        self.usual = evolve(self.options)
        self.sessions: dict[str, Session] = {}
        self.retained: dict[str, Publication] = {}
        self.clients: list[BrokerClient] = []
        self.up = True
        self.silent = False
        self.refusal = ""
        self.refused_filters: set[str] = set()
        self.refused_v5: dict[str, BrokerClient] = {}
        self.cuts_at_subscribe = 0
        self.unreadable: set[str] = set()
        self.unwritable: set[str] = set()
        self.on_drop: Callable[[Publication, str], object] = lambda _publication, _why: None
        self.on_sent: Callable[[Publication, Callable[[], bool]], object] = lambda _p, _d: None
        self.on_transmit: Callable[[Publication], object] = lambda _publication: None
        self.on_subscribe: Callable[[str, int], object] = lambda _name, _qos: None
        self.on_unsubscribe: Callable[[str], object] = lambda _name: None
        self.on_fault: Callable[[str], object] = lambda _what: None
        self.on_ack: Callable[[Publication], object] = lambda _publication: None
        self.on_publish: Callable[[str, bytes], object] = lambda _topic, _payload: None
        self._groups: dict[str, list[Session]] = defaultdict(list)
        self._routes: dict[str, list[_Route]] = {}

    # -- messages ----------------------------------------------------------------------------

    def publish(
        self, topic: str, payload: bytes, qos: int, *, retain: bool = False, source: str = ""
    ) -> int:
        """Distribute a message to all subscribers.

        Returns:
            How many sessions of the agent it goes to, those that drop it included.
        """
        if retain:
            if payload:
                self.retained[topic] = Publication(topic, payload, qos, retain=True)
            else:
                self.retained.pop(topic, None)
        taken: set[str] = set()
        counted: set[str] = set()
        for session, subscription in self._receivers(topic):
            name = session.client_id
            if subscription.no_local and name == source:
                continue
            if not session.v5 and name in taken:
                continue
            copy = Publication(
                topic, payload, min(qos, subscription.qos), retain and subscription.as_published
            )
            if session.client is None or session.client.is_ours:
                counted.add(name)
            why = session.take(copy)
            if why:
                self.on_drop(copy, why)
            else:
                taken.add(name)
        return len(counted)

    def has_subscriber(self, topic: str) -> bool:
        """Say whether there is a subscription that a topic belongs to."""
        return bool(self._routes_of(topic))

    def _routes_of(self, topic: str) -> list[_Route]:
        routes = self._routes.get(topic)
        if routes is None:
            routes = self._routes[topic] = sorted(self._find(topic), key=lambda route: route.order)
        return routes

    def _receivers(self, topic: str) -> Iterator[tuple[Session, Subscription]]:
        if self.unreadable and any(matches(name, topic) for name in self.unreadable):
            return
        for route in self._routes_of(topic):
            session = route.session
            if session is None:
                # Each in turn.
                group = self._groups[route.filter]
                connected = (each for each in group if each.client is not None)
                wanted = next(connected, None) if self.options.prefers_connected else None
                session = wanted or group[0]
                group.remove(session)
                group.append(session)
            yield session, session.filters[route.filter]

    def _find(self, topic: str) -> Iterator[_Route]:
        for name in self._groups:
            inner = _inner(name)
            if self._groups[name] and matches(inner, topic):
                yield _Route((1, order_of(inner)), None, name)
        for session in self.sessions.values():
            for name in session.filters:
                if not name.startswith(_SHARE) and matches(name, topic):
                    yield _Route((0, order_of(name)), session, name)

    def retained_for(self, topic_filter: str) -> Iterator[Publication]:
        """Return the retained messages that a new subscription gets."""
        options = self.options
        if topic_filter.startswith(_SHARE) and not options.retained_for_shared:
            return
        inner = _inner(topic_filter)
        if not options.retained_for_wildcards and {"+", "#"} & set(inner.split("/")):
            return
        for topic, publication in self.retained.items():
            if matches(inner, topic) and not any(matches(name, topic) for name in self.unreadable):
                yield publication

    def may_publish(self, topic: str) -> bool:
        """Say whether a client may publish to a topic."""
        return not any(matches(name, topic) for name in self.unwritable)

    # -- sessions ----------------------------------------------------------------------------

    def subscribe(self, session: Session, name: str, wanted: Subscription) -> bool:
        """Note a subscription; return whether there was none to this filter."""
        known = session.filters.get(name)
        if known is not None:
            known.qos = wanted.qos
            return False
        session.filters[name] = wanted
        if name.startswith(_SHARE):
            self._groups[name].append(session)
        self._routes.clear()
        return True

    def unsubscribe(self, session: Session, name: str) -> bool:
        """Forget a subscription; return whether there was one."""
        if session.filters.pop(name, None) is None:
            return False
        if name.startswith(_SHARE):
            self._groups[name].remove(session)
        self._routes.clear()
        return True

    def open_session(self, connect: Connect, holder: Holder) -> tuple[Session, bool]:
        """Give a client its session, taking it over if needed; return it and whether it existed."""
        name = connect.client_id
        session = self.sessions.get(name)
        if session is not None:
            before, session.client = session.client, None
            # A broker that was silent may read the CONNECT of one that is gone after a newer one.
            clients = (before, holder)
            if all(each is not None and each.is_ours and each.is_open for each in clients):
                self.on_fault(f"two connections of the agent have the client id {name}")
            goes_on = not connect.clean and session.expiry_s > 0
            if before is not None:
                before.taken_over(with_will=connect.clean or not session.expiry_s)
            if not goes_on:
                self.end_session(session, "clean_session")
                session = None
        present = session is not None
        if session is None:
            session = self.sessions[name] = Session(name, self.options)
        session.client = holder
        session.v5 = connect.v5
        session.expiry_s = connect.expiry_s
        session.ended += 1
        self._drop_unreadable(session)
        return session, present

    def _drop_unreadable(self, session: Session) -> None:
        if not self.unreadable:
            return
        for kept in (session.inflight, dict(enumerate(session.waiting))):
            for key, publication in tuple(kept.items()):
                if any(matches(name, publication.topic) for name in self.unreadable):
                    self.on_drop(publication, "unreadable")
                    del kept[key]
        session.waiting = type(session.waiting)(kept.values())

    def close_session(self, session: Session) -> None:
        """Note that the client is gone; keep the session until it expires."""
        session.client = None
        session.ended += 1
        if not session.expiry_s:
            self.end_session(session, "clean_session")
        elif session.expiry_s < NEVER_S:
            self.clock.later(float(session.expiry_s), self._expire, session, session.ended)

    def _expire(self, session: Session, ended: int) -> None:
        if session.ended == ended:
            self.end_session(session, "session_expired")

    def end_session(self, session: Session, why: str) -> None:
        """Forget a session and its messages if it still exists."""
        if self.sessions.get(session.client_id) is not session:
            return
        for publication in session.unacknowledged():
            self.on_drop(publication, why)
        for name in tuple(session.filters):
            self.unsubscribe(session, name)
        session.ended += 1
        del self.sessions[session.client_id]

    # -- what happens to it ------------------------------------------------------------------

    def accept(self, connection: Connection) -> None:
        """Take a connection.

        Raises:
            ConnectionRefusedError: it is down.
        """
        if not self.up:
            raise error.ConnectionRefusedError
        self.clients.append(BrokerClient(self, connection))

    def send_will(self, will: Will, source: str) -> None:
        """Publish a client's will."""
        if self.up and self.may_publish(will.topic):
            self.publish(will.topic, will.payload, will.qos, retain=will.retain, source=source)

    def stop(self, *, persistent: bool, in_order: bool) -> None:
        """End the process.

        Args:
            persistent: sessions and retained messages survive until the next start.
            in_order: what was sent still arrives.
        """
        if in_order:
            for client in tuple(self.clients):
                client.leave_will()
        self.up = False
        for client in tuple(self.clients):
            client.cut(in_order=in_order)
        for session in tuple(self.sessions.values()):
            if persistent:
                session.restored()
            else:
                self.end_session(session, "broker_forgot")
        if not persistent:
            self.retained.clear()

    def start(self) -> None:
        """Listen again."""
        self.up = True


def _inner(name: str) -> str:
    return name.split("/", 2)[2] if name.startswith(_SHARE) else name
