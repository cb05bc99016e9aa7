"""A connection as the model of a broker sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from metrics_agent.transports.mqtt.packets import encode_fixed_header
from tests.simulation.broker_packets import (
    MAXIMUM_PACKET_SIZE,
    MAXIMUM_QOS,
    RECEIVE_MAXIMUM,
    SERVER_KEEP_ALIVE,
    TOPIC_ALIAS,
    TOPIC_ALIAS_MAXIMUM,
    V5,
    Connect,
    Will,
    read_connect,
    read_properties,
    read_text,
    write_properties,
    write_text,
)
from tests.simulation.broker_session import Publication, Session, Subscription

if TYPE_CHECKING:
    from tests.simulation.broker import ModelBroker
    from tests.simulation.network import Connection

__all__ = ["OUT_BYTES", "REFUSALS", "BrokerClient"]

_CONNECT: Final = 1
_PUBLISH: Final = 3
_PUBACK: Final = 4
_SUBSCRIBE: Final = 8
_UNSUBSCRIBE: Final = 10
_PINGREQ: Final = 12
_DISCONNECT: Final = 14
OUT_BYTES: Final = 1 << 20
"""QoS 0 messages are dropped while more than this is unsent to a client that does not read."""
REFUSALS: Final = {
    "version": (1, 0x84),
    "client_id": (2, 0x85),
    "unavailable": (3, 0x88),
    "no_client_id": (2, 0x80),
    "bad_login": (4, 0x86),
    "not_authorised": (5, 0x87),
    "busy": (3, 0x89),
    "banned": (5, 0x8A),
    "quota": (3, 0x97),
    "rate": (3, 0x9F),
}
"""The codes of a refusing CONNACK, with MQTT 3.1.1 and 5."""
_TAKEN_OVER: Final = 0x8E
_TOO_LARGE: Final = 0x95
_NOT_AUTHORISED: Final = 0x87
_NO_RECEIVERS: Final = 0x10
_NO_SUBSCRIPTION: Final = 0x11


class BrokerClient:
    """See the module.

    Args:
        broker: that accepted it.
        connection: to the client.

    Attributes:
        session: of the client, once the broker has accepted it.
    """

    is_ours = True

    def __init__(self, broker: ModelBroker, connection: Connection) -> None:
        self._broker = broker
        self._clock = broker.clock
        self.connection = connection
        self._in = bytearray()
        self._out = bytearray()
        self._given = 0
        self._v5 = False
        self._heard_s = broker.clock.now_s
        self._keepalive_s = 10.0
        self._left = False
        self._said_goodbye = False
        self._closing = False
        self._stood_still = False
        self._will: Will | None = None
        self._client_id = ""
        self.session: Session | None = None
        connection.to_peer.receive = self._received
        connection.from_peer.on_room = self._flush
        connection.on_closed = self._gone
        connection.transport.on_write = self._written
        self._clock.later(15.0, self._check)

    # -- the connection ----------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the client's own end is open, and not lost without a word."""
        return self.connection.open and not self.connection.vanished

    def was_read_by(self, process: object) -> bool:
        """Say whether a process, given as what runs its calls, has read all that was sent.

        One that stood still may have given the connection up before it read the refusal.
        """
        connection = self.connection
        is_read = connection.guarded == process and connection.from_peer.delivered >= self._given
        return is_read and not self._stood_still

    def leave_will(self) -> None:
        """Publish the client's will now."""
        will, self._will = self._will, None
        if will is not None:
            self._broker.send_will(will, self._client_id)

    def cut(self, *, in_order: bool = False) -> None:
        """End the connection."""
        self._gone()
        if in_order:
            self._closing = True
            self.connection.peer_closes()
        else:
            self.connection.reset()

    def say_goodbye(self, reason: int) -> None:
        """End the connection in order; with MQTT 5, say why."""
        if self._v5:
            self._write(0xE0, bytes((reason,)))
        self.cut(in_order=True)

    def taken_over(self, *, with_will: bool) -> None:
        """End, since another client has come with the same id."""
        if not with_will:
            self._will = None
        if self._v5 and self._broker.options.says_taken_over:
            self._write(0xE0, bytes((_TAKEN_OVER,)))
        self.session = None
        self.cut(in_order=True)

    def _gone(self) -> None:
        if self in self._broker.clients:
            self._broker.clients.remove(self)
        session, self.session = self.session, None
        if session is not None and session.client is self:
            self._broker.close_session(session)
        self.leave_will()
        if not self.connection.open:
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

    def _written(self, data: bytes) -> None:
        if self._said_goodbye:
            self._broker.on_fault(f"a packet of type {data[0] >> 4} is written after DISCONNECT")
        self._said_goodbye = data[0] >> 4 == _DISCONNECT

    def _received(self, data: bytes) -> None:
        if self._closing or (self._broker.silent and self.session is None):
            return
        self._heard_s = self._clock.now_s
        self._in += data
        while not self._closing and (packet := self._next_packet()) is not None:
            first, body = packet
            kind = first >> 4
            limit = self._broker.options.max_packet
            if limit and len(body) + 1 > limit:
                if self._v5:
                    self._write(0xE0, bytes((_TOO_LARGE,)))
                self.cut(in_order=True)
            elif kind == _CONNECT:
                self._connect(read_connect(body))
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
        elif kind in {_SUBSCRIBE, _UNSUBSCRIBE}:
            call = self._subscribe if kind == _SUBSCRIBE else self._unsubscribe
            if subscribing_s := self._broker.options.subscribing_s:
                self._clock.later(subscribing_s, self._later, self.session, call, body)
            else:
                call(body)
        elif kind == _PINGREQ:
            self._write(0xD0, b"")
        elif kind == _DISCONNECT:
            self._left = True
            self._will = None
            self._gone()
            self.connection.peer_closes()

    def _later(self, session: Session, call: Callable[[bytes], None], body: bytes) -> None:
        if self.session is session:
            call(body)

    def _acknowledged(self, packet_id: int) -> None:
        session = self.session
        assert session is not None
        if (publication := session.inflight.get(packet_id)) is None:
            self._broker.on_fault(f"PUBACK of {packet_id}, which is not in flight")
            return
        if packet_id != next(iter(session.inflight)):
            self._broker.on_fault(f"PUBACK of {packet_id} comes before that of an earlier message")
        self._broker.on_ack(publication)
        session.acknowledged(packet_id)

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

    def _connect(self, connect: Connect) -> None:
        broker, options = self._broker, self._broker.options
        self._v5 = connect.v5
        self._check_connect(connect)
        if self._v5 and not options.speaks_v5:
            broker.refused_v5[connect.client_id] = self
            self._stood_still = self.connection.from_peer.is_frozen()
            self._write(0x20, b"\0\x01")
            self.cut(in_order=True)
            return
        if connect.level not in {3, 4, V5}:
            self._refuse("version")
            return
        if broker.refusal or not connect.client_id:
            self._refuse(broker.refusal or "no_client_id")
            return
        most_s = options.max_keepalive_s
        too_long = most_s and not 0 < connect.keepalive_s <= most_s
        keepalive_s = most_s if too_long else connect.keepalive_s
        self._keepalive_s = float(keepalive_s) or 1e9
        self._will, self._client_id = connect.will, connect.client_id
        session, present = broker.open_session(connect, self)
        self.session = session
        if too_long and options.refuses_long_keepalive and not self._v5:
            self._write(0x20, bytes((present, REFUSALS["client_id"][0])))
            self.session = None
            broker.close_session(session)
            self.cut(in_order=True)
            return
        window = options.max_inflight
        properties = b""
        if self._v5:
            window = connect.properties.get(RECEIVE_MAXIMUM, window)
            values = {TOPIC_ALIAS_MAXIMUM: 10}
            if too_long:
                values[SERVER_KEEP_ALIVE] = keepalive_s
            if options.max_packet:
                values[MAXIMUM_PACKET_SIZE] = options.max_packet
            if options.max_inflight:
                values[RECEIVE_MAXIMUM] = options.max_inflight
            if options.max_qos < 2:
                values[MAXIMUM_QOS] = options.max_qos
            properties = write_properties(values)
        self._write(0x20, bytes((present, 0)) + properties)
        session.resumed(self, window)

    def _check_connect(self, connect: Connect) -> None:
        if self._v5 and RECEIVE_MAXIMUM not in connect.properties:
            self._broker.on_fault("a CONNECT of MQTT 5 without Receive Maximum")
        if not (self._v5 or self._broker.refused_v5):
            self._broker.on_fault("MQTT 3.1.1 is spoken, although MQTT 5 was never refused")
        before = self._broker.refused_v5.get(connect.client_id)
        is_known = before is not None and before.was_read_by(self.connection.guarded)
        if self._v5 and is_known:
            self._broker.on_fault("MQTT 5 is spoken again, although it was refused")

    def _refuse(self, why: str) -> None:
        code = REFUSALS[why][self._v5]
        self._write(0x20, bytes((0, code)) + (b"\0" if self._v5 else b""))
        self.cut(in_order=True)

    def _publish(self, first: int, body: bytes) -> None:
        session = self.session
        assert session is not None
        topic, rest = read_text(body)
        qos = first >> 1 & 3
        broker = self._broker
        allowed = broker.may_publish(topic)
        code = _NOT_AUTHORISED
        if allowed:
            code = 0 if broker.has_subscriber(topic) else _NO_RECEIVERS
        if qos:
            packet_id, rest = rest[:2], rest[2:]
            self._write(0x40, packet_id + bytes((code,) if self._v5 and code else ()))
        if self._v5:
            values, rest = read_properties(rest)
            if TOPIC_ALIAS in values:
                broker.on_fault("a topic alias")
        broker.on_publish(topic, rest)
        if allowed:
            retain = bool(first & 1)
            broker.publish(topic, rest, qos, retain=retain, source=session.client_id)

    def _subscribe(self, body: bytes) -> None:
        session, broker = self.session, self._broker
        assert session is not None
        if broker.cuts_at_subscribe:
            broker.cuts_at_subscribe -= 1
            self.cut()
            return
        packet_id, rest = body[:2], body[2:]
        if self._v5:
            _values, rest = read_properties(rest)
        codes = bytearray()
        retained: list[Publication] = []
        while rest:
            name, rest = read_text(rest)
            flags, rest = rest[0], rest[1:]
            broker.on_subscribe(name, flags & 3)
            if name in broker.refused_filters:
                codes.append(_NOT_AUTHORISED if self._v5 else 0x80)
                continue
            qos = min(flags & 3, broker.options.max_qos)
            codes.append(qos)
            wanted = Subscription(qos, bool(flags & 4), bool(flags & 8))
            is_new = broker.subscribe(session, name, wanted)
            handling = flags >> 4
            if handling == 0 or (handling == 1 and is_new):
                retained += [
                    Publication(each.topic, each.payload, min(qos, each.qos), retain=True)
                    for each in broker.retained_for(name)
                ]
        answer = packet_id + (b"\0" if self._v5 else b"") + bytes(codes)
        options = broker.options
        if options.suback_first or options.retained_delay_s:
            self._write(0x90, answer)
        if options.retained_delay_s:
            delay_s = options.retained_delay_s * self._clock.random.random()
            self._clock.later(delay_s, self._send_retained, session, retained)
            return
        self._send_retained(session, retained)
        if not options.suback_first:
            self._write(0x90, answer)

    def _send_retained(self, session: Session, retained: list[Publication]) -> None:
        if self.session is not session:
            return
        for publication in retained:
            if publication.qos:
                session.take(publication)
            else:
                self._send(publication, 0)

    def _unsubscribe(self, body: bytes) -> None:
        session = self.session
        assert session is not None
        packet_id, rest = body[:2], body[2:]
        if self._v5:
            _values, rest = read_properties(rest)
        codes = bytearray()
        while rest:
            name, rest = read_text(rest)
            was_there = self._broker.unsubscribe(session, name)
            codes.append(0 if was_there else _NO_SUBSCRIPTION)
            if was_there:
                self._broker.on_unsubscribe(name)
        self._write(0xB0, packet_id + (b"\0" + bytes(codes) if self._v5 else b""))

    # -- packets to the client ---------------------------------------------------------------

    def send_qos0(self, publication: Publication) -> None:
        """Send a message, or drop it where the client does not read."""
        if len(self._out) > OUT_BYTES:
            self._broker.on_drop(publication, "slow_client")
            return
        self._send(publication, 0)
        connection, end = self.connection, self._given
        self._broker.on_sent(publication, lambda: connection.from_peer.delivered >= end)

    def send_qos1(self, publication: Publication, packet_id: int) -> None:
        """Send a message, again if it was sent before."""
        self._send(publication, packet_id)

    def _send(self, publication: Publication, packet_id: int) -> None:
        self._broker.on_transmit(publication)
        body = write_text(publication.topic)
        first = 0x30 | publication.qos << 1 | publication.retain
        if publication.qos:
            body += packet_id.to_bytes(2, "big")
            first |= publication.sent << 3
        if self._v5:
            body += b"\0"
        self._write(first, body + publication.payload)
