"""A load of numbered messages from simulated Tasmota devices, over real MQTT.

Each device counts its messages in ``ENERGY.Total``, so a hole, a repetition or a wrong order can
be seen in the output (`watching.sequences`). It is a client of its own and not paho, since a test
has to know what the broker has passed on: the broker answers a PING after all that came before.
"""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

__all__ = ["Load", "announcement", "control_packet", "mqtt_string"]

BATCH_S = 0.01
LIMIT_S = 20

_CONNECT_FLAGS_CLEAN = 2
_PINGREQ = b"\xc0\x00"
_DISCONNECT = b"\xe0\x00"
_CONNACK, _PUBACK, _PINGRESP = 0x20, 0x40, 0xD0


class Load(Protocol):
    """One publisher for all devices.

    Args:
        devices: how many.
        rate: messages a second, of all devices together.
        qos: 0 or 1.
        name: what the devices' names begin with.

    Attributes:
        sent: by device, the number of its last message.
        acknowledged: how many PUBACKs came.
        rate: see above; may change.
    """

    def __init__(self, devices: int, rate: float, qos: int, name: str) -> None:
        self.devices = [f"{name}{number:02d}" for number in range(devices)]
        self.sent = dict.fromkeys(self.devices, 0)
        self.acknowledged = 0
        self.rate = rate
        self._qos = qos
        self._name = name
        self._packet_id = 0
        self._turn = 0
        self._owed = 0.0
        self._pings: deque[tuple[Deferred[Any], dict[str, int]]] = deque()
        self._connected: Deferred[None] = Deferred()
        self._rest = b""
        self._last_s = 0.0
        self._loop = LoopingCall(self._tick)

    @classmethod
    async def connect(
        cls,
        case: TestCase,
        port: int,
        *,
        devices: int = 10,
        rate: float = 500,
        qos: int = 0,
        name: str = "plug",
        announced: bool = True,
    ) -> Load:
        """Connect, and announce the devices by retained messages unless they are to be unknown."""
        load = cls(devices, rate, qos, name)
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), load)
        case.addCleanup(load.end)
        await load._connected
        for number, device in enumerate(load.devices):
            if announced:
                load.publish(*announcement(name, number, device), retain=True)
            load.publish(f"tele/{device}/LWT", b"Online", retain=True)
        await load.barrier()
        return load

    # The load.

    def start(self) -> None:
        """Begin to send."""
        self._last_s = time.monotonic()
        self._loop.start(BATCH_S)

    def stop(self) -> None:
        """Send no more numbered messages."""
        if self._loop.running:
            self._loop.stop()

    async def barrier(self) -> dict[str, int]:
        """Return the last numbers that the broker has taken and passed on to those it could."""
        passed: Deferred[dict[str, int]] = Deferred()
        self._pings.append((passed, dict(self.sent)))
        self.transport.write(_PINGREQ)
        passed.addTimeout(LIMIT_S, reactor)
        return await passed

    def send(self, count: int) -> None:
        """Send so many numbered messages at once, the devices in turn."""
        self.transport.write(b"".join(self._next() for _ in range(count)))

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, qos: int = 0) -> None:
        """Send any message."""
        self.transport.write(self._packet(topic, payload, qos, retain=retain))

    def end(self) -> None:
        """Stop and disconnect."""
        self.stop()
        if self.transport is not None and self.transport.connected:
            self.transport.write(_DISCONNECT)
            self.transport.loseConnection()

    # Inside.

    def _tick(self) -> None:
        now_s = time.monotonic()
        self._owed += (now_s - self._last_s) * self.rate
        self._last_s = now_s
        count = int(self._owed)
        self._owed -= count
        self.send(count)

    def _next(self) -> bytes:
        device = self.devices[self._turn]
        self._turn = (self._turn + 1) % len(self.devices)
        self.sent[device] += 1
        payload = b'{"ENERGY":{"Total":%d,"Power":%d}}' % (
            self.sent[device],
            self.sent[device] % 3000,
        )
        return self._packet(f"tele/{device}/SENSOR", payload, self._qos)

    def _packet(self, topic: str, payload: bytes, qos: int, *, retain: bool = False) -> bytes:
        body = mqtt_string(topic)
        if qos:
            self._packet_id = self._packet_id % 65535 + 1
            body += self._packet_id.to_bytes(2, "big")
        return control_packet(0x30 | qos << 1 | retain, body + payload)

    def connectionMade(self) -> None:
        """Log in."""
        self.transport.setTcpNoDelay(True)
        client_id = f"load-{self._name}-{id(self)}"
        variable = mqtt_string("MQTT") + bytes([4, _CONNECT_FLAGS_CLEAN]) + (600).to_bytes(2, "big")
        self.transport.write(control_packet(0x10, variable + mqtt_string(client_id)))

    def dataReceived(self, data: bytes) -> None:
        """Count the answers; none of them is longer than four bytes."""
        data = self._rest + data
        while len(data) > 1 and len(data) >= 2 + data[1]:
            self._answer(data[0])
            data = data[2 + data[1] :]
        self._rest = data

    def _answer(self, first: int) -> None:
        if first == _CONNACK:
            self._connected.callback(None)
        elif first == _PUBACK:
            self.acknowledged += 1
        elif first == _PINGRESP:
            passed, sent = self._pings.popleft()
            passed.callback(sent)

    def connectionLost(self, reason: Any = None) -> None:
        """Send no more: the broker has gone."""
        del reason
        self.stop()


def control_packet(first: int, body: bytes) -> bytes:
    """Return a packet: its first byte, the length, the rest."""
    length = len(body)
    digits = bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | 128 if length else digit)
        if not length:
            return bytes([first]) + bytes(digits) + body


def mqtt_string(text: str) -> bytes:
    """Return a text as MQTT writes it."""
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def announcement(name: str, number: int, device: str) -> tuple[str, bytes]:
    """Return topic and payload of a device's retained announcement.

    Args:
        name: of the load; devices of two loads must not share an address.
        number: of the device in its load.
        device: its name.
    """
    config = {
        "ip": "192.168.7.41",
        "dn": f"Name of {device}",
        "fn": [f"Name of {device}", *[None] * 7],
        "hn": device,
        "mac": "A4CF12C0FFEE",
        "md": "Generic",
        "ty": 0,
        "ofln": "Offline",
        "onln": "Online",
        "state": ["OFF", "ON", "TOGGLE", "HOLD"],
        "sw": "14.4.1",
        "t": device,
        "ft": "%prefix%/%topic%/",
        "tp": ["cmnd", "stat", "tele"],
        "rl": [1, 0, 0, 0, 0, 0, 0, 0],
        "ver": 1,
    }
    topic = f"tasmota/discovery/{sum(name.encode()) % 256:02X}CF12{number:06X}/config"
    return topic, json.dumps(config).encode()
