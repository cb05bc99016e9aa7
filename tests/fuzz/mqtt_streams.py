"""Targets: what brokers send, cut and bent; and where topics go."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

import hypothesis.strategies as st
from attrs import frozen
from paho.mqtt.client import Client, topic_matches_sub
from paho.mqtt.enums import MQTTErrorCode
from twisted.internet.error import ConnectionLost
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection

from metrics_agent.broker_address import parse_address
from metrics_agent.topic_filters import covers, inner_filter, valid_filter
from metrics_agent.transports.mqtt.splitter import MalformedLength, PacketSplitter
from metrics_agent.transports.mqtt.topics import Deliver, Subscription, SubscriptionTable
from metrics_agent.transports.mqtt.websocket_stream import over_websocket
from metrics_agent.transports.reconnecting import Dial
from tests.fuzz.frames import FRAMES, REFUSALS, SMALL, SPOILS, frame, spoilt
from tests.fuzz.mutations import Draw, bytes_bent, cut_up, text_bent
from tests.fuzz.oracle import Target, check_events
from tests.transports.mqtt import scripted as mqtt

__all__ = ["MQTT_STREAMS", "mqtt_packets"]

# MQTT.


@frozen
class MqttCase:
    """What a broker sends after CONNECT, in the pieces in which it arrives."""

    protocol: str
    pieces: Sequence[bytes]
    paused_before: int
    ends: bool


def mqtt_packets(v5: bool) -> st.SearchStrategy[bytes]:
    """Return a strategy of packets of a broker, most of them sound."""
    topics = st.sampled_from(
        (b"tele/a/SENSOR", b"tele/b/SENSOR", b"x", b"", b"\xff", b"a/#", b"a\0b")
    )
    payloads = st.one_of(
        st.binary(max_size=40), st.sampled_from((b'{"ENERGY":{"Power":1}}', bytes(SMALL * 40)))
    )
    ids = st.integers(0, 65_535)
    properties = st.sampled_from(
        (
            b"\0",
            b"\x02\x01\x01",
            b"\x03\x23\0\x01",
            b"\x05\x26\0\0\0\0",
            b"\x02\x0b\x05",
            b"\x7f",
            b"\x80\x80",
        )
    )

    def publish(topic: bytes, payload: bytes, packet_id: int, first: int, more: bytes) -> bytes:
        body = len(topic).to_bytes(2, "big") + topic
        if first & 6:
            body += packet_id.to_bytes(2, "big")
        return mqtt.packet(first, body + (more if v5 else b"") + payload)

    return st.one_of(
        st.builds(publish, topics, payloads, ids, st.integers(0x30, 0x3F), properties),
        st.builds(lambda number, code: mqtt.suback(v5, number, code), ids, st.integers(0, 255)),
        st.builds(lambda number: mqtt.unsuback(v5, number), ids),
        st.builds(mqtt.puback, ids),
        st.builds(lambda number: mqtt.packet(0x62, number.to_bytes(2, "big")), ids),
        st.builds(lambda code: mqtt.packet(0xE0, bytes([code, 0])), st.integers(0, 255)),
        st.sampled_from((mqtt.PINGRESP, b"\xf0\x00", b"\x00\x00", b"\x30\x00", b"\xd0\x80\x00")),
        st.builds(mqtt.packet, st.integers(0, 255), st.binary(max_size=20)),
    )


@st.composite
def _mqtt_cases(draw: Draw) -> MqttCase:
    protocol = draw(st.sampled_from(("3.1.1", "5")))
    v5 = protocol == "5"
    connack = mqtt.connack(v5, draw(st.sampled_from((0, 0, 0, 0, 0, 1, 5, 0x87, 255))))
    packets = draw(st.lists(mqtt_packets(v5), max_size=6))
    head = draw(bytes_bent(connack, often=6))
    data = head + draw(bytes_bent(b"".join(packets), often=2))
    pieces = draw(cut_up(data)) if len(data) < SMALL else [data[:SMALL], data[SMALL:]]
    return MqttCase(protocol, pieces, draw(st.integers(0, 6)), draw(st.booleans()))


def run_mqtt(case: MqttCase) -> None:
    """Feed the pieces to a connection that has subscribed, let time pass, and stop it."""
    broker = mqtt.Scripted(case.protocol, max_payload=SMALL, persistent_session=False)
    broker.connection.subscribe("tele/+/SENSOR", 1, broker.lines_of)
    broker.connection.startService()
    transport = broker.open()
    for number, piece in enumerate(case.pieces):
        if number == case.paused_before:
            broker.connection.pause_reading("test")
        if not transport.gone:
            broker.send(piece)
    broker.connection.resume_reading("test")
    for batch in broker.batches:
        if batch.settle is not None:
            batch.settle()
    broker.clock.advance(0)
    if case.ends and not transport.gone:
        transport.lost(ConnectionLost())
    broker.clock.pump([1.0] * 20)
    alive = broker.connection.connected or len(broker.attempts) > 1
    assert alive or not transport.gone or broker.clock.getDelayedCalls(), "it gave up"
    stopped = broker.connection.stopService()
    broker.clock.pump([0.2] * 5)
    assert stopped.called, "it does not stop"
    check_events(broker.events)
    left = broker.clock.getDelayedCalls()
    assert not left, left


# MQTT in a WebSocket.


@frozen
class TunnelCase:
    """A broker behind a WebSocket.

    Attributes:
        protocol: of MQTT.
        accepts: the answer to the handshake is made by the run; None for what stands in pieces.
        pieces: that arrive after it.
        lingers: the socket below stays open after we have closed it, as with a peer that does
            not read.
        spoil: where to put which bytes into the answer to the handshake.
    """

    protocol: str
    accepts: str | None
    pieces: Sequence[bytes]
    lingers: bool
    spoil: tuple[int, bytes] | None


class _Tunnelled(mqtt.Scripted):
    """A connection whose packets travel in frames."""

    def _dial(self, reactor: object, settings: object, address: object) -> Dial:
        endpoint = super()._dial(reactor, settings, address).endpoint
        return Dial(over_websocket(endpoint, parse_address("ws://broker:8080/mqtt")))


@st.composite
def _tunnel_cases(draw: Draw) -> TunnelCase:
    protocol = draw(st.sampled_from(("3.1.1", "5")))
    accepts = draw(st.sampled_from(("mqtt", "mqtt", "mqtt", "mqtt", "other", "\xffqtt", None)))
    if accepts is None:
        data = draw(bytes_bent(draw(st.sampled_from(REFUSALS)), often=2))
    else:
        v5 = protocol == "5"
        stream = mqtt.connack(v5) + b"".join(draw(st.lists(mqtt_packets(v5), max_size=4)))
        inner = draw(cut_up(draw(bytes_bent(stream[:SMALL]))))
        frames = [frame(0x82, piece, masked=False) for piece in inner]
        for odd in draw(st.lists(FRAMES, max_size=2)):
            frames.insert(draw(st.integers(0, len(frames))), odd)
        data = draw(bytes_bent(b"".join(frames)))
    pieces = draw(cut_up(data)) if len(data) < SMALL else [data]
    return TunnelCase(protocol, accepts, pieces, draw(st.booleans()), draw(SPOILS))


def run_tunnel(case: TunnelCase) -> None:
    """Feed the pieces to a connection in a WebSocket, let time pass, and stop it."""
    broker = _Tunnelled(case.protocol, max_payload=SMALL, persistent_session=False)
    broker.connection.subscribe("tele/+/SENSOR", 1, broker.lines_of)
    broker.connection.startService()
    transport = broker.open()
    transport.hangs_at_close = case.lingers
    # A socket that is closing ignores this; the fake would raise.
    transport.pauseProducing = transport.resumeProducing = lambda: None
    if case.accepts is not None:
        server = WSConnection(ConnectionType.SERVER)
        server.receive_data(transport.value())
        list(server.events())
        answer = server.send(AcceptConnection(subprotocol="mqtt"))
        answer = answer.replace(b"Protocol: mqtt", b"Protocol: " + case.accepts.encode("latin-1"))
        broker.send(spoilt(answer, case.spoil))
    for piece in case.pieces:
        if not transport.gone:
            broker.send(piece)
    broker.connection.publish("cmnd/a/x", b"", 0)
    broker.clock.pump([1.0] * 20)
    stopped = broker.connection.stopService()
    broker.clock.pump([0.2] * 5)
    assert stopped.called, "it does not stop"
    check_events(broker.events)
    left = broker.clock.getDelayedCalls()
    assert not left, left


def run_splitter(case: tuple[list[bytes], int]) -> None:
    """Cut a stream into packets, as it comes and in one piece: the same comes out."""
    pieces, limit = case
    assert _split(pieces, limit) == _split([b"".join(pieces)], limit)


def _split(pieces: Sequence[bytes], limit: int) -> list[object]:
    splitter = PacketSplitter(limit)
    frames: list[object] = []
    try:
        for piece in pieces:
            frames += splitter.feed(piece)
            assert splitter.buffered <= limit + 65_540
    except MalformedLength as error:
        return [*frames, *error.before, "malformed"]
    return frames


@st.composite
def _splitter_cases(draw: Draw) -> tuple[list[bytes], int]:
    packets = draw(st.lists(mqtt_packets(v5=False), max_size=5))
    data = draw(bytes_bent(b"".join(packets)[:SMALL], often=2))
    return draw(cut_up(data)), draw(st.integers(1, 300))


# Topics.

_FILTERS: Final = (
    *("tele/+/SENSOR", "#", "+", "+/+", "tele/#", "$SYS/#", "$share/g/tele/+/SENSOR", "/", "a//b"),
    *("$queue/x", "$share/g/#", "tele/+/+/SENSOR", "+/tele/#", "stat/+/STATUS10"),
)
_TOPICS: Final = (
    *("tele/plug/SENSOR", "tele//SENSOR", "/", "//", "x", "$SYS/broker", "tele", "a//b", "$x"),
    *("stat/plug/STATUS10", "a/tele/b/c"),
)
_LEVELS: Final = ("tele", "+", "#", "", "$SYS", "SENSOR", "a#", "+b", "é", "x" * 40, "$share", "g")


# RFC 3629, section 4: the one form of each character, no surrogates; MQTT 1.5.3: no NUL.
_UTF_8: Final = re.compile(
    rb"(?:[\x01-\x7f]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]"
    rb"|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]"
    rb"|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})+"
)


def run_topics(case: tuple[list[str], list[bytes]]) -> None:
    """Subscribe to filters and match topics; the specification and paho are the judges."""
    filters, topics = case
    table = SubscriptionTable()
    subscribed: list[tuple[str, Deliver]] = []
    cancels = []
    for number, text in enumerate(filters):
        deliver = _handler()
        subscription = _subscribe(table, text, number % 2, deliver)
        if subscription is not None:
            subscribed.append((text, deliver))
            cancels.append(subscription.cancel)
    _check_routes(table, subscribed, topics)
    for cancel in cancels[::2]:
        cancel()
        cancel()
    subscribed = subscribed[1::2]
    _check_routes(table, subscribed, topics)
    assert {*table.wanted()} == {text for text, _deliver in subscribed}


def _check_routes(
    table: SubscriptionTable, subscribed: Sequence[tuple[str, Deliver]], topics: Sequence[bytes]
) -> None:
    for raw in topics:
        route = table.match(raw)
        assert table.match(raw) == route == table.match_once(raw), raw
        if not _is_topic(raw):
            assert route == (None, (), 0), (raw, route)
            continue
        assert route.topic is not None, raw
        assert route.topic.encode() == raw, raw
        wanted = [deliver for text, deliver in subscribed if _matches(text, route.topic)]
        assert list(route.receivers) == wanted, (raw, subscribed, route)
        filters = {text for text, _deliver in subscribed if _matches(text, route.topic)}
        assert route.copies == max(0, len(filters) - 1), (raw, subscribed, route)
        _check_covers([inner_filter(text) for text, _deliver in subscribed], route.topic)


def _check_covers(filters: Sequence[str], topic: str) -> None:
    """What a filter covers has no topic that the filter has not."""
    for wide in filters:
        for narrow in filters:
            if covers(wide, narrow) and _matches(narrow, topic):
                assert _matches(wide, topic), (wide, narrow, topic)


def _handler() -> Deliver:
    """Return one that equals no other."""
    return lambda _message, _lines: None


def _is_topic(raw: bytes) -> bool:
    """Judge what a message may be published to, by MQTT 3.1.1, 4.7."""
    return _UTF_8.fullmatch(raw) is not None and not {*raw} & {*b"+#"}


def _subscribe(
    table: SubscriptionTable, text: str, qos: int, deliver: Deliver
) -> Subscription | None:
    try:
        subscription = table.add(text, qos, deliver)
    except ValueError:
        assert valid_filter(text) is not None, text
        assert _may_be_refused(text), text
        return None
    assert valid_filter(text) is None, text
    assert _paho_takes(text), text
    return subscription


def _may_be_refused(text: str) -> bool:
    """Return whether a filter is invalid, or one of those that are legal and refused on purpose."""
    odd = any(unicodedata.category(char) in {"Cc", "Cs", "Cn"} for char in text)
    return odd or text.startswith(("$share", "$queue")) or not _paho_takes(text)


def _paho_takes(text: str) -> bool:
    check = Client._filter_wildcard_len_check
    raw = text.encode("utf-8", "surrogatepass")
    return bool(check(raw) == MQTTErrorCode.MQTT_ERR_SUCCESS)


def _matches(topic_filter: str, topic: str) -> bool:
    if topic_filter.startswith("$share/"):
        topic_filter = topic_filter.split("/", 2)[2]
    return bool(topic_matches_sub(topic_filter.removeprefix("$queue/"), topic))


MQTT_STREAMS: Final = (
    Target("mqtt", "what a broker sends, to a connection", _mqtt_cases(), run_mqtt, 70),
    Target(
        "mqtt_websocket", "what a broker behind a WebSocket sends", _tunnel_cases(), run_tunnel, 40
    ),
    Target("splitter", "a stream of packets", _splitter_cases(), run_splitter, 30),
    Target(
        "topics",
        "filters and topics",
        st.tuples(
            st.lists(
                st.sampled_from(_FILTERS).flatmap(lambda text: text_bent(text, _LEVELS)), max_size=6
            ),
            st.lists(
                st.one_of(
                    st.sampled_from(_TOPICS)
                    .flatmap(lambda text: text_bent(text, _LEVELS))
                    .map(lambda text: text.encode("utf-8", "surrogatepass")),
                    st.binary(max_size=12),
                ),
                max_size=6,
            ),
        ),
        run_topics,
        40,
    ),
)
