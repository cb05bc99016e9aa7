"""paho-mqtt as a protocol engine: packets in, packets out, no socket, no thread.

Theory of operation. paho wants a socket; `_Client._create_socket` is the one place where it makes
one, and we return an object over two buffers instead. A whole packet from the broker is put into
the buffer and ``loop_read`` takes it in one call; what paho sends is handed to ``write`` at once.
Every connection gets a new engine, so nothing of a lost connection can leak into the next one.

An exception that leaves a paho callback makes paho handle that packet again and again. Callbacks
therefore do nothing but append an event to a list; `Engine.feed` hands the events out after paho
has returned. Timekeeping (keepalive, a dead peer) is the connection's: ``loop_misc`` reads a clock
that tests cannot turn and drops a connection whose reading is paused.

PUBLISH at QoS 0 and 1 never comes here, `Intake` decodes it. QoS 2, which we never ask for
but which an old session may bring, does: paho does its handshake.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from metrics_agent.errors import ProtocolError
from metrics_agent.limits import CONTROL_PACKET_BYTES
from metrics_agent.transports.mqtt import broker_limits, packets
from metrics_agent.transports.mqtt.packet_types import CONNACK, PUBACK
from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = [
    "Accepted",
    "Disconnected",
    "Engine",
    "Event",
    "Published",
    "Received",
    "Refused",
    "Subscribed",
    "Unsubscribed",
]

CONNACK_BYTES = 2
"""Flags and reason code; MQTT 5 adds properties."""
QOS_2_MASK = 0xF6
QOS_2_PUBLISH = 0x34
UNRELEASED_BYTES = 2 * 1024 * 1024
"""What may wait for the broker's PUBREL; we subscribe at QoS 0 and 1, so usually nothing does."""
_UNRELEASED_OVERHEAD = 1000
"""What paho's object for such a message takes beside topic and payload."""
MAX_QUEUED_PUBLISHES = 1_000
PUBACK_CODES = frozenset((0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99))
"""Those of MQTT 5 (3.4.2.1); paho refuses others, such as mosquitto's 0x95."""
TOO_LARGE = 0x95
"""Not a code of MQTT 5 for this; mosquitto's answer to what is above its `message_size_limit`."""
UNSPECIFIED = 0x80
PUBACK_CODE = 2
"""Where the code is, behind the packet id."""


class Accepted(NamedTuple):
    """The broker let us in.

    Attributes:
        session_present: the broker kept our subscriptions and messages.
        keepalive_s: the interval to keep; a broker may shorten what was asked for.
    """

    session_present: bool
    keepalive_s: float


class Refused(NamedTuple):
    """The broker did not let us in; the code is that of CONNACK in the protocol's version."""

    code: int


class Subscribed(NamedTuple):
    """The answer to one SUBSCRIBE; a code of 0x80 or more refuses the filter in its place."""

    packet_id: int
    codes: tuple[int, ...]


class Unsubscribed(NamedTuple):
    """The answer to one UNSUBSCRIBE."""

    packet_id: int


class Published(NamedTuple):
    """The answer to a PUBLISH at QoS 1; the code is always 0 with MQTT 3.1.1."""

    code: int


class Disconnected(NamedTuple):
    """The broker ended an MQTT 5 connection and said why."""

    code: int


class Received(NamedTuple):
    """A QoS 2 message, its handshake done."""

    topic: bytes
    payload: bytes
    retain: bool


Event = Accepted | Refused | Subscribed | Unsubscribed | Published | Disconnected | Received


class _Pipe:
    """What paho takes for a socket: bytes of one packet to read, everything written goes on."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._data = b""
        self._position = 0

    def put(self, packet: bytes) -> None:
        self._data = packet
        self._position = 0

    @property
    def empty(self) -> bool:
        return self._position >= len(self._data)

    def recv(self, buffer_size: int) -> bytes:
        if self.empty:
            raise BlockingIOError
        start = self._position
        self._position = min(start + buffer_size, len(self._data))
        return self._data[start : self._position]

    def send(self, buffer: bytes | bytearray) -> int:
        self._write(bytes(buffer))
        return len(buffer)

    def close(self) -> None:
        """Nothing to close: the transport belongs to the connection."""

    def fileno(self) -> int:
        return -1

    def setblocking(self, flag: bool) -> None:
        """Nothing here blocks."""


class _Client(Client):
    """paho's client with the private seam replaced; tests/.../test_engine.py pins it."""

    def __init__(self, pipe: _Pipe, **options: Any) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, reconnect_on_failure=False, **options)
        self._pipe = pipe

    def _create_socket(self) -> _Pipe:
        return self._pipe


