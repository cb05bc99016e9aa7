"""Brokers that do what no broker does; on plain TCP and within a WebSocket."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.trial.unittest import TestCase

from metrics_agent.transports.mqtt.packets import encode_fixed_header

__all__ = ["CONNACK", "CONNACK_5", "HostileBroker", "packet", "publish", "string", "suback"]

CONNACK = b"\x20\x02\0\0"
CONNACK_5 = b"\x20\x03\0\0\0"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BINARY, _PING = 0x82, 0x89


def packet(first: int, body: bytes) -> bytes:
    """Write a packet."""
    return encode_fixed_header(first, len(body)) + body


def string(text: bytes) -> bytes:
    """Write a text as MQTT does, cut to what has room."""
    return len(text[:65_535]).to_bytes(2, "big") + text[:65_535]


def publish(topic: bytes, payload: bytes, packet_id: int = 0, qos: int = 0) -> bytes:
    """Write a PUBLISH of MQTT 3.1.1."""
    number = packet_id.to_bytes(2, "big") if qos else b""
    return packet(0x30 | qos << 1, string(topic) + number + payload)


def suback(subscribe: bytes, code: int, *, v5: bool = False) -> bytes:
    """Answer a SUBSCRIBE, which is given without its fixed header, with a code a filter."""
    place, count = 2 + v5, 0
    while place < len(subscribe):
        place += 3 + int.from_bytes(subscribe[place : place + 2], "big")
        count += 1
    return packet(0x90, subscribe[:2] + b"\0" * v5 + bytes([code]) * count)


class HostileBroker(Protocol):
    """One connection to a hostile broker.

    Attributes:
        received: what has come, within a WebSocket after the handshake.
    """

    def __init__(self, act: Callable[[HostileBroker, bytes], None], made: list[Any]) -> None:
        self._act = act
        self._made = made
        self._websocket = False
        self._shaken = False
        self.received = b""
        self.open = False

    @classmethod
    def listen(
        cls, case: TestCase, act: Callable[[HostileBroker, bytes], None]
    ) -> tuple[int, list[HostileBroker]]:
        """Listen; ``act`` is called with each read. Return the port and the connections so far."""
        made: list[HostileBroker] = []
        factory = Factory.forProtocol(lambda: cls(act, made))
        factory.noisy = False
        listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
        case.addCleanup(listening.stopListening)
        case.addCleanup(lambda: [each.transport.abortConnection() for each in made if each.open])
        return listening.getHost().port, made

    def connectionMade(self) -> None:
        """Note the connection."""
        self.open = True
        self._made.append(self)

    def connectionLost(self, reason: Any = connectionDone) -> None:
        """Note the end."""
        del reason
        self.open = False

    def dataReceived(self, data: bytes) -> None:
        """Answer a handshake, and hand on the rest."""
        if data.startswith(b"GET "):
            self._websocket = True
            key = data.lower().index(b"sec-websocket-key:")
            value = data[key + 18 :].split(b"\r\n")[0].strip()
            accept = base64.b64encode(hashlib.sha1(value + _GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            return
        self.received += data
        self._act(self, data if not self._websocket else _unmasked(data))

    def send(self, data: bytes) -> None:
        """Send MQTT."""
        self.transport.write(_frame(_BINARY, data) if self._websocket else data)

    def ping(self, data: bytes) -> None:
        """Send a ping of the WebSocket."""
        self.transport.write(_frame(_PING, data))


def _frame(first: int, data: bytes) -> bytes:
    size = len(data)
    if size < 126:
        return bytes([first, size]) + data
    if size < 1 << 16:
        return bytes([first, 126]) + size.to_bytes(2, "big") + data
    return bytes([first, 127]) + size.to_bytes(8, "big") + data


def _unmasked(data: bytes) -> bytes:
    """Return what the frames of a read hold; a client's short ones come whole."""
    found = b""
    while len(data) > 6:
        size, place = data[1] & 127, 2
        if size == 126:
            size, place = int.from_bytes(data[2:4], "big"), 4
        mask = data[place : place + 4]
        body = data[place + 4 : place + 4 + size]
        found += bytes(byte ^ mask[index % 4] for index, byte in enumerate(body))
        data = data[place + 4 + size :]
    return found
