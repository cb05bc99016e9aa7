"""MQTT packets as a broker reads and writes them, and which topics match a filter."""

from __future__ import annotations

from typing import Final

from attrs import define, field

__all__ = [
    "Connect",
    "Will",
    "matches",
    "order_of",
    "read_connect",
    "read_properties",
    "read_text",
    "write_properties",
    "write_text",
]

V5: Final = 5
SESSION_EXPIRY: Final = 0x11
SERVER_KEEP_ALIVE: Final = 0x13
RECEIVE_MAXIMUM: Final = 0x21
TOPIC_ALIAS_MAXIMUM: Final = 0x22
TOPIC_ALIAS: Final = 0x23
MAXIMUM_QOS: Final = 0x24
MAXIMUM_PACKET_SIZE: Final = 0x27
_PROPERTY_BYTES: Final = {
    SESSION_EXPIRY: 4,
    SERVER_KEEP_ALIVE: 2,
    0x17: 1,
    0x19: 1,
    RECEIVE_MAXIMUM: 2,
    TOPIC_ALIAS_MAXIMUM: 2,
    TOPIC_ALIAS: 2,
    MAXIMUM_QOS: 1,
    0x25: 1,
    MAXIMUM_PACKET_SIZE: 4,
    0x28: 1,
    0x29: 1,
    0x2A: 1,
}
NEVER_S: Final = 0xFFFFFFFF
"""The expiry interval of a session that does not expire."""


@define
class Will:
    """A will: published when a client ends without a DISCONNECT."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


@define
class Connect:
    """A CONNECT."""

    level: int
    clean: bool
    keepalive_s: int
    client_id: str
    expiry_s: int
    will: Will | None = None
    properties: dict[int, int] = field(factory=dict)

    @property
    def v5(self) -> bool:
        """Whether it asks for MQTT 5."""
        return self.level == V5


def read_connect(body: bytes) -> Connect:
    """Read a CONNECT without a login."""
    level, flags = body[6], body[7]
    clean = bool(flags & 2)
    keepalive_s = (body[8] << 8) + body[9]
    rest = body[10:]
    properties: dict[int, int] = {}
    if level == V5:
        properties, rest = read_properties(rest)
    client_id, rest = read_text(rest)
    will = None
    if flags & 4:
        if level == V5:
            _values, rest = read_properties(rest)
        topic, rest = read_text(rest)
        size = (rest[0] << 8) + rest[1]
        will = Will(topic, rest[2 : 2 + size], flags >> 3 & 3, bool(flags & 0x20))
    never = 0 if clean else NEVER_S
    expiry_s = properties.get(SESSION_EXPIRY, 0) if level == V5 else never
    return Connect(level, clean, keepalive_s, client_id, expiry_s, will, properties)


def read_text(data: bytes) -> tuple[str, bytes]:
    """Read a text; return it with what follows."""
    end = (data[0] << 8) + data[1] + 2
    return data[2:end].decode(), data[end:]


def write_text(text: str) -> bytes:
    """Write a text."""
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def read_properties(data: bytes) -> tuple[dict[int, int], bytes]:
    """Read properties that are numbers; return them with what follows."""
    length = shift = position = 0
    while True:
        digit = data[position]
        position += 1
        length |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:
            break
    end = position + length
    values = {}
    while position < end:
        name = data[position]
        size = _PROPERTY_BYTES[name]
        values[name] = int.from_bytes(data[position + 1 : position + 1 + size], "big")
        position += 1 + size
    return values, data[end:]


def write_properties(values: dict[int, int]) -> bytes:
    """Write properties that are numbers, of less than 128 bytes in all."""
    data = b"".join(
        bytes((name,)) + value.to_bytes(_PROPERTY_BYTES[name], "big")
        for name, value in values.items()
    )
    return bytes((len(data),)) + data


def matches(topic_filter: str, topic: str) -> bool:
    """Say whether a topic matches a filter."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] != levels[0]:
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index == len(levels) or level not in {"+", levels[index]}:
            return False
    return len(wanted) == len(levels)


def order_of(topic_filter: str) -> tuple[int, ...]:
    """Return the key that sorts a topic's filters in mosquitto's order."""
    return (*({"+": 1, "#": 2}.get(level, 0) for level in topic_filter.split("/")), 3)
