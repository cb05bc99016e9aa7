"""Devices that number what they send at QoS 1, and send it again until the broker has taken it.

What a subject may lose is judged by these numbers: a message counts as accepted once its PUBACK is
here. What has none is sent again, at the next broker of the list if need be, so a hole in the
output is never a message that the devices gave up.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import LoopingCall

from benchmarks import packets
from tests.integration.load import announcement
from tests.integration.watching import until

__all__ = ["Devices"]

_TICK_S: Final = 0.01
_RETRY_S: Final = 0.1
_CONNECT_LIMIT_S: Final = 3.0
_STALL_S: Final = 5.0
"""So long a broker may be silent while it owes a PUBACK."""

_MAX_UNACKNOWLEDGED: Final = 1000
_DUPLICATE: Final = 0x08


class Devices:
    """A fleet with one connection; ends with the case.

    Args:
        case: whose cleanup ends it.
        ports: of brokers on the loopback interface, tried in turn.
        name: what the devices' names begin with.
        topic: of the messages, with ``{device}`` in it.
        devices: how many.
        rate: messages a second, of all together, while a broker takes them.
        announced: whether they announce themselves by retained messages at each connection.

    Attributes:
        sent: by device, the number of its last message.
        accepted: how many PUBACKs came for different messages.
        repeated: how many messages were sent more than once.
    """

    def __init__(
        self,
        case: Any,
        ports: Sequence[int],
        *,
        name: str,
        topic: str = "tele/{device}/SENSOR",
        devices: int = 5,
        rate: float = 100.0,
        announced: bool = True,
    ) -> None:
        self.ports = tuple(ports)
        self.name = name
        self.sent = {f"{name}{number:02d}": 0 for number in range(devices)}
        self.accepted = 0
        self.repeated = 0
        self._topics = {device: topic.format(device=device) for device in self.sent}
        self._announced = announced
        self._rate = rate
        self._order = tuple(self.sent)
        self._turn = 0
        self._owed = 0.0
        self._last_s = 0.0
        self._port_index = 0
        self._packet_id = 0
        self._unacknowledged: dict[int, bytes] = {}
        self._wire: _Wire | None = None
        self._heard_s = 0.0
        self._connecting = False
        self._ended = False
        self._loop = LoopingCall(self._tick)
        case.addCleanup(self.end)

    @property
    def port(self) -> int:
        """The broker that is in use or tried next."""
        return self.ports[self._port_index]

    @property
    def pending(self) -> int:
        """How many messages have no PUBACK yet."""
        return len(self._unacknowledged)

    @property
    def total(self) -> int:
        """How many messages there were."""
        return sum(self.sent.values())

    async def connect(self) -> None:
        """Connect for the first time; nothing numbered is sent yet."""
        self._connect()
        await until(lambda: self._wire is not None, f"devices {self.name} at {self.ports}")

    def start(self) -> None:
        """Begin to send."""
        self._last_s = time.monotonic()
        self._loop.start(_TICK_S)

    def stop(self) -> None:
        """Send no more new messages; those without PUBACK are still sent again."""
        if self._loop.running:
            self._loop.stop()

    async def all_accepted(self, limit_s: float = 60.0) -> None:
        """Wait until each message has its PUBACK."""
        await until(
            lambda: not self.pending,
            lambda: f"{self.pending} PUBACKs of the devices {self.name}",
            limit_s,
        )

    def end(self) -> None:
        """Stop and disconnect."""
        self.stop()
        self._ended = True
        if self._wire is not None:
            self._wire.transport.write(packets.DISCONNECT)
            self._wire.transport.loseConnection()

    # The load.

    def _tick(self) -> None:
        now_s = time.monotonic()
        elapsed_s, self._last_s = now_s - self._last_s, now_s
        if self._wire is None:
            return
        if self.pending and now_s - self._heard_s > _STALL_S:
            self._wire.transport.abortConnection()
            return
        self._owed += elapsed_s * self._rate
        count = min(int(self._owed), _MAX_UNACKNOWLEDGED - self.pending)
        self._owed = min(self._owed - count, self._rate)
        if count > 0:
            if not self.pending:
                self._heard_s = now_s
            self._wire.transport.write(b"".join(self._next() for _ in range(count)))

    def _next(self) -> bytes:
        device = self._order[self._turn]
        self._turn = (self._turn + 1) % len(self._order)
        self.sent[device] += 1
        number = self.sent[device]
        payload = b'{"ENERGY":{"Total":%d,"Power":%d}}' % (number, number % 3000)
        while True:
            self._packet_id = self._packet_id % 65_535 + 1
            if self._packet_id not in self._unacknowledged:
                break
        packet = packets.publish(self._topics[device], payload, qos=1, packet_id=self._packet_id)
        self._unacknowledged[self._packet_id] = packet
        return packet

    # The connection.

    def _connect(self) -> None:
        if self._connecting or self._ended:
            return
        self._connecting = True
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port, _CONNECT_LIMIT_S)
        connectProtocol(endpoint, _Wire(self)).addErrback(lambda _failure: self.lost(None))

    def accepted_by_broker(self, wire: _Wire) -> None:
        """Announce, and send again what has no PUBACK; called by the connection."""
        self._connecting = False
        self._wire = wire
        self._heard_s = time.monotonic()
        if self._announced:
            for number, device in enumerate(self._order):
                topic, payload = announcement(self.name, number, device)
                wire.transport.write(packets.publish(topic, payload, retain=True))
        again = list(self._unacknowledged.values())
        self.repeated += len(again)
        for packet in again:
            wire.transport.write(bytes([packet[0] | _DUPLICATE]) + packet[1:])

    def acknowledged(self, packet_id: int) -> None:
        """Take a PUBACK; called by the connection."""
        self._heard_s = time.monotonic()
        if self._unacknowledged.pop(packet_id, None) is not None:
            self.accepted += 1

    def lost(self, wire: _Wire | None) -> None:
        """Go on at the next broker; called by the connection, also for one that never was."""
        self._connecting = False
        if wire is self._wire:
            self._wire = None
        if not self._ended:
            self._port_index = (self._port_index + 1) % len(self.ports)
            reactor.callLater(_RETRY_S, self._connect)


class _Wire(Protocol):
    """One connection."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._reader = packets.PacketReader()
        self._limit: Any = None

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self._limit = reactor.callLater(_CONNECT_LIMIT_S, self.transport.abortConnection)
        # No keepalive: `Devices` ends a connection that owes an answer.
        self.transport.write(packets.connect(f"devices-{self._devices.name}"))

    def dataReceived(self, data: bytes) -> None:
        for first, body in self._reader.feed(data):
            kind = first >> 4
            if kind == packets.CONNACK:
                self._limit.cancel()
                if body[1]:
                    self.transport.abortConnection()
                else:
                    self._devices.accepted_by_broker(self)
            elif kind == packets.PUBACK:
                self._devices.acknowledged(struct.unpack_from("!H", body)[0])

    def connectionLost(self, reason: Any = None) -> None:
        del reason
        if self._limit.active():
            self._limit.cancel()
        self._devices.lost(self)
