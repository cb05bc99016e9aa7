"""A client that builds its own MQTT packets, for a real broker and for the model of one."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Final, Protocol

from metrics_agent.transports.mqtt.packets import encode_fixed_header
from metrics_agent.transports.mqtt.splitter import PacketSplitter
from tests.simulation.broker import ModelBroker
from tests.simulation.broker_packets import (
    RECEIVE_MAXIMUM,
    SESSION_EXPIRY,
    read_properties,
    write_properties,
    write_text,
)
from tests.simulation.clock import SimClock
from tests.simulation.network import Connection

__all__ = ["ModelPipe", "Pipe", "RawClient", "SocketPipe"]

_KINDS: Final = {4: "puback", 9: "suback", 11: "unsuback", 14: "disconnect"}


class Pipe(Protocol):
    """A connection to a broker.

    Attributes:
        closed: the broker has ended it.
    """

    closed: bool

    def send(self, data: bytes) -> None:
        """Send bytes."""
        ...

    def receive(self) -> bytes:
        """Return what has come, after waiting if nothing has; empty at the end."""
        ...

    def close(self) -> None:
        """Cut the connection."""
        ...


class SocketPipe:
    """To a real broker."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        # Otherwise the second of two small packets waits for 40 ms.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.closed = False

    def send(self, data: bytes) -> None:
        # As with any client, bytes sent to a broker that has gone are lost.
        with suppress(ConnectionError):
            self._socket.sendall(data)

    def receive(self) -> bytes:
        try:
            data = self._socket.recv(65536)
        except ConnectionError:
            data = b""
        self.closed = not data
        return data

    def close(self) -> None:
        self._socket.close()


class ModelPipe:
    """To the model, whose clock it drives."""

    def __init__(self, clock: SimClock, broker: ModelBroker) -> None:
        self._clock = clock
        self._data = bytearray()
        self.closed = False
        self._connection = Connection(clock, 1 << 20, _call, self)
        broker.accept(self._connection)

    def dataReceived(self, data: bytes) -> None:
        self._data += data

    def connectionLost(self, _reason: object) -> None:
        self.closed = True

    def send(self, data: bytes) -> None:
        self._connection.transport.write(data)

    def receive(self) -> bytes:
        self._clock.run(0.1)
        data = bytes(self._data)
        self._data.clear()
        return data

    def close(self) -> None:
        self._connection.reset()


def _call(call: Any, *args: Any) -> None:
    call(*args)


class RawClient:
    """Sends packets and notes what comes.

    Args:
        pipe: not used before.
        v5: speaks MQTT 5.
    """

    def __init__(self, pipe: Pipe, *, v5: bool) -> None:
        self._pipe = pipe
        self._v5 = v5
        self._splitter = PacketSplitter(1 << 20)
        self._next_id = 0

    def connect(
        self,
        client_id: str,
        *,
        clean: bool,
        receive_maximum: int = 100,
        expiry_s: int = 3600,
        keepalive_s: int = 60,
        will: tuple[str, bytes, int, bool] | None = None,
        level: int = 0,
    ) -> list[tuple[Any, ...]]:
        """Connect, and return all that the broker sends."""
        flags = 2 * clean
        properties = payload = b""
        if self._v5:
            properties = write_properties(
                {SESSION_EXPIRY: 0 if clean else expiry_s, RECEIVE_MAXIMUM: receive_maximum}
            )
        if will is not None:
            topic, message, qos, retain = will
            flags |= 4 | qos << 3 | retain << 5
            payload = (b"\0" if self._v5 else b"") + write_text(topic)
            payload += len(message).to_bytes(2, "big") + message
        body = b"\0\4MQTT" + bytes((level or (5 if self._v5 else 4), flags))
        body += keepalive_s.to_bytes(2, "big") + properties + write_text(client_id) + payload
        self._send(0x10, body)
        return self.settle(connecting=True)

    def subscribe(self, topic_filter: str, options: int) -> list[tuple[Any, ...]]:
        """Subscribe at a QoS, with options where it is MQTT 5, and return what comes."""
        body = self._id() + (b"\0" if self._v5 else b"") + write_text(topic_filter)
        self._send(0x82, body + bytes((options if self._v5 else options & 3,)))
        return self.settle()

    def unsubscribe(self, topic_filter: str) -> list[tuple[Any, ...]]:
        """Unsubscribe, and return what comes."""
        body = self._id() + (b"\0" if self._v5 else b"") + write_text(topic_filter)
        self._send(0xA2, body)
        return self.settle()

    def publish(
        self, topic: str, payload: bytes, qos: int, *, retain: bool, settle: bool = True
    ) -> list[tuple[Any, ...]]:
        """Publish, and return what comes, unless more is to be sent at once."""
        body = write_text(topic) + (self._id() if qos else b"")
        self._send(0x30 | qos << 1 | retain, body + (b"\0" if self._v5 else b"") + payload)
        return self.settle() if settle else []

    def acknowledge(self, packet_id: int) -> None:
        """Send a PUBACK."""
        self._send(0x40, packet_id.to_bytes(2, "big"))

    def disconnect(self) -> None:
        """Disconnect in order."""
        self._send(0xE0, b"")
        while not self._pipe.closed:
            self._pipe.receive()
        self._pipe.close()

    def cut(self) -> None:
        """Cut the connection."""
        self._pipe.close()

    def settle(self, *, connecting: bool = False) -> list[tuple[Any, ...]]:
        """Return all that comes before the answer to a PING."""
        events: list[tuple[Any, ...]] = []
        if not connecting:
            self._send(0xC0, b"")
        while True:
            for frame in self._splitter.feed(self._pipe.receive()):
                first, body = frame  # type: ignore[misc]  # none is skipped
                if first >> 4 == 13:
                    return events
                events.append(self._event(first, body))
                if first >> 4 == 2 and not body[1]:
                    self._send(0xC0, b"")
            if self._pipe.closed:
                return [*events, ("closed",)]

    def _event(self, first: int, body: bytes) -> tuple[Any, ...]:
        kind = first >> 4
        if kind == 3:
            return self._message(first, body)
        if kind == 2:
            values = read_properties(body[2:])[0] if body[2:] else {}
            return ("connack", body[0], body[1], sorted(values.items()))
        # Without the packet id.
        return (_KINDS.get(kind, kind), body if kind == 14 else body[2:])

    def _message(self, first: int, body: bytes) -> tuple[Any, ...]:
        end = (body[0] << 8) + body[1] + 2
        topic, rest = body[2:end].decode(), body[end:]
        qos = first >> 1 & 3
        packet_id = 0
        if qos:
            packet_id, rest = (rest[0] << 8) + rest[1], rest[2:]
        if self._v5:
            rest = rest[1 + rest[0] :]
        return ("publish", topic, rest, qos, first & 1, first >> 3 & 1, packet_id)

    def _id(self) -> bytes:
        self._next_id += 1
        return self._next_id.to_bytes(2, "big")

    def _send(self, first: int, body: bytes) -> None:
        self._pipe.send(encode_fixed_header(first, len(body)) + body)
