"""What OpenDTU-OnBattery publishes by MQTT beside the inverters: which topic is which value.

The topics are those of its releases 2023.04.29 to 2026.03.31. Left out on purpose: settings,
alarms and texts; values of single cells and packs; the efficiency of a Huawei charger, which was a
fraction and is a percentage now; yesterday's yields; phases and counters of the power meter, which
older releases publish as 0 where it has none. Channel 1 of a solar charger is its panels, that of
a grid charger its output.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import frozen

from metrics_agent.catalogue import BATTERY, DEVICE, ELECTRICITY
from metrics_agent.modules.opendtu.quantities import (
    BATTERY_PART,
    CHIP_TEMPERATURE,
    METER_PART,
    WHOLE,
    Quantity,
    in_unit,
)

__all__ = ["AGES", "PartTopic", "part_topic"]

_SERIAL: Final = re.compile(r"[0-9A-Za-z]{4,32}")
_PANELS: Final = 1
_OUTPUT: Final = 1


@frozen
class PartTopic:
    """Where the value of a topic belongs.

    Attributes:
        device: the tag.
        measurement: its name.
        channel: from 1; 0 for the whole.
        quantity: what it is.
    """

    device: str
    measurement: str
    channel: int
    quantity: Quantity


def _battery(name: str) -> PartTopic:
    return PartTopic("battery", BATTERY.name, 0, BATTERY_PART[name])


def _grid_charger(quantity: Quantity, channel: int = 0) -> PartTopic:
    return PartTopic("gridcharger", ELECTRICITY.name, channel, quantity)


_power = METER_PART["power"]
_voltage = WHOLE["voltage"]
_current = BATTERY_PART["current"]

_TOPICS: Final[Mapping[str, PartTopic]] = MappingProxyType(
    {
        "battery/stateofcharge": _battery("soc"),
        **{f"battery/{name}": _battery(name) for name in ("voltage", "current", "power")},
        "powermeter/powertotal": PartTopic("power_meter", ELECTRICITY.name, 0, _power),
        "huawei/input_power": _grid_charger(_power),
        "huawei/input_voltage": _grid_charger(_voltage),
        "huawei/input_current": _grid_charger(_current),
        "huawei/input_frequency": _grid_charger(WHOLE["frequency"]),
        "huawei/output_power": _grid_charger(_power, _OUTPUT),
        "huawei/output_voltage": _grid_charger(_voltage, _OUTPUT),
        "huawei/output_current": _grid_charger(_current, _OUTPUT),
        "huawei/output_temp": PartTopic("gridcharger", DEVICE.name, 0, CHIP_TEMPERATURE),
    }
)

_VICTRON: Final[Mapping[str, tuple[str, int, Quantity]]] = MappingProxyType(
    {
        "p": (ELECTRICITY.name, 0, _power),
        "v": (ELECTRICITY.name, 0, _voltage),
        "i": (ELECTRICITY.name, 0, _current),
        "e": (ELECTRICITY.name, 0, WHOLE["efficiency"]),
        "h19": (ELECTRICITY.name, 0, METER_PART["yieldtotal"]),
        "h20": (ELECTRICITY.name, 0, in_unit(METER_PART["yieldday"], "kWh")),
        "ppv": (ELECTRICITY.name, _PANELS, _power),
        "vpv": (ELECTRICITY.name, _PANELS, _voltage),
        "ipv": (ELECTRICITY.name, _PANELS, _current),
        "mppttemperature": (DEVICE.name, 0, CHIP_TEMPERATURE),
    }
)
"""By the labels of VE.Direct; H19 and H20 are published in kWh."""

AGES: Final[Mapping[str, str]] = MappingProxyType(
    {"battery/dataage": "battery", "huawei/data_age": "gridcharger"}
)
"""Topics that say how many seconds old the values of a device are."""


def part_topic(first: str, rest: list[str]) -> PartTopic | None:
    """Return where the value of a topic belongs, None if it is not taken.

    Args:
        first: the first level below the base topic.
        rest: the other levels.
    """
    if first != "victron":
        return _TOPICS.get("/".join((first, *rest)).lower())
    if len(rest) != 2 or _SERIAL.fullmatch(rest[0]) is None:  # noqa: PLR2004 - <serial>/<label>
        return None
    found = _VICTRON.get(rest[1].lower())
    return None if found is None else PartTopic(rest[0], *found)
