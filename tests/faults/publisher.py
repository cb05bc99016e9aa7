"""Numbered messages at QoS 1 and at QoS 0, as devices send them, over real MQTT.

At QoS 1 a message is sent again on the next connection until the broker has acknowledged it; at
QoS 0 it is sent once. While there is no connection nothing is numbered.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Protocol
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

from tests.integration.load import control_packet, mqtt_string
from tests.integration.watching import until

__all__ = ["RATE", "Publisher", "left_at_broker", "make_session"]

TICK_S: Final = 0.02
RETRY_S: Final = 0.05
SETTLE_S: Final = 20.0
RATE: Final = 50.0

_CLEAN: Final = 2
_PINGREQ, _DISCONNECT = b"\xc0\x00", b"\xe0\x00"
_CONNACK, _PUBLISH, _PUBACK, _PINGRESP = 0x20, 0x30, 0x40, 0xD0
_SUBSCRIBE: Final = 0x82
_DUP: Final = 0x08


class _Client(Protocol):
    """The least of MQTT 3.1.1 that a publisher, or who asks what is left, needs."""

    def __init__(self, client_id: str, login: tuple[str, str] | None, *, clean: bool) -> None:
        self._client_id = client_id
        self._login = login
        self._clean = clean
        self._rest = b""
        self._pings: list[Deferred[None]] = []
        self.accepted: Deferred[None] = Deferred()
        self.ended = False
        self.acknowledged: Any = lambda _packet_id: None
        self.received: Any = lambda _topic: None

    def connectionMade(self) -> None:
        """Log in."""
        self.transport.setTcpNoDelay(True)
        flags, login = _CLEAN if self._clean else 0, b""
        if self._login is not None:
            flags, login = flags | 0xC0, b"".join(map(mqtt_string, self._login))
        head = mqtt_string("MQTT") + bytes([4, flags]) + (600).to_bytes(2, "big")
        self.transport.write(control_packet(0x10, head + mqtt_string(self._client_id) + login))

    def ping(self) -> Deferred[None]:
        """Ask for an answer, which comes after all that the broker had to do before."""
        answer: Deferred[None] = Deferred()
        self._pings.append(answer)
        self.transport.write(_PINGREQ)
        return answer

    def dataReceived(self, data: bytes) -> None:
        """Take packets apart."""
        data = self._rest + data
        while (found := _first_packet(data)) is not None:
            first, body, data = found
            self._packet(first, body)
        self._rest = data

    def _packet(self, first: int, body: bytes) -> None:
        kind = first & 0xF0
        if kind == _CONNACK and body[1] == 0:
            self.accepted.callback(None)
        elif kind == _PUBACK:
            self.acknowledged(int.from_bytes(body[:2], "big"))
        elif kind == _PINGRESP and self._pings:
            self._pings.pop(0).callback(None)
        elif kind == _PUBLISH:
            end = 2 + int.from_bytes(body[:2], "big")
            self.received(body[2:end].decode())
            if first & 0x06:
                self.transport.write(control_packet(_PUBACK, body[end : end + 2]))

    def end(self) -> None:
        """Disconnect in order."""
        if not self.ended:
            self.transport.write(_DISCONNECT)
            self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        """Note the end."""
        del reason
        self.ended = True
        for each in (self.accepted, *self._pings):
            if not each.called:
                each.addErrback(lambda _failure: None)
                each.errback(ConnectError(string="the connection ended"))
        self._pings.clear()


def _first_packet(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Return the first byte and the body of a packet, and what follows; None if there is more."""
    length = shift = 0
    for at, digit in enumerate(data[1:5], 2):
        length |= (digit & 127) << shift
        shift += 7
        if not digit & 128:
            end = at + length
            return (data[0], data[at:end], data[end:]) if len(data) >= end else None
    return None


