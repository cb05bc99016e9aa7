"""What OpenDTU-OnBattery publishes by MQTT beside the inverters: which topic is which value.

The topics are those of its releases 2023.04.29 to 2026.03.31. The README has what is taken and what
is left out on purpose. Channel 1 of a solar charger is its panels, channel 2 its load output;
channel 1 of a grid charger is its output. The channels of a battery are its packs, in `electricity`
its inputs for panels; those of the power meter are its phases.
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
    METER_EXPORTED,
    METER_PART,
    WHOLE,
    Quantity,
    in_unit,
)

__all__ = ["AGES", "PartTopic", "part_topic", "without_zeros_of_no_phase"]

_SERIAL: Final = re.compile(r"[0-9A-Za-z]{4,32}")
_PACK: Final = re.compile(r"battery/([1-9][0-9]?)/(.*)")
_METER: Final = "power_meter"
_PANELS: Final = 1
_LOAD: Final = 2
_OUTPUT: Final = 1


@frozen
class PartTopic:
    """Where the value of a topic belongs.

    Attributes:
        device: the tag.
        measurement: its name.
        channel: from 1; 0 for the whole.
        quantity: what it is.
        spare: the same value has another topic too, which is taken where it is published.
    """

    device: str
    measurement: str
    channel: int
    quantity: Quantity
    spare: bool = False


def _battery(name: str, unit: str = "") -> PartTopic:
    quantity = BATTERY_PART[name]
    if unit:
        return PartTopic("battery", BATTERY.name, 0, in_unit(quantity, unit), spare=True)
    return PartTopic("battery", BATTERY.name, 0, quantity)


def _meter(quantity: Quantity, phase: int = 0) -> PartTopic:
    return PartTopic(_METER, ELECTRICITY.name, phase, quantity)


def _panels(channel: int) -> PartTopic:
    return PartTopic("battery", ELECTRICITY.name, channel, METER_PART["power"])


def _grid_charger(quantity: Quantity, channel: int = 0) -> PartTopic:
    return PartTopic("gridcharger", ELECTRICITY.name, channel, quantity)


_power = METER_PART["power"]
_voltage = WHOLE["voltage"]
_current = BATTERY_PART["current"]

_PHASES: Final = (1, 2, 3)

_BATTERY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "stateofcharge": "soc",
        "voltage": "voltage",
        "current": "current",
        "power": "power",
        "instantaneouspower": "power",
        "chargepower": "chargepower",
        "dischargepower": "dischargepower",
        "outputpower": "outputpower",
        "stateofhealth": "health",
        "chargecycles": "cycles",
        "batterycycles": "cycles",
        "temperature": "temperature",
        "batterytemponecelsius": "temperature",
        "capacity": "capacity",
        "availablecapacity": "availablecapacity",
        "consumedamphours": "consumed",
        "chargedenergy": "charged",
        "dischargedenergy": "discharged",
        "cellminmillivolt": "cellmin",
        "cellavgmillivolt": "cellavg",
        "cellmaxmillivolt": "cellmax",
        "cellmintemperature": "celltemperaturemin",
        "cellmaxtemperature": "celltemperaturemax",
    }
)
"""Of all kinds of batteries; a battery publishes some of them."""

_OF_PACKS: Final = frozenset(_BATTERY) - {"capacity"}
"""The capacity of a pack is in Wh."""

_TOPICS: Final[Mapping[str, PartTopic]] = MappingProxyType(
    {
        **{f"battery/{topic}": _battery(name) for topic, name in _BATTERY.items()},
        "battery/batteryvoltagemillivolt": _battery("voltage", "mV"),
        "battery/batterycurrentmilliamps": _battery("current", "mA"),
        "battery/bmstempcelsius": PartTopic("battery", DEVICE.name, 0, CHIP_TEMPERATURE),
        "battery/inputpower": _panels(0),
        "battery/solarpowermppt1": _panels(1),
        "battery/solarpowermppt2": _panels(2),
        "powermeter/powertotal": _meter(_power),
        "powermeter/import": _meter(METER_PART["yieldtotal"]),
        "powermeter/export": _meter(METER_EXPORTED),
        **{f"powermeter/power{phase}": _meter(_power, phase) for phase in _PHASES},
        **{f"powermeter/voltage{phase}": _meter(_voltage, phase) for phase in _PHASES},
        **{f"powermeter/current{phase}": _meter(_current, phase) for phase in _PHASES},
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
        "il": (ELECTRICITY.name, _LOAD, _current),
        "mppttemperature": (DEVICE.name, 0, CHIP_TEMPERATURE),
        "smartbatterysensetemperature": (BATTERY.name, 0, BATTERY_PART["temperature"]),
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
        return _other_part("/".join((first, *rest)).lower())
    if len(rest) != 2 or _SERIAL.fullmatch(rest[0]) is None:  # noqa: PLR2004 - <serial>/<label>
        return None
    found = _VICTRON.get(rest[1].lower())
    return None if found is None else PartTopic(rest[0], *found)


def without_zeros_of_no_phase(
    device: str, channel: int, values: dict[str, float]
) -> dict[str, float]:
    """Return the fields of a part without the zeros of a phase that the power meter does not have.

    Releases before 2024.08.18 publish 0 for each phase, and 0 V where no voltage is measured.
    """
    if device != _METER or not channel or values.get(_voltage.field) != 0:
        return values
    return {name: value for name, value in values.items() if value}


def _other_part(topic: str) -> PartTopic | None:
    pack = _PACK.fullmatch(topic)
    if pack is None:
        return _TOPICS.get(topic)
    if pack[2] not in _OF_PACKS:
        return None
    return PartTopic("battery", BATTERY.name, int(pack[1]), BATTERY_PART[_BATTERY[pack[2]]])
