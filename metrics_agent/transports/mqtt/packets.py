"""The MQTT packets that we read and write ourselves; all others are left to paho.

PUBLISH at QoS 0 and 1 is nearly all that a broker sends, and paho's decoder costs several times
as much as this one. tests/transports/mqtt/test_packets.py holds the two against each other.

Where we differ from paho: a packet id of 0 and a number that reaches past the end of the
properties are refused here. The values of properties are not looked at (a text that is not UTF-8
is the sender's affair and not worth a connection), but their sizes must add up, or the payload
would begin in the wrong place.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from metrics_agent.errors import ProtocolError
from metrics_agent.limits import CONTROL_PACKET_BYTES
from metrics_agent.transports.mqtt.splitter import Frame

__all__ = [
    "MAX_PACKET_BYTES",
    "PINGREQ",
    "Publish",
    "decode_publish",
    "encode_fixed_header",
    "encode_puback",
    "longest_body",
    "properties_bytes",
    "whole",
]

PINGREQ: Final = b"\xc0\x00"
"""A whole PINGREQ packet."""

_REASON: Final = "malformed_publish"
_TOPIC_ALIAS: Final = 35
_SUBSCRIPTION_ID: Final = 11
_USER_PROPERTY: Final = 38
_MAX_LENGTH: Final = 268_435_455
_VARIABLE_BYTES: Final = 4
MAX_PACKET_BYTES: Final = 1 + _VARIABLE_BYTES + _MAX_LENGTH
"""The longest packet that MQTT knows."""

# MQTT 5, 3.3.2.3: the properties of a PUBLISH. Sizes in bytes, or how the value says its own.
_FIXED_SIZE: Final = {1: 1, 2: 4, _TOPIC_ALIAS: 2}
_TEXTS: Final = {3: 1, 8: 1, 9: 1, _USER_PROPERTY: 2}
_REPEATABLE: Final = frozenset({_SUBSCRIPTION_ID, _USER_PROPERTY})


class Publish(NamedTuple):
    """A PUBLISH packet.

    Attributes:
        topic: raw bytes, not empty; may be invalid UTF-8 and may hold what no topic may.
        payload: raw bytes.
        qos: 0, 1 or 2.
        retain: stored at the broker and sent because we subscribed.
        packet_id: 1 to 65,535 at QoS 1 and 2, 0 at QoS 0.
    """

    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    packet_id: int


def decode_publish(first: int, body: bytes, v5: bool) -> Publish:
    """Read a PUBLISH packet.

    Args:
        first: the first byte of the fixed header.
        body: all that follows the remaining length.
        v5: whether the connection speaks MQTT 5, whose packets carry properties.

    Raises:
        ProtocolError: ``malformed_publish``, or ``topic_alias`` for a packet that relies on an
            alias, which we never allow.
    """
    qos = first >> 1 & 3
    packet_id = 0
    try:
        end = (body[0] << 8) + body[1] + 2
        topic = body[2:end]
        if qos:
            packet_id = (body[end] << 8) + body[end + 1]
            end += 2
            if qos == 3 or not packet_id:  # noqa: PLR2004 - the value that MQTT reserves
                raise ProtocolError(_REASON, f"QoS {qos} with packet id {packet_id}")
        if v5:
            # No properties, which is what most publishers send, is one byte of 0.
            end = end + 1 if not body[end] else _skip_properties(body, end, bool(topic))
    except IndexError:
        raise ProtocolError(_REASON, f"truncated after {len(body)} bytes") from None
    if end > len(body):
        raise ProtocolError(_REASON, f"truncated after {len(body)} bytes")
    if not topic:
        raise ProtocolError(_REASON, "an empty topic")
    # By way of tuple: a named tuple's own constructor costs twice as much.
    values = (topic, body[end:], qos, first & 1 == 1, packet_id)
    return tuple.__new__(Publish, values)


def _skip_properties(body: bytes, position: int, has_topic: bool) -> int:
    """Walk over the properties, of many only the first, and return where the payload begins.

    Raises:
        ProtocolError: the properties are malformed, or have an alias in place of the topic.
        IndexError: the packet ends in the middle of a value.
    """
    length, position = _variable_integer(body, position)
    end = position + length
    looked_at_end = min(end, position + CONTROL_PACKET_BYTES)
    seen = set()
    while position < looked_at_end:
        identifier, position = _variable_integer(body, position)
        if identifier in seen and identifier not in _REPEATABLE:
            raise ProtocolError(_REASON, f"property {identifier} is given twice")
        seen.add(identifier)
        if identifier in _FIXED_SIZE:
            position += _FIXED_SIZE[identifier]
        elif identifier in _TEXTS:
            for _ in range(_TEXTS[identifier]):
                position += (body[position] << 8) + body[position + 1] + 2
        elif identifier == _SUBSCRIPTION_ID:
            _, position = _variable_integer(body, position)
        else:
            raise ProtocolError(_REASON, f"property {identifier} does not belong here")
    if position > end:
        raise ProtocolError(_REASON, "a property reaches past the end of the properties")
    if _TOPIC_ALIAS in seen and not has_topic:
        raise ProtocolError("topic_alias", "the broker uses an alias that was never allowed")
    return end


def _variable_integer(body: bytes, position: int) -> tuple[int, int]:
    """Read a variable byte integer and return it with the position after it."""
    value = 0
    for index in range(_VARIABLE_BYTES):
        digit = body[position + index]
        value |= (digit & 0x7F) << (7 * index)
        if digit <= 0x7F:  # noqa: PLR2004 - the last one
            return value, position + index + 1
    raise ProtocolError(_REASON, "a number of more than 4 bytes in the properties")


def properties_bytes(body: bytes) -> int:
    """Return how long the properties of a PUBLISH at QoS 2 are; 0 if the packet is malformed."""
    try:
        return _variable_integer(body, (body[0] << 8) + body[1] + 4)[0]
    except (IndexError, ProtocolError):
        return 0


def encode_puback(packet_id: int) -> bytes:
    """Write a PUBACK that says success, the same in 3.1.1 and 5.

    Args:
        packet_id: 1 to 65,535.
    """
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def encode_fixed_header(first: int, length: int) -> bytes:
    """Write a packet's first byte and its remaining length.

    Args:
        first: type and flags.
        length: bytes that follow, at most 268,435,455.
    """
    if not 0 <= length <= _MAX_LENGTH:
        raise ValueError(f"got a length of {length}, expected 0 to {_MAX_LENGTH}")
    header = bytearray((first,))
    while length > 0x7F:  # noqa: PLR2004 - more bytes follow
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return bytes(header)


def longest_body(packet_bytes: int) -> int:
    """Return how much of a packet of some length may follow its fixed header; below 0: nothing."""
    length = min(packet_bytes - 2, _MAX_LENGTH)
    while length > 0 and len(encode_fixed_header(0, length)) + length > packet_bytes:
        length -= 1
    return length


def whole(frame: Frame) -> bytes:
    """Put a packet together again as it came from the network, for paho."""
    first, body = frame
    return encode_fixed_header(first, len(body)) + body