class Publisher:
    """Sends a number at QoS 1 and one at QoS 0 to each receiver, over and over.

    Args:
        case: ends it in its cleanup.
        port: of the broker.
        receivers: their client ids.
        rate: messages a second, for each receiver and QoS.

    Attributes:
        sent: by receiver and QoS, the last number.
        login: for the next connection.
        qos: at what QoS it sends; at 0 only once there is an agent.
    """

    def __init__(
        self,
        case: TestCase,
        port: int,
        receivers: Sequence[str],
        *,
        rate: float = RATE,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.sent: dict[tuple[str, int], int] = {}
        self.login = login
        self.qos: tuple[int, ...] = (1,)
        self._rate = rate
        self._port = port
        self._receivers: list[str] = []
        self._client: _Client | None = None
        self._unacknowledged: dict[int, tuple[str, bytes, bool]] = {}
        self._packet_id = 0
        self._owed = 0.0
        self._last_s = 0.0
        self._trying = False
        self._over = False
        self._ticks = LoopingCall(self._tick)
        self._turns = LoopingCall(self._connect)
        for receiver in receivers:
            self.add(receiver)
        self._turns.start(RETRY_S)
        case.addCleanup(self.close)

    def add(self, receiver: str) -> None:
        """Send to another receiver too."""
        self._receivers.append(receiver)
        self.sent |= {(receiver, qos): 0 for qos in (1, 0)}

    def start(self) -> None:
        """Begin to send."""
        if not self._ticks.running:
            self._last_s = time.monotonic()
            self._ticks.start(TICK_S, now=False)

    def stop(self) -> None:
        """Send no more new messages."""
        if self._ticks.running:
            self._ticks.stop()

    async def settle(self, limit_s: float = SETTLE_S) -> None:
        """Wait until the broker has all that has been sent so far."""
        waiting = set(self._unacknowledged)
        await until(
            lambda: self.is_connected and not waiting & self._unacknowledged.keys(),
            lambda: f"the broker to take {len(waiting)} messages at QoS 1",
            limit_s,
        )
        assert self._client is not None
        with suppress(ConnectError):
            await self._client.ping().addTimeout(limit_s, reactor)

    @property
    def is_connected(self) -> bool:
        """Whether the broker has accepted the connection that there is."""
        return self._client is not None and not self._client.ended

    async def connected(self) -> None:
        """Wait for the connection."""
        await until(lambda: self.is_connected, "the connection of the publisher")

    def send(self, count: int, payload: bytes = b"") -> None:
        """Send so many numbers at once, at each QoS, to each receiver."""
        for _ in range(count):
            for receiver in self._receivers:
                for each in self.qos:
                    number = self.sent[receiver, each] + 1
                    self.sent[receiver, each] = number
                    self.publish(f"numbers/{receiver}/{each}/{number}", payload, qos=each)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send any message; at QoS 1 until it is acknowledged."""
        packet_id = 0
        if qos:
            self._packet_id = packet_id = self._packet_id % 65535 + 1
            self._unacknowledged[packet_id] = (topic, payload, retain)
        self._write(topic, payload, packet_id, retain=retain)

    def close(self) -> None:
        """Disconnect for good."""
        self._over = True
        self.stop()
        if self._turns.running:
            self._turns.stop()
        if self._client is not None:
            self._client.end()

    # Inside.

    def _tick(self) -> None:
        now_s = time.monotonic()
        passed_s, self._last_s = now_s - self._last_s, now_s
        if not self.is_connected:
            return
        self._owed += passed_s * self._rate
        count = int(self._owed)
        self._owed -= count
        self.send(count)

    def _connect(self) -> Any:
        if self._client is not None:
            if not self._client.ended:
                return None
            self._client = None
        return Deferred.fromCoroutine(self._try())

    async def _try(self) -> None:
        client = _Client(f"publisher-{id(self)}", self.login, clean=True)
        client.acknowledged = lambda packet_id: self._unacknowledged.pop(packet_id, None)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self._port, timeout=2)
        with suppress(ConnectError):
            await connectProtocol(endpoint, client)
            await client.accepted
            if self._over:
                client.end()
                return
            self._client = client
            for packet_id, (topic, payload, retain) in self._unacknowledged.items():
                self._write(topic, payload, packet_id, retain=retain, dup=True)

    def _write(
        self, topic: str, payload: bytes, packet_id: int, *, retain: bool, dup: bool = False
    ) -> None:
        if self._client is None or self._client.ended:
            return
        first = _PUBLISH | (0x02 if packet_id else 0) | retain | (_DUP if dup else 0)
        which = packet_id.to_bytes(2, "big") if packet_id else b""
        self._client.transport.write(control_packet(first, mqtt_string(topic) + which + payload))


async def make_session(
    port: int, client_id: str, topic_filter: str, login: tuple[str, str] | None = None
) -> None:
    """Leave a session with a subscription at QoS 1, as an earlier run of the client does."""
    client = await _session(port, client_id, login)
    client.transport.write(control_packet(_SUBSCRIBE, b"\0\1" + mqtt_string(topic_filter) + b"\1"))
    await client.ping().addTimeout(SETTLE_S, reactor)
    client.end()


async def left_at_broker(
    port: int, client_id: str, login: tuple[str, str] | None = None
) -> list[str]:
    """Take over a client's session and take all that the broker still has for it.

    Returns:
        The topics of the messages, in their order.
    """
    topics: list[str] = []
    client = await _session(port, client_id, login, topics.append)
    had = -1
    while had < len(topics):  # each acknowledgement lets another one come
        had = len(topics)
        await client.ping().addTimeout(SETTLE_S, reactor)
    client.end()
    return topics


async def _session(
    port: int, client_id: str, login: tuple[str, str] | None, received: Any = lambda _topic: None
) -> _Client:
    client = _Client(client_id, login, clean=False)
    client.received = received
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port, timeout=5)
    await connectProtocol(endpoint, client)
    await client.accepted
    return client
