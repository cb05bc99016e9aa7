"""What a Zigbee or LoRaWAN bridge passes on: an object for each device and message.

The names of attributes are those of the Zigbee standard, so some mean something else than in
Tasmota's own objects: ``Power`` is the state of a switch, ``ActivePower`` is in watts. An object is
found in ``ZbReceived``, by the device's address or name (SetOption83), or without either
(SetOption100, 118, 119); what all forms have in common is ``"Device":"0x5ADF"``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from metrics_agent.catalogue import CLIMATE, DEVICE, ELECTRICITY, STATE, SWITCH
from metrics_agent.json_payload import number
from metrics_agent.modules.tasmota.meters import MeterTable
from metrics_agent.modules.tasmota.sensor_table import READINGS, flag, reading
from metrics_agent.modules.tasmota.sensors import decode_table
from metrics_agent.modules.tasmota.values import Drop, PointBuilder, Units, float_of, short_enough

__all__ = [
    "ZIGBEE",
    "decode_lorawan",
    "decode_zigbee",
    "is_lorawan",
    "is_zigbee",
    "names_device",
]

ZIGBEE: Final = "ZbReceived"
"""The object of what a Zigbee bridge passes on; with SetOption118 a subtopic of that name."""

_SHORT_ADDRESS = re.compile(r"0x[0-9A-Fa-f]{4}")
_OWN_ADDRESS = re.compile(rb'"Device":"0x([0-9A-F]{4})"')
_OWN_NAME = re.compile(rb'"Name":"([^"]{1,128})"')
# "0006!01" is a command, "0006/4000" an attribute without a name; each has a number of a cluster.
# Those of Tuya's cluster are readings, of which the log says the number.
_UNNAMED = re.compile(r"(?!EF00/)[0-9A-Fa-f]{4}[!/<?_].*|Xiaomi_[0-9A-F]{2}")
_COUNTED = re.compile(r"0x([0-9A-Fa-f]{1,16})")

_SWITCHED: Final = {
    "Power": flag(SWITCH, "state"),
    "Dimmer": reading(SWITCH, "dimmer", factor=100 / 254),
    "CT": reading(SWITCH, "color_temperature"),
}
_COMMANDS: Final = {"Power": "0006!", "Dimmer": "0008!"}
"""The beginning of the key that a remote's command comes with: it is not a state."""
_ENERGY: Final = {
    "EnergyTotal": ELECTRICITY.key("energy_total"),
    "CurrentSummationDelivered": ELECTRICITY.key("energy_total"),
    "CurrentSummationReceived": ELECTRICITY.key("energy_exported_total"),
}
"""Counters of a plug, in a unit of its own: texts as most devices send them, numbers of Xiaomi's
plugs or by a plugin of the bridge. The unit is in neither."""

_CURRENT: Final = "RMSCurrent"
_MOST_AMPERES: Final = 100
"""No device has more; a bridge passes on mA until it has read what to divide by."""
_LEAST_VOLTS: Final = 120.0
"""Of the mains, where a message has no voltage."""
_RAW_RATIO: Final = 20
_IDLE_WATTS: Final = 50
"""No device has a power factor below 0.05, but one that is idle."""
_ASKED: Final = {
    **{key: f"{field} Wh" for key, field in _ENERGY.items()},
    _CURRENT: f"{ELECTRICITY.key('current')} mA",
}
"""Examples of the setting that decides a unit."""

