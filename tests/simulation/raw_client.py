"""A client that speaks MQTT by hand, the same way to a real broker and to the model of one."""

from __future__ import annotations

import socket
from typing import Any, Protocol

from metrics_agent.transports.mqtt.packets import encode_fixed_header
from metrics_agent.transports.mqtt.splitter import PacketSplitter
from tests.simulation.broker import ModelBroker
from tests.simulation.clock import SimClock
from tests.simulation.network import Connection

__all__ = ["ModelPipe", "Pipe", "RawClient", "SocketPipe"]


class Pipe(Protocol):
    """A connection to a broker."""

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

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self) -> bytes:
        return self._socket.recv(65536)

    def close(self) -> None:
        self._socket.close()


class ModelPipe:
    """To the model, whose clock it drives."""

    def __init__(self, clock: SimClock, broker: ModelBroker) -> None:
        self._clock = clock
        self._data = bytearray()
        self._connection = Connection(clock, 1 << 20, _call, self)
        broker.accept(self._connection)

    def dataReceived(self, data: bytes) -> None:
        self._data += data

    def connectionLost(self, _reason: object) -> None:
        """Nothing to do: what comes then is empty."""

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
        self, client_id: str, *, clean: bool, receive_maximum: int
    ) -> list[tuple[Any, ...]]:
        """Connect, and return what comes until the broker has nothing more."""
        name = client_id.encode()
        properties = b""
        if self._v5:
            values = b"\x11" + (0 if clean else 3600).to_bytes(4, "big")
            values += b"\x21" + receive_maximum.to_bytes(2, "big")
            properties = bytes((len(values),)) + values
        body = b"\0\4MQTT" + bytes((5 if self._v5 else 4, 2 if clean else 0)) + b"\0\x3c"
        body += properties + len(name).to_bytes(2, "big") + name
        self._send(0x10, body)
        return self.settle(connecting=True)

    def subscribe(self, topic_filter: str, qos: int) -> list[tuple[Any, ...]]:
        """Subscribe, and return what comes."""
        name = topic_filter.encode()
        body = self._id() + (b"\0" if self._v5 else b"") + len(name).to_bytes(2, "big") + name
        self._send(0x82, body + bytes((qos,)))
        return self.settle()

    def unsubscribe(self, topic_filter: str) -> list[tuple[Any, ...]]:
        """Unsubscribe, and return what comes."""
        name = topic_filter.encode()
        body = self._id() + (b"\0" if self._v5 else b"") + len(name).to_bytes(2, "big") + name
        self._send(0xA2, body)
        return self.settle()

    def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> None:
        """Publish, and wait until the broker has it."""
        name = topic.encode()
        body = len(name).to_bytes(2, "big") + name
        if qos:
            body += self._id()
        self._send(0x30 | qos << 1 | retain, body + (b"\0" if self._v5 else b"") + payload)
        self.settle()

    def acknowledge(self, packet_id: int) -> None:
        """Send a PUBACK."""
        self._send(0x40, packet_id.to_bytes(2, "big"))

    def disconnect(self) -> None:
        """Leave in order."""
        self._send(0xE0, b"")
        while self._pipe.receive():
            pass
        self._pipe.close()

    def cut(self) -> None:
        """Be gone."""
        self._pipe.close()

    def settle(self, *, connecting: bool = False) -> list[tuple[Any, ...]]:
        """Return what the broker has for us: until the answer to a PING."""
        events: list[tuple[Any, ...]] = []
        if not connecting:
            self._send(0xC0, b"")
        while True:
            for frame in self._splitter.feed(self._pipe.receive()):
                first, body = frame  # type: ignore[misc]  # none is skipped
                kind = first >> 4
                if kind == 13:
                    return events
                if kind == 2:
                    events.append(("connack", body[0] & 1, body[1]))
                    self._send(0xC0, b"")
                elif kind == 9:
                    events.append(("suback", body[-1]))
                elif kind == 3:
                    events.append(self._message(first, body))

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
