"""STATE messages and power states: how a device is doing and what it has switched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from metrics_agent.catalogue import DEVICE, SWITCH
from metrics_agent.modules.tasmota.values import Drop, PointBuilder, duration_s, float_of

__all__ = ["decode_inputs", "decode_state", "decode_switched"]

_key = DEVICE.key
_PLAIN: Final = {
    "UptimeSec": _key("uptime"),
    "Heap": _key("heap"),
    "Vcc": _key("voltage"),
    "BatteryPercentage": _key("battery"),
    "LoadAvg": _key("load_average"),
    "MqttCount": _key("mqtt_count"),
}
_WIFI: Final = {
    "RSSI": _key("signal_quality"),
    "Signal": _key("signal"),
    "LinkCount": _key("wifi_reconnects"),
}
_OUTPUTS: Final = 8
_SWITCHED: Final = {
    "Dimmer": SWITCH.key("dimmer"),
    "CT": SWITCH.key("color_temperature"),
    "FanSpeed": SWITCH.key("fan_speed"),
    "White": SWITCH.key("white"),
    # SetOption68, and lamps of two: outputs that are dimmed by themselves.
    **{
        f"{word}{channel}": SWITCH.key("dimmer")
        for word in ("Dimmer", "Channel")
        for channel in range(1, _OUTPUTS + 1)
    },
}
# LoadAvg is 999 where the device never sleeps (Sleep 0): usual, and of no meaning.
_NO_LOAD: Final = 999.0
_POWER = re.compile(r"POWER([0-9]{0,2})")
_INPUT_STATES: Final = {"OFF": False, "ON": True}


def decode_state(
    document: Mapping[str, object], points: PointBuilder, drop: Drop, states: tuple[str, str]
) -> None:
    """Read a STATE message.

    Args:
        document: the message.
        points: where the fields go.
        drop: called with what is left out.
        states: the device's texts for off and on.
    """
    for key, field in _PLAIN.items():
        if key in document:
            _add(points, field, float_of(document[key], drop, key))
    if "UptimeSec" not in document:
        # Versions before 6.5 have the text only.
        _add(points, "uptime", duration_s(document.get("Uptime")))
    wifi = document.get("Wifi")
    if isinstance(wifi, dict):
        for key, field in _WIFI.items():
            if key in wifi:
                _add(points, field, float_of(wifi[key], drop, f"Wifi.{key}"))
        _add(points, _key("wifi_downtime"), duration_s(wifi.get("Downtime")))
    decode_switched(document, points, drop, states)


def decode_switched(
    document: Mapping[str, object], points: PointBuilder, drop: Drop, states: tuple[str, str]
) -> None:
    """Read what a device has switched and how far: of a STATE message, or a command's reply."""
    _decode_power(document, points, drop, states)
    for key, field in _SWITCHED.items():
        if key in document:
            found = float_of(document[key], drop, key)
            if found is not None:
                channel = key[-1] if key[-1].isdigit() else "1"
                points.add(SWITCH.name, field, found, channel, where=key)


def _add(points: PointBuilder, field: str, value: float | None) -> None:
    if value is None or (field == "load_average" and value == _NO_LOAD):
        return
    points.add(DEVICE.name, field, value)


def _decode_power(
    document: Mapping[str, object], points: PointBuilder, drop: Drop, states: tuple[str, str]
) -> None:
    """Read ``POWER`` and ``POWER1`` ...; the first is channel 1 in either form."""
    for key, value in document.items():
        match = _POWER.fullmatch(key)
        if match is None:
            continue
        if value not in states:
            drop("unknown_state", key)
            continue
        points.add(SWITCH.name, "state", value == states[1], channel=match[1] or "1")


def decode_inputs(
    document: Mapping[str, object], points: PointBuilder, states: tuple[str, str]
) -> None:
    """Read the inputs of a SENSOR message: texts at its top, ``"Switch1":"OFF"`` or renamed."""
    for key, value in document.items():
        if not isinstance(value, str):
            continue
        if value in states:
            points.add(SWITCH.name, "state", value == states[1], sensor=key)
        elif value in _INPUT_STATES:
            points.add(SWITCH.name, "state", _INPUT_STATES[value], sensor=key)