_TABLE: Final = {
    **{
        key: READINGS[key]
        for key in (
            *("Temperature", "Humidity", "Pressure", "SeaPressure", "Illuminance"),
            *("Battery", "BatteryPercentage", "LinkQuality"),
        )
    },
    "LocalTemperature": READINGS["Temperature"],
    # Of thermostats and valves, in degrees and per cent.
    "OutdoorTemperature": reading(CLIMATE, "outdoor_temperature"),
    **dict.fromkeys(
        ("OccupiedHeatingSetpoint", "TempTarget", "TuyaTempTarget", "CurrentTemperatureSetPoint"),
        reading(CLIMATE, "target_temperature"),
    ),
    "PIHeatingDemand": reading(CLIMATE, "heating_demand"),
    "TuyaValvePosition": reading(SWITCH, "position"),
    # m3/h.
    "FlowRate": reading(CLIMATE, "flow_rate", factor=1000 / 60),
    # The device's own.
    **dict.fromkeys(("CurrentTemperature", "AqaraTemperature"), reading(DEVICE, "temperature")),
    "ActivePower": reading(ELECTRICITY, "power"),
    "RMSVoltage": reading(ELECTRICITY, "voltage"),
    _CURRENT: reading(ELECTRICITY, "current"),
    "BatteryVoltage": reading(DEVICE, "battery_voltage"),
    # Of a version before that name.
    "Voltage": reading(DEVICE, "battery_voltage"),
    # The alarm of a zone: 1 is open.
    "Contact": flag(STATE, "contact", inverted=True),
    "Occupancy": flag(STATE, "occupancy"),
    "Water": flag(STATE, "water_leak"),
    "Fire": flag(STATE, "smoke"),
    "Smoke": flag(STATE, "smoke"),
    "CO": flag(STATE, "carbon_monoxide"),
    "GlassBreak": flag(STATE, "glass_break"),
    "Movement": flag(STATE, "vibration"),
    "Tamper": flag(STATE, "tamper"),
}
_LORAWAN: Final = "Node"
"""What distinguishes the two kinds of bridges."""
_LORAWAN_TABLE: Final = {
    **{key: READINGS[key] for key in ("Temperature", "Humidity", "Pressure", "Illuminance")},
    "RSSI": reading(DEVICE, "signal"),
    "DoorOpen": flag(STATE, "contact", inverted=True),
    # Volts with decimals, else per cent, by the kind of device.
    "Battery": reading(DEVICE, "battery", fraction="battery_voltage"),
}
_LORAWAN_IGNORED: Final = frozenset(
    {
        *("Node", "Device", "Name", "SNR", "Events", "LastEvent", "DevEUIh", "DevEUIl", "FPort"),
        *("Payload", "Time"),
    }
)
_IGNORED: Final = frozenset(
    {
        *("Device", "Name", "Endpoint", "Group", "IEEEAddr", "ModelId", "Manufacturer", "Time"),
        *("Cluster", "Read", "ReadNames", "ConfigResponse", "WriteResponse", "PressureUnit"),
        *("ZoneStatus", "ZoneStatusChange", "ZoneType", "ZoneState", "LastSeen", "LastSeenEpoch"),
        # Of no use: colours, settings, how the network does.
        *("Hue", "Sat", "X", "Y", "ColorMode", "OnTime", "OffWaitTime", "StartUpOnOff"),
        *("SystemMode", "NumberOfResets", "LastMessageLQI", "LastMessageRSSI"),
    }
)


def is_zigbee(name: str, content: Mapping[str, object]) -> bool:
    """Say whether an object is that of a Zigbee device, or has such."""
    if _LORAWAN in content:
        return False
    return (
        name == ZIGBEE
        or _is_address(content.get("Device"))
        or _SHORT_ADDRESS.fullmatch(name) is not None
    )


def names_device(payload: bytes, levels: Iterable[str]) -> bool:
    """Say whether a level of a topic is the address or name of the device in a bridge's message.

    An endpoint may follow it (SetOption120): ``5ADF_1``. The firmware replaces characters of a name
    that cannot be in a topic.
    """
    address = _OWN_ADDRESS.search(payload)
    if address is None:
        return False
    name = _OWN_NAME.search(payload)
    known = _plain(name[1].decode("utf-8", "replace")) if name is not None else ""
    return any(
        level.startswith(address[1].decode("ascii")) or (known and _plain(level).startswith(known))
        for level in levels
    )


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name))


def is_lorawan(content: Mapping[str, object]) -> bool:
    """Say whether an object is that of a LoRaWAN device."""
    return _LORAWAN in content and _is_address(content.get("Device"))


