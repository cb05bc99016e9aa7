"""The first bytes of MQTT packets: the type in the upper four bits, flags in the lower."""

from __future__ import annotations

from typing import Final

__all__ = ["CONNACK", "PINGRESP", "PUBACK", "PUBLISH", "TYPE_MASK"]

CONNACK: Final = 0x20
PUBLISH: Final = 0x30
"""At QoS 0, not retained."""
PUBACK: Final = 0x40
PINGRESP: Final = 0xD0
TYPE_MASK: Final = 0xF0