class Engine:
    """Speaks MQTT for one connection: everything but incoming PUBLISH and the acknowledgements.

    Args:
        settings: protocol version (auto is 5), login, keepalive, session.
        client_id: the id to connect with.
        write: takes the bytes for the transport; called at once, also from `feed`.

    Attributes:
        max_packet_bytes: the longest packet that the broker takes, as far as it says so.
        maximum_qos: the highest QoS at which it takes messages; `publish` goes no higher.
        remarks: what is to be logged of the limits that the broker says it has.
    """

    def __init__(
        self,
        settings: MqttSettings,
        client_id: str,
        write: Callable[[bytes], None],
    ) -> None:
        self.v5 = settings.protocol != "3.1.1"
        self._settings = settings
        self._pipe = _Pipe(write)
        self._events: list[Event] = []
        self._qos2_bytes = 0
        self.maximum_qos = broker_limits.NO_LIMIT
        self.remarks: tuple[str, ...] = ()
        self.max_packet_bytes = packets.MAX_PACKET_BYTES
        version: dict[str, Any] = (
            {"protocol": MQTTProtocolVersion.MQTTv5}
            if self.v5
            else {
                "protocol": MQTTProtocolVersion.MQTTv311,
                "clean_session": not settings.persistent_session,
            }
        )
        self._client = client = _Client(self._pipe, client_id=client_id, **version)
        client.max_queued_messages_set(MAX_QUEUED_PUBLISHES)
        if settings.username:
            password = None if settings.password is None else settings.password.reveal()
            client.username_pw_set(settings.username, password)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message

    def connect(self) -> None:
        """Write CONNECT."""
        # The host and port are for paho's own socket only; it insists on having some.
        if self.v5:
            self._client.connect(
                "broker",
                keepalive=self._keepalive_s,
                clean_start=not self._settings.persistent_session,
                properties=self._connect_properties(),
            )
        else:
            self._client.connect("broker", keepalive=self._keepalive_s)

    def feed(self, first: int, body: bytes) -> Sequence[Event]:
        """Handle one whole packet that is not a PUBLISH at QoS 0 or 1.

        Args:
            first: the first byte of the packet: type and flags.
            body: what follows the packet's length.

        Returns:
            What happened, in order; mostly nothing.

        Raises:
            ProtocolError: the packet cannot be understood or must not come here.
        """
        if first == CONNACK and len(body) >= CONNACK_BYTES and body[1] != 0:
            # paho swallows the code of some refusals, so it does not get to see them.
            return (Refused(body[1]),)
        self._events = []
        size_bytes = len(body)
        if first & QOS_2_MASK == QOS_2_PUBLISH:
            self._bound_qos2(size_bytes + _UNRELEASED_OVERHEAD)
            size_bytes = packets.properties_bytes(body) if self.v5 else 0
        if size_bytes > CONTROL_PACKET_BYTES:
            raise ProtocolError(
                "packet_too_long",
                f"{size_bytes} bytes in a packet of type {first >> 4} beside topic and payload, at "
                f"most {CONTROL_PACKET_BYTES}",
            )
        code = body[PUBACK_CODE] if self.v5 and first == PUBACK and len(body) > PUBACK_CODE else 0
        if code not in PUBACK_CODES:
            body = body[:PUBACK_CODE] + bytes([UNSPECIFIED]) + body[PUBACK_CODE + 1 :]
        self._pipe.put(packets.whole((first, body)))
        try:
            result = self._client.loop_read()
            if self._client.want_write():  # an answer that paho made while it was reading
                self._client.loop_write()
        except Exception as error:
            raise ProtocolError(
                "malformed_packet", f"a packet of type {first >> 4} cannot be read: {error!r}"
            ) from error
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS or not self._pipe.empty:
            fault = broker_limits.fault_of(body) if self.v5 and first == CONNACK else ""
            raise ProtocolError(
                "malformed_packet",
                f"a packet of type {first >> 4} was refused: {fault or result.name}",
            )
        if code not in PUBACK_CODES:
            return [Published(code) for _event in self._events]
        return self._events

    def _bound_qos2(self, size_bytes: int) -> None:
        """Refuse QoS 2 messages that a broker sends and never releases; paho keeps each."""
        self._qos2_bytes += size_bytes
        if self._qos2_bytes <= UNRELEASED_BYTES:
            return
        # An upper bound until here, since what was released is not subtracted.
        kept = self._client._in_messages.values()  # noqa: SLF001 - pinned by test_engine.py
        sizes = (len(each._topic) + len(each.payload) for each in kept)  # noqa: SLF001 - as above
        self._qos2_bytes = size_bytes + sum(sizes) + len(kept) * _UNRELEASED_OVERHEAD
        if self._qos2_bytes > UNRELEASED_BYTES:
            raise ProtocolError(
                "qos_2_unreleased",
                f"{len(kept)} messages at QoS 2, more than {UNRELEASED_BYTES >> 20} MiB, wait for "
                "PUBREL",
            )

    @property
    def filters_bytes(self) -> int:
        """How long the filters of one SUBSCRIBE or UNSUBSCRIBE may be, `FILTER_BYTES` each more."""
        return packets.longest_body(self.max_packet_bytes) - 2 - self.v5

    def publish_bytes(self, topic: str, payload: bytes, qos: int) -> int:
        """Return how long a PUBLISH is."""
        length = 2 + len(topic.encode()) + 2 * bool(qos) + self.v5 + len(payload)
        return len(packets.encode_fixed_header(0, length)) + length

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> int | None:
        """Write SUBSCRIBE; return its packet id, by which `Subscribed` answers."""
        return self._client.subscribe(list(filters))[1]

    def unsubscribe(self, filters: Sequence[str]) -> int | None:
        """Write UNSUBSCRIBE; return its packet id, by which `Unsubscribed` answers."""
        return self._client.unsubscribe(list(filters))[1]

    def publish(self, topic: str, payload: bytes, qos: int) -> bool:
        """Write PUBLISH, or queue it where too many at QoS 1 wait for their acknowledgement.

        Returns:
            False when the queue is full or the topic cannot be published to.
        """
        qos = min(qos, self.maximum_qos)
        try:
            return self._client.publish(topic, payload, qos).rc == MQTTErrorCode.MQTT_ERR_SUCCESS
        except ValueError:  # a wildcard in the topic, or a payload beyond what MQTT can carry
            return False

    def report_published(self) -> None:
        """Have `Published` come for each answer to a PUBLISH; for those who use QoS 1 only."""
        self._client.on_publish = self._on_publish

    def disconnect(self) -> None:
        """Write DISCONNECT; a persistent session stays at the broker."""
        self._client.disconnect()

    @property
    def _keepalive_s(self) -> int:
        return max(1, round(self._settings.keepalive))

    def _connect_properties(self) -> Properties:
        # Never a Topic Alias Maximum: PUBLISH is decoded without a table of aliases. Nor a Maximum
        # Packet Size: mosquitto 2.0.11 leaves out what is larger, but at QoS 1 goes on counting it
        # as in flight, and sends nothing more after 20 of them. The splitter discards it anyway.
        properties = Properties(PacketTypes.CONNECT)
        properties.ReceiveMaximum = self._settings.receive_maximum
        if self._settings.persistent_session:
            properties.SessionExpiryInterval = round(self._settings.session_expiry)
        return properties

    # paho's callbacks: they only note what happened, so that none of them can raise into paho.

    def _on_connect(self, client: Any, _data: Any, flags: Any, _reason: Any, limits: Any) -> None:
        # A broker ends the connection of a client that goes beyond what it says here. None of them
        # may be 0, but for the QoS.
        self.max_packet_bytes = getattr(limits, "MaximumPacketSize", 0) or self.max_packet_bytes
        self.maximum_qos = broker_limits.maximum_qos(limits)
        self.remarks = tuple(broker_limits.remarks(limits))
        window = getattr(limits, "ReceiveMaximum", 0) or client.max_inflight_messages
        # The setter refuses it while connected; pinned by test_engine.py.
        client._max_inflight_messages = min(window, client.max_inflight_messages)  # noqa: SLF001
        self._events.append(Accepted(bool(flags.session_present), float(self._client.keepalive)))

    def _on_subscribe(
        self, _client: Any, _data: Any, packet_id: int, reasons: Any, _more: Any
    ) -> None:
        self._events.append(Subscribed(packet_id, tuple(reason.value for reason in reasons)))

    def _on_unsubscribe(
        self, _client: Any, _data: Any, packet_id: int, _reasons: Any, _more: Any
    ) -> None:
        self._events.append(Unsubscribed(packet_id))

    def _on_publish(
        self, _client: Any, _data: Any, _packet_id: int, reason: Any, _more: Any
    ) -> None:
        self._events.append(Published(reason.value))

    def _on_disconnect(self, _client: Any, _data: Any, flags: Any, reason: Any, _more: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._events.append(Disconnected(0 if reason is None else reason.value))

    def _on_message(self, _client: Any, _data: Any, message: MQTTMessage) -> None:
        self._events.append(
            Received(message._topic, bytes(message.payload), message.retain)  # noqa: SLF001 - .topic raises on bad UTF-8
        )
