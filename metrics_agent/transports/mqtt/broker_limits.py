"""What a broker of MQTT 5 says of its limits in CONNACK, where that is wrong or in our way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

__all__ = ["NO_LIMIT", "fault_of", "maximum_qos", "remarks"]

NO_LIMIT: Final = 2
"""QoS 2 needs no Maximum QoS; its values are 0 and 1 (MQTT 5, 3.2.2.3.4)."""
_FLAGS_BYTES: Final = 2


def maximum_qos(limits: Any) -> int:
    """Return the highest QoS that a broker takes, by its properties."""
    value = getattr(limits, "MaximumQoS", NO_LIMIT)
    return value if value in (0, 1) else NO_LIMIT


def remarks(limits: Any) -> Iterator[str]:
    """Yield what is to be logged of a broker's properties."""
    qos = getattr(limits, "MaximumQoS", None)
    if qos is not None and qos not in (0, 1):
        yield f"it says Maximum QoS {qos}, expected 0 or 1; this is taken as no limit"
    if getattr(limits, "WildcardSubscriptionAvailable", 1) == 0:
        yield (
            "it says that wildcards in subscriptions are not available; it will refuse filters "
            "with + or #, which modules that find their devices need"
        )


def fault_of(body: bytes) -> str:
    """Return what is wrong with the properties of a CONNACK that paho refuses; empty if nothing is.

    Args:
        body: of the packet, behind its length.
    """
    properties = Properties(PacketTypes.CONNACK)
    names: set[str] = set()
    try:
        length, used = VariableByteIntegers.decode(body[_FLAGS_BYTES:])
        rest = body[_FLAGS_BYTES + used :][:length]
        while rest:
            identifier, used = VariableByteIntegers.decode(rest)
            kind = properties.properties[identifier][0]
            value, size = properties.readProperty(rest[used:], kind, len(rest) - used)
            name = properties.getNameFromIdent(identifier)
            if name in names and not properties.allowsMultiple(name.replace(" ", "")):
                return f"{name} is there twice"
            names.add(name)
            setattr(properties, name, value)
            rest = rest[used + size :]
    except Exception as error:
        return str(error)
    return ""
