"""What the two floors share: just enough MQTT 3.1.1 to subscribe and to read PUBLISH packets."""

from __future__ import annotations

from typing import Final

from benchmarks import packets
from benchmarks.fleet import TELEMETRY

__all__ = ["READ_BYTES", "greeting", "publishes"]

READ_BYTES: Final = 65_536


def greeting(name: str, qos: int) -> bytes:
    """Return CONNECT and SUBSCRIBE; a broker takes the second one without a wait for CONNACK."""
    return packets.connect(name) + packets.subscribe(1, TELEMETRY, qos)


def publishes(data: bytes) -> tuple[list[tuple[bytes, bytes, bytes]], bytes]:
    """Cut what was read into packets.

    Returns:
        Of each PUBLISH the device, the packet id (empty at QoS 0) and the payload; then the bytes
        of a packet that is not there in whole.
    """
    found = []
    start, size = 0, len(data)
    while start + 1 < size:
        length, shift, body = 0, 0, start + 1
        while body < size:
            digit = data[body]
            length |= (digit & 0x7F) << shift
            shift += 7
            body += 1
            if digit < 0x80:
                break
        else:
            break
        end = body + length
        if end > size:
            break
        first = data[start]
        if first >> 4 == packets.PUBLISH:
            topic_end = body + 2 + (data[body] << 8 | data[body + 1])
            payload = topic_end + 2 if first & 0x06 else topic_end
            device = data[body + 7 : topic_end - 7]  # tele/DEVICE/SENSOR
            found.append((device, data[topic_end:payload], data[payload:end]))
        start = end
    return found, data[start:]
