"""A model of a broker: sessions, QoS 0 and 1, retained messages, windows, limits, MQTT 3.1.1 and 5.

What it does is what mosquitto does, as far as `test_parity` compares the two. Filters of one client
that overlap are not modelled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from attrs import define, field
from twisted.internet import error

from metrics_agent.transports.mqtt.packets import encode_fixed_header
from tests.simulation.clock import SimClock
from tests.simulation.network import Connection

__all__ = ["BrokerOptions", "ModelBroker", "Publication", "Session", "matches"]

_CONNECT: Final = 1
_PUBLISH: Final = 3
_PUBACK: Final = 4
_SUBSCRIBE: Final = 8
_UNSUBSCRIBE: Final = 10
_PINGREQ: Final = 12
_DISCONNECT: Final = 14
_V5: Final = 5
_SESSION_EXPIRY: Final = 0x11
_RECEIVE_MAXIMUM: Final = 0x21
_PROPERTY_BYTES: Final = {0x11: 4, 0x21: 2, 0x27: 4, 0x22: 2, 0x19: 1, 0x17: 1}
OUT_BYTES: Final = 1 << 20
"""Of a client that does not read: above this QoS 0 is dropped."""


@define
class BrokerOptions:
    """How a broker is set up."""

    speaks_v5: bool = True
    max_inflight: int = 20
    max_queued: int = 1000
    queue_qos0: bool = False
    suback_first: bool = True
    retained_for_shared: bool = False


@define(eq=False)
class Publication:
    """A message on its way to one session."""

    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    sent: bool = False


@define(eq=False)
class Session:
    """What the broker keeps of a client."""

    client_id: str
    filters: dict[str, int] = field(factory=dict)
    waiting: deque[Publication] = field(factory=deque)
    inflight: dict[int, Publication] = field(factory=dict)
    next_id: int = 0
    persistent: bool = True
    client: _Client | None = None

    def unacknowledged(self) -> Iterator[Publication]:
        """Return what the broker still has for this client, in order."""
        yield from self.inflight.values()
        yield from self.waiting


class ModelBroker:
    """See the module.

    Args:
        clock: of the simulation.
        options: how it is set up; may be changed at any time.

    Attributes:
        sessions: by client id.
        silent: it accepts connections and never answers CONNECT.
        on_drop: called with a publication that a limit of the broker drops, and why.
        on_fault: called with what a client must not do.
        on_sent: called with a QoS 0 publication that was given to a connection, and what says
            whether the client's socket delivered it.
        on_transmit: called with each publication that goes out to a client, each time.
    """

    def __init__(self, clock: SimClock, options: BrokerOptions | None = None) -> None:
        self.clock = clock
        self.options = options or BrokerOptions()
        self.sessions: dict[str, Session] = {}
        self.retained: dict[str, Publication] = {}
        self.clients: list[_Client] = []
        self.up = True
        self.silent = False
        self.refused_filters: set[str] = set()
        self.on_drop: Callable[[Publication, str], object] = lambda _publication, _why: None
        self.on_sent: Callable[[Publication, Callable[[], bool]], object] = lambda _p, _d: None
        self.on_transmit: Callable[[Publication], object] = lambda _publication: None
        self.on_fault: Callable[[str], object] = lambda _what: None
        self.on_ack: Callable[[Publication], object] = lambda _publication: None

    # -- what devices do ---------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool = False) -> int:
        """Take a message for everyone who has subscribed.

        Returns:
            To how many sessions it goes.
        """
        if retain:
            if payload:
                self.retained[topic] = Publication(topic, payload, qos, retain=True)
            else:
                self.retained.pop(topic, None)
        count = 0
        shared: dict[str, list[tuple[Session, int]]] = {}
        for session in self.sessions.values():
            granted = -1
            for name, most in session.filters.items():
                if name.startswith("$share/"):
                    if matches(name.split("/", 2)[2], topic):
                        shared.setdefault(name, []).append((session, most))
                elif matches(name, topic):
                    granted = max(granted, most)
            if granted >= 0:
                count += 1
                self._give(session, Publication(topic, payload, min(qos, granted)))
        for members in shared.values():
            connected = [each for each in members if each[0].client is not None] or members
            session, most = self.clock.random.choice(connected)
            count += 1
            self._give(session, Publication(topic, payload, min(qos, most)))
        return count

    def _give(self, session: Session, publication: Publication) -> None:
        client = session.client
        if publication.qos == 0:
            if client is not None and not any(each.qos == 0 for each in session.waiting):
                client.send_qos0(publication)
            elif self.options.queue_qos0 and len(session.waiting) < self.options.max_queued:
                session.waiting.append(publication)
            else:
                self.on_drop(publication, "not_connected")
            return
        if len(session.waiting) >= self.options.max_queued:
            self.on_drop(publication, "queue_full")
            return
        session.waiting.append(publication)
        if client is not None:
            client.send_waiting()

    def has_subscriber(self, topic: str) -> bool:
        """Say whether a session has subscribed to a topic."""
        return any(
            matches(name, topic) for session in self.sessions.values() for name in session.filters
        )

    # -- what happens to it ------------------------------------------------------------------

    def accept(self, connection: Connection) -> None:
        """Take a connection.

        Raises:
            ConnectionRefusedError: it is down.
        """
        if not self.up:
            raise error.ConnectionRefusedError
        self.clients.append(_Client(self, connection))

    def stop(self, *, persistent: bool, in_order: bool) -> None:
        """End the process.

        Args:
            persistent: sessions and retained messages are there again at the next start.
            in_order: what was sent still arrives.
        """
        self.up = False
        for client in tuple(self.clients):
            client.cut(in_order=in_order)
        if not persistent:
            for session in self.sessions.values():
                for publication in session.unacknowledged():
                    self.on_drop(publication, "broker_forgot")
            self.sessions.clear()
            self.retained.clear()

    def start(self) -> None:
        """Listen again."""
        self.up = True


class _Client:
    """A connection as the broker sees it."""

    def __init__(self, broker: ModelBroker, connection: Connection) -> None:
        self._broker = broker
        self._clock = broker.clock
        self.connection = connection
        self._in = bytearray()
        self._out = bytearray()
        self._given = 0
        self._window = broker.options.max_inflight
        self._v5 = False
        self._heard_s = broker.clock.now_s
        self._keepalive_s = 10.0
        self._left = False
        self.session: Session | None = None
        connection.to_peer.receive = self._received
        connection.from_peer.on_room = self._flush
        connection.on_closed = self._gone
        self._clock.later(15.0, self._check)

    # -- the connection ----------------------------------------------------------------------

    def cut(self, *, in_order: bool = False) -> None:
        """End the connection."""
        self._gone()
        if in_order:
            self.connection.peer_closes()
        else:
            self.connection.reset()

    def _gone(self) -> None:
        if self in self._broker.clients:
            self._broker.clients.remove(self)
        session = self.session
        if session is not None and session.client is self:
            session.client = None
            if not session.persistent:
                for publication in session.unacknowledged():
                    self._broker.on_drop(publication, "clean_session")
                self._broker.sessions.pop(session.client_id, None)
        self.session = None
        self._out.clear()

    def _check(self) -> None:
        if self in self._broker.clients:
            if self._clock.now_s - self._heard_s > 1.5 * self._keepalive_s:
                self.cut()
            else:
                self._clock.later(self._keepalive_s / 2, self._check)

    def _write(self, first: int, body: bytes) -> None:
        packet = encode_fixed_header(first, len(body)) + body
        self._given += len(packet)
        self._out += packet
        self._flush()

    def _flush(self) -> None:
        if self._out and self.connection.open:
            del self._out[: self.connection.from_peer.write(self._out)]

    # -- packets from the client -------------------------------------------------------------

    def _received(self, data: bytes) -> None:
        if self._broker.silent and self.session is None:
            return
        self._heard_s = self._clock.now_s
        self._in += data
        while (packet := self._next_packet()) is not None:
            first, body = packet
            kind = first >> 4
            if kind == _CONNECT:
                self._connect(body)
            elif self.session is not None:
                self._handle(first, body)
            elif self._left:
                self._broker.on_fault(f"a packet of type {kind} follows DISCONNECT")

    def _handle(self, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == _PUBACK:
            self._acknowledged((body[0] << 8) + body[1])
        elif kind == _PUBLISH:
            self._publish(first, body)
        elif kind == _SUBSCRIBE:
            self._subscribe(body)
        elif kind == _UNSUBSCRIBE:
            self._unsubscribe(body)
        elif kind == _PINGREQ:
            self._write(0xD0, b"")
        elif kind == _DISCONNECT:
            self._left = True
            self._gone()
            self.connection.peer_closes()

    def _acknowledged(self, packet_id: int) -> None:
        session = self.session
        assert session is not None
        publication = session.inflight.pop(packet_id, None)
        if publication is None:
            self._broker.on_fault(f"PUBACK of {packet_id}, which is not in flight")
            return
        self._broker.on_ack(publication)
        self.send_waiting()

    def _next_packet(self) -> tuple[int, bytes] | None:
        length = shift = 0
        for index in range(1, min(len(self._in), 5)):
            digit = self._in[index]
            length |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                end = index + 1 + length
                if len(self._in) < end:
                    return None
                packet = self._in[0], bytes(self._in[index + 1 : end])
                del self._in[:end]
                return packet
        return None

    def _connect(self, body: bytes) -> None:
        level, flags = body[6], body[7]
        self._v5 = level == _V5
        self._keepalive_s = float((body[8] << 8) + body[9]) or 1e9
        broker = self._broker
        if self._v5 and not broker.options.speaks_v5:
            self._write(0x20, b"\0\x01")
            self.connection.peer_closes()
            return
        rest = body[10:]
        persistent = not flags & 2
        if self._v5:
            properties, rest = _properties(rest)
            self._window = min(properties.get(_RECEIVE_MAXIMUM, 65535), 65535)
            persistent = bool(properties.get(_SESSION_EXPIRY, 0))
        client_id, _rest = _text(rest)
        session = broker.sessions.get(client_id)
        if session is not None and session.client is not None:
            other = session.client
            if other._v5:
                other._write(0xE0, b"\x8e\0")
            other.cut(in_order=True)
        present = session is not None and not flags & 2
        if session is None or flags & 2:
            session = Session(client_id)
        self.session = session
        session.client = self
        session.persistent = persistent
        broker.sessions[client_id] = session
        self._write(0x20, bytes((present, 0)) + (b"\0" if self._v5 else b""))
        for packet_id, publication in session.inflight.items():
            self._send(publication, packet_id, dup=True)
        self.send_waiting()

    def _publish(self, first: int, body: bytes) -> None:
        topic, rest = _text(body)
        qos = first >> 1 & 3
        if qos:
            self._write(0x40, rest[:2])
            rest = rest[2:]
        if self._v5:
            _values, rest = _properties(rest)
        self._broker.publish(topic, rest, qos, retain=bool(first & 1))

    def _subscribe(self, body: bytes) -> None:
        session = self.session
        assert session is not None
        packet_id, rest = body[:2], body[2:]
        if self._v5:
            _values, rest = _properties(rest)
        codes = bytearray()
        granted: list[tuple[str, int]] = []
        while rest:
            name, rest = _text(rest)
            qos, rest = rest[0] & 3, rest[1:]
            if name in self._broker.refused_filters:
                codes.append(0x87 if self._v5 else 0x80)
                continue
            session.filters[name] = qos
            codes.append(qos)
            granted.append((name, qos))
        answer = packet_id + (b"\0" if self._v5 else b"") + bytes(codes)
        if self._broker.options.suback_first:
            self._write(0x90, answer)
        for name, qos in granted:
            shared = name.startswith("$share/")
            if shared and not self._broker.options.retained_for_shared:
                continue
            inner = name.split("/", 2)[2] if shared else name
            for topic, publication in self._broker.retained.items():
                if matches(inner, topic):
                    self._retained(publication, min(qos, publication.qos))
        if not self._broker.options.suback_first:
            self._write(0x90, answer)

    def _retained(self, publication: Publication, qos: int) -> None:
        copy = Publication(publication.topic, publication.payload, qos, retain=True)
        session = self.session
        assert session is not None
        if qos == 0:
            self._send(copy, 0)
        else:
            session.waiting.append(copy)
            self.send_waiting()

    def _unsubscribe(self, body: bytes) -> None:
        session = self.session
        assert session is not None
        packet_id, rest = body[:2], body[2:]
        if self._v5:
            _values, rest = _properties(rest)
        count = 0
        while rest:
            name, rest = _text(rest)
            session.filters.pop(name, None)
            count += 1
        self._write(0xB0, packet_id + (b"\0" + bytes(count) if self._v5 else b""))

    # -- packets to the client ---------------------------------------------------------------

    def send_qos0(self, publication: Publication) -> None:
        """Send a message, or drop it where the client does not read."""
        if len(self._out) > OUT_BYTES:
            self._broker.on_drop(publication, "slow_client")
            return
        self._send(publication, 0)
        connection, end = self.connection, self._given
        self._broker.on_sent(publication, lambda: connection.from_peer.delivered >= end)

    def send_waiting(self) -> None:
        """Send what the window has room for."""
        session = self.session
        if session is None:
            return
        while session.waiting and len(session.inflight) < self._window:
            publication = session.waiting.popleft()
            if publication.qos == 0:
                self.send_qos0(publication)
                continue
            session.next_id = session.next_id % 65535 + 1
            session.inflight[session.next_id] = publication
            self._send(publication, session.next_id)

    def _send(self, publication: Publication, packet_id: int, *, dup: bool = False) -> None:
        self._broker.on_transmit(publication)
        topic = publication.topic.encode()
        body = len(topic).to_bytes(2, "big") + topic
        first = 0x30 | publication.qos << 1 | publication.retain
        if publication.qos:
            body += packet_id.to_bytes(2, "big")
            first |= dup << 3
        if self._v5:
            body += b"\0"
        self._write(first, body + publication.payload)


def matches(topic_filter: str, topic: str) -> bool:
    """Say whether a topic belongs to a filter."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] != levels[0]:
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index == len(levels) or level not in {"+", levels[index]}:
            return False
    return len(wanted) == len(levels)


def _text(data: bytes) -> tuple[str, bytes]:
    end = (data[0] << 8) + data[1] + 2
    return data[2:end].decode(), data[end:]


def _properties(data: bytes) -> tuple[dict[int, int], bytes]:
    length = shift = position = 0
    while True:
        digit = data[position]
        position += 1
        length |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:
            break
    end = position + length
    values = {}
    while position < end:
        name = data[position]
        size = _PROPERTY_BYTES[name]
        values[name] = int.from_bytes(data[position + 1 : position + 1 + size], "big")
        position += 1 + size
    return values, data[end:]