def decode_lorawan(
    name: str, content: Mapping[str, object], points: PointBuilder, drop: Drop
) -> None:
    """Read the object of a device at a LoRaWAN bridge, which has the form of a Zigbee device's."""
    called = _called(name, content)
    if short_enough(called, drop):
        rest = {key: value for key, value in content.items() if key not in _LORAWAN_IGNORED}
        decode_table(called, rest, points, drop, Units({}), _LORAWAN_TABLE)


def decode_zigbee(
    name: str,
    content: Mapping[str, object],
    points: PointBuilder,
    drop: Drop,
    mapping: Mapping[str, MeterTable],
) -> None:
    """Read the object of a Zigbee device.

    Its tag ``sensor`` is its name, else the long address; only without either the short one, which
    is another after the device has joined again.

    Args:
        name: its key in the payload: an address, a name or `ZIGBEE`.
        content: its attributes.
        points: where the fields go.
        drop: called with what is left out.
        mapping: the user's fields by name of the device, for its counters.
    """
    called = _called(name, content)
    if not short_enough(called, drop):
        return
    endpoint = content.get("Endpoint")
    channel = str(endpoint) if endpoint.__class__ is int and endpoint != 1 else ""
    mapped = mapping.get(called, {})
    switched: dict[str, object] = {}
    rest: dict[str, object] = {}
    for key, value in content.items():
        if key in mapped or key in _ENERGY or _is_raw(key, value, content):
            _add_counter(key, value, points, drop, called, mapped)
        elif key in _SWITCHED:
            if key not in _COMMANDS or not any(each.startswith(_COMMANDS[key]) for each in content):
                switched[key] = value
        elif key not in _IGNORED and not _UNNAMED.fullmatch(key):
            rest[key] = value
    # A bridge sends degrees Celsius whatever it is set to; the unit of a pressure is in the object.
    units = Units({"PressureUnit": content.get("PressureUnit", "hPa")})
    decode_table(called, switched, points, drop, units, _SWITCHED, channel)
    decode_table(called, rest, points, drop, units, _TABLE)


def _is_raw(key: str, value: object, content: Mapping[str, object]) -> bool:
    """Say whether a current is in the device's own unit: the bridge has not read its divisor.

    It is if no device has so much, or if the power beside it is out of all proportion.
    """
    current = number(value) if key == _CURRENT else None
    if current is None:
        return False
    if current > _MOST_AMPERES:
        return True
    power = number(content.get("ActivePower"))
    voltage = number(content.get("RMSVoltage")) or _LEAST_VOLTS
    return power is not None and current * voltage > _RAW_RATIO * (abs(power) + _IDLE_WATTS)


def _called(name: str, content: Mapping[str, object]) -> str:
    key = "" if name == ZIGBEE else name
    named = (content.get("Name"), "" if _SHORT_ADDRESS.fullmatch(key) else key)
    addresses = (content.get("IEEEAddr"), content.get("Device"), key, ZIGBEE)
    return next(each for each in (*named, *addresses) if isinstance(each, str) and each)


def _is_address(value: object) -> bool:
    return isinstance(value, str) and _SHORT_ADDRESS.fullmatch(value) is not None


def _add_counter(
    key: str, value: object, points: PointBuilder, drop: Drop, sensor: str, mapped: MeterTable
) -> None:
    where = f"{sensor}.{key}"
    meaning = mapped.get(key)
    if meaning is None:
        drop(
            "unit_not_known",
            f'{where}: set its unit below [modules.tasmota.meters."{sensor}"], such as "{key}" = '
            f'"{_ASKED[key]}"; the message does not give it',
        )
        return
    raw = _COUNTED.fullmatch(value) if isinstance(value, str) else None
    found = float(int(raw[1], 16)) if raw is not None else float_of(value, drop, where)
    if found is not None:
        found = meaning.scaled(found)
        points.add(meaning.measurement, meaning.field, found, meaning.channel, sensor, where=where)
