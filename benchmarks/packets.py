"""MQTT 3.1.1 packets, written and read without a client library.

A library costs more for a message than the broker does, and a load generator must never be what
limits a measurement. Nothing here comes from the agent: it must not be measured against itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

__all__ = [
    "CONNACK",
    "CONNECT",
    "DISCONNECT",
    "PINGREQ",
    "PINGRESP",
    "PUBACK",
    "PUBLISH",
    "SUBACK",
    "SUBSCRIBE",
    "PacketReader",
    "connect",
    "filters",
    "puback",
    "publish",
    "remaining_length",
    "subscribe",
    "topic_and_payload",
]

PINGREQ: Final = b"\xc0\x00"
PINGRESP: Final = b"\xd0\x00"
DISCONNECT: Final = b"\xe0\x00"

CONNECT: Final = 1
CONNACK: Final = 2
PUBLISH: Final = 3
PUBACK: Final = 4
SUBSCRIBE: Final = 8
SUBACK: Final = 9
"""Types of packets: the upper half of their first byte."""

MAX_REMAINING_LENGTH: Final = 268_435_455


def remaining_length(length: int) -> bytes:
    """Encode the length of what follows the fixed header, 1 to 4 bytes.

    Raises:
        ValueError: it is negative or more than MQTT can carry.
    """
    if not 0 <= length <= MAX_REMAINING_LENGTH:
        raise ValueError(f"a packet of {length} bytes, expected 0 to {MAX_REMAINING_LENGTH}")
    digits = bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | 0x80 if length else digit)
        if not length:
            return bytes(digits)


def connect(client_id: str, *, keepalive_s: int = 0) -> bytes:
    """Return a CONNECT with a clean session; a keepalive of 0 is none."""
    body = _text("MQTT") + struct.pack("!BBH", 4, 2, keepalive_s) + _text(client_id)
    return b"\x10" + remaining_length(len(body)) + body


def subscribe(packet_id: int, topic_filter: str, qos: int) -> bytes:
    """Return a SUBSCRIBE for one filter."""
    body = struct.pack("!H", packet_id) + _text(topic_filter) + bytes([qos])
    return b"\x82" + remaining_length(len(body)) + body


def filters(body: bytes, *, v5: bool) -> Iterator[str]:
    """Yield the filters of a SUBSCRIBE."""
    position = 2
    if v5:
        # The properties of those that are watched here have less than 128 bytes.
        position += 1 + body[position]
    while position < len(body):
        end = position + 2 + int.from_bytes(body[position : position + 2], "big")
        yield body[position + 2 : end].decode()
        position = end + 1


def publish(
    topic: str, payload: bytes, *, qos: int = 0, packet_id: int = 0, retain: bool = False
) -> bytes:
    """Return a PUBLISH.

    Raises:
        ValueError: QoS 1 without a packet id from 1 to 65,535, or another QoS than 0 and 1.
    """
    if qos not in {0, 1}:
        raise ValueError(f"QoS {qos}, expected 0 or 1")
    body = _text(topic)
    if qos:
        if not 0 < packet_id < 65_536:
            raise ValueError(f"packet id {packet_id}, expected 1 to 65535")
        body += struct.pack("!H", packet_id)
    body += payload
    return bytes([0x30 | qos << 1 | retain]) + remaining_length(len(body)) + body


def puback(packet_id: int) -> bytes:
    """Return a PUBACK."""
    return struct.pack("!BBH", 0x40, 2, packet_id)


def topic_and_payload(first: int, body: bytes) -> tuple[str, bytes]:
    """Read a PUBLISH packet."""
    end = 2 + int.from_bytes(body[:2], "big")
    return body[2:end].decode(), body[end + (2 if first & 0x06 else 0) :]


class PacketReader:
    """Cuts a stream into packets; simple, for the few packets that the benchmarks read."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take bytes; return the packets they complete: first byte and body."""
        pending = self._pending
        pending += data
        packets: list[tuple[int, bytes]] = []
        while True:
            length, shift, position = 0, 0, 1
            while position < len(pending) and position <= 4:
                digit = pending[position]
                length |= (digit & 0x7F) << shift
                shift += 7
                position += 1
                if digit < 0x80:
                    break
            else:
                return packets
            if len(pending) < position + length:
                return packets
            packets.append((pending[0], bytes(pending[position : position + length])))
            del pending[: position + length]


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("!H", len(data)) + data
