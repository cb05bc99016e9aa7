"""A radio receiver for rtl_433, as rtl_tcp serves one: it hears one thermometer, an Acurite 606TX.

Samples are pairs of bytes (I, Q) around 127.5, 250,000 a second. The thermometer switches a carrier
on and off: a pulse of 500 us before each gap, 2 ms for 0 and 4 ms for 1, four times 32 bits.
"""

from __future__ import annotations

import math
from typing import Final

from twisted.internet.protocol import Protocol

__all__ = ["Radio", "thermometer"]

_RATE: Final = 250_000
_PULSE_US: Final = 500
_GAP_US: Final = (2000, 4000)
_REPEATS: Final = 4
_BETWEEN_US: Final = 8500
_QUIET_S: Final = 2.5
_SILENCE: Final = bytes([127, 128])
_HEADER: Final = b"RTL0" + (5).to_bytes(4, "big") + (29).to_bytes(4, "big")
"""The tuner R820T and how many gains it has."""


class Radio(Protocol):
    """Takes commands and does nothing about them."""

    def connectionMade(self) -> None:
        """Send what rtl_tcp begins with."""
        self.transport.write(_HEADER)

    def hear(self, id_: int, celsius: float) -> None:
        """Send a message of the thermometer after a while of silence."""
        self.transport.write(_SILENCE * int(_QUIET_S * _RATE) + thermometer(id_, celsius))


def thermometer(id_: int, celsius: float) -> bytes:
    """Return the samples of one message."""
    tenths = round(celsius * 10)
    body = bytes([id_, 0x80 | tenths >> 8, tenths & 0xFF])  # 0x80: the battery is good
    bits = "".join(f"{byte:08b}" for byte in (*body, _digest(body)))
    row = b"".join(_on(_PULSE_US) + _off(_GAP_US[int(bit)]) for bit in bits)
    return (row + _on(_PULSE_US) + _off(_BETWEEN_US)) * _REPEATS + _off(20_000)


def _digest(body: bytes) -> int:
    key, digest = 0xF1, 0
    for byte in body:
        for bit in f"{byte:08b}":
            if bit == "1":
                digest ^= key
            key = key >> 1 ^ (0x98 if key & 1 else 0)
    return digest


def _on(duration_us: int) -> bytes:
    angles = (0.7 * number for number in range(duration_us * _RATE // 1_000_000))
    return b"".join(
        bytes([int(127.5 + 100 * math.cos(angle)), int(127.5 + 100 * math.sin(angle))])
        for angle in angles
    )


def _off(duration_us: int) -> bytes:
    return _SILENCE * (duration_us * _RATE // 1_000_000)
