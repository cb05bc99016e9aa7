"""A connection with everything around it faked, and the bytes of a broker."""

from __future__ import annotations

import struct
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger, LogLevel, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.interfaces import Message
from metrics_agent.state.directory import Pace, StateFaults, StateFile
from metrics_agent.transports.mqtt.connection import MqttConnection
from metrics_agent.transports.mqtt.packets import encode_fixed_header
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.mqtt.splitter import PacketSplitter
from metrics_agent.transports.reconnecting import Dial

SETTINGS = MqttSettings(broker=("tcp://broker:1883",))
NOW_NS = 1_700_000_000_000_000_000
PINGRESP = b"\xd0\x00"


def packet(first: int, body: bytes) -> bytes:
    """Write a packet."""
    return encode_fixed_header(first, len(body)) + body


def connack(v5: bool, code: int = 0, *, session: bool = False, properties: bytes = b"") -> bytes:
    """Write a CONNACK."""
    tail = bytes([len(properties)]) + properties if v5 else b""
    return packet(0x20, bytes([int(session), code]) + tail)


def suback(v5: bool, packet_id: int, *codes: int) -> bytes:
    """Write a SUBACK."""
    return packet(0x90, struct.pack(">H", packet_id) + (b"\0" if v5 else b"") + bytes(codes))


def unsuback(v5: bool, packet_id: int) -> bytes:
    """Write an UNSUBACK."""
    return packet(0xB0, struct.pack(">H", packet_id) + (b"\0\0" if v5 else b""))


def publish(
    v5: bool, topic: bytes, payload: bytes, packet_id: int = 0, *, qos: int | None = None
) -> bytes:
    """Write a PUBLISH, at QoS 1 if there is a packet id."""
    qos = (1 if packet_id else 0) if qos is None else qos
    body = struct.pack(">H", len(topic)) + topic
    if qos:
        body += struct.pack(">H", packet_id)
    return packet(0x30 | qos << 1, body + (b"\0" if v5 else b"") + payload)


def puback(*packet_ids: int) -> bytes:
    """Write the PUBACKs that a client would."""
    return b"".join(b"\x40\x02" + struct.pack(">H", packet_id) for packet_id in packet_ids)


class FakeTransport(StringTransport):
    """Closes its protocol as a socket does; what a lost connection writes is forgotten."""

    protocol: Any = None
    gone = False
    aborted = False
    hangs_at_close = False

    def write(self, data: bytes) -> None:
        if not self.gone:
            super().write(data)

    def loseConnection(self) -> None:
        self.disconnecting = True
        if not self.hangs_at_close:
            self.lost(ConnectionDone())

    def abortConnection(self) -> None:
        self.aborted = True
        self.lost(ConnectionAborted())

    def lost(self, error: Exception) -> None:
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(error))


class FakeEndpoint:
    """One attempt to connect; the test decides what becomes of it."""

    def __init__(self, address: object) -> None:
        self.address = address
        self.result: Deferred[Any] | None = None
        self.cancelled = False

    def connect(self, factory: Any) -> Deferred[Any]:
        self.factory = factory
        self.result = Deferred(self._cancel)
        return self.result

    def _cancel(self, _deferred: object) -> None:
        self.cancelled = True

    def open(self) -> FakeTransport:
        transport = FakeTransport()
        transport.protocol = self.factory.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        self.result.callback(transport.protocol)
        return transport

    def fail(self, error: Exception) -> None:
        self.result.errback(Failure(error))


class Scripted:
    """A `MqttConnection` and its broker, played by the test."""

    def __init__(
        self,
        protocol: str = "3.1.1",
        *,
        state_path: Any = None,
        versions: Any = None,
        **changes: Any,
    ) -> None:
        self.v5 = protocol != "3.1.1"
        self.clock = Clock()
        self.now_ns = NOW_NS
        self.batches: list[Any] = []
        self.counts: list[tuple[str, int]] = []
        self.events: list[dict[str, Any]] = []
        self.attempts: list[FakeEndpoint] = []
        self.settings = evolve(SETTINGS, protocol=protocol, **changes)
        self.dial_error: Exception | None = None
        self.noted: list[tuple[str, str | None]] = []
        log = Logger(observer=self.events.append)
        state = None
        if state_path is not None:
            state = StateFile(
                state_path, StateFaults(state_path.parent, log), Pace(Clock(), maybeDeferred)
            )
        self.connection = MqttConnection(
            self.clock,
            self.settings,
            client_id="agent-1",
            write=self.batches.append,
            log=log,
            now_ns=lambda: self.now_ns,
            random=lambda: 1.0,
            count=lambda reason, number: self.counts.append((reason, number)),
            noted=lambda address, problem: self.noted.append((address, problem)),
            state=state,
            versions=versions,
            dialer=self._dial,
        )

    def _dial(self, _reactor: object, _settings: object, address: object) -> Dial:
        if self.dial_error is not None:
            raise self.dial_error
        self.attempts.append(FakeEndpoint(address))
        return Dial(self.attempts[-1])

    @property
    def transport(self) -> FakeTransport:
        return self._transport

    def open(self) -> FakeTransport:
        """Give the last attempt its transport."""
        self._transport = self.attempts[-1].open()
        return self._transport

    def up(self, *, session: bool = False) -> FakeTransport:
        """Give the last attempt its transport and let the broker accept it."""
        transport = self.open()
        self.send(connack(self.v5, session=session))
        return transport

    def start(self) -> FakeTransport:
        """Start the service and bring it up; what was written until then is forgotten."""
        self.connection.startService()
        transport = self.up()
        transport.clear()
        return transport

    def send(self, data: bytes) -> None:
        self._transport.protocol.dataReceived(data)

    def lines_of(self, message: Message, lines: list[bytes]) -> None:
        """A `Deliver`: one line with topic and payload a message."""
        lines.append(message.topic.encode() + b" " + message.payload + b"\n")

    def written(self) -> list[tuple[int, bytes]]:
        """Return (and forget) the packets that were written."""
        data = self._transport.value()
        self._transport.clear()
        return PacketSplitter(1 << 28).feed(data)

    def logged(self, *levels: LogLevel) -> list[str]:
        """Return the log lines of some levels (info and up), as text."""
        wanted = levels or (LogLevel.info, LogLevel.warn, LogLevel.error, LogLevel.critical)
        return [formatEvent(event) for event in self.events if event["log_level"] in wanted]

    def filters(self, packets: list[tuple[int, bytes]], first: int) -> list[str]:
        """Return the filters in the SUBSCRIBE (0x82) or UNSUBSCRIBE (0xA2) packets."""
        found = []
        for kind, body in packets:
            if kind != first:
                continue
            position = 3 if self.v5 else 2
            while position < len(body):
                end = position + 2 + int.from_bytes(body[position : position + 2], "big")
                found.append(body[position + 2 : end].decode())
                position = end + (1 if first == 0x82 else 0)
        return found


class ConnectedCase(SynchronousTestCase):
    """A connection that is up and subscribed to ``a``; at its end no timer may be left."""

    def setUp(self) -> None:
        self.script = Scripted()
        self.script.connection.subscribe("a", 1, self.script.lines_of)
        self.transport = self.script.start()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """Stop it, and judge."""
        done = self.script.connection.stopService()
        self.script.clock.pump([0, 1])
        self.successResultOf(done)
        self.assertEqual(self.script.clock.getDelayedCalls(), [], "a timer is left")

    @property
    def reading(self) -> bool:
        """Whether the socket is read."""
        return self.transport.producerState == "producing"
