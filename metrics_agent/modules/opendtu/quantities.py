"""What inverters measure: names in the payload, our fields, units, and what cannot be true.

On the socket a value is ``{"v": 231.699997, "u": "V", "d": 1}``: a float32 printed raw, its unit
and how many decimals of it mean something. On MQTT it is a text and the unit is the usual one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from attrs import evolve, frozen

from metrics_agent.catalogue import BATTERY, DEVICE, ELECTRICITY, INVERTER
from metrics_agent.json_payload import number

__all__ = [
    "BATTERY_PART",
    "CHIP_TEMPERATURE",
    "DC",
    "METER_EXPORTED",
    "METER_PART",
    "ONLY_WHEN_REACHABLE",
    "WHOLE",
    "Drop",
    "Quantity",
    "Table",
    "in_unit",
    "read_leaf",
    "read_value",
]

Drop = Callable[[str, str, str], None]
"""Called with what was left out: the device, a snake_case reason, and its place."""

_FULL_SCALE: Final = 0xFFFF
_MAX_DIGITS: Final = 9
# A float32 has so many digits that mean something.
_FLOAT32_DIGITS: Final = 7

ONLY_WHEN_REACHABLE: Final = frozenset(
    {"voltage", "frequency", "power_factor", "efficiency", "temperature"}
)
"""Fields whose 0 means nothing while an inverter is not reachable: the DTU fills it in."""


class Counting(Enum):
    """What a quantity does over time."""

    NOT = "measured again each time"
    TODAY = "counts from 0 every day"
    TOTAL = "counts up forever: 0 is a counter that was never heard"


@frozen
class Quantity:
    """One value of an inverter or of a part of the DTU.

    Attributes:
        field: ours.
        units: factors to our unit by the unit's text; the first is the usual one.
        low, high: what is beyond them cannot be true, in our unit.
        counting: what it does over time.
        raw16: it is a 16 bit number in the inverter, all bits set if there is no value.
    """

    field: str
    units: Mapping[str, float]
    low: float
    high: float
    counting: Counting = Counting.NOT
    raw16: bool = False

    @property
    def unit(self) -> str:
        """The usual unit, in which MQTT has it."""
        return next(iter(self.units))


Table = Mapping[str, Quantity]
"""Quantities by their key in the payload, in lower case without blanks."""


def _table(**quantities: Quantity) -> Table:
    return MappingProxyType(quantities)


_key = ELECTRICITY.key
_W: Final = {"W": 1.0, "kW": 1000.0}
_V: Final = {"V": 1.0, "mV": 0.001}
_A: Final = {"A": 1.0, "mA": 0.001}
_DAY: Final = {"Wh": 0.001, "kWh": 1.0}
_EVER: Final = {"kWh": 1.0, "Wh": 0.001, "MWh": 1000.0}
_PERCENT: Final = {"%": 1.0}

# More than any microinverter: the largest has 5 kW. A string has at most some 20 A, and nowhere is
# the sun above the horizon for so long that 5 kW make more than 50 kWh a day.
_POWER: Final = Quantity(_key("power"), _W, -20e3, 20e3, raw16=True)
_VOLTAGE: Final = Quantity(_key("voltage"), _V, 0, 1000, raw16=True)
_CURRENT: Final = Quantity(_key("current"), _A, -100, 100, raw16=True)
_TODAY: Final = Quantity(_key("energy_today"), _DAY, 0, 50, Counting.TODAY, raw16=True)
_TOTAL: Final = Quantity(_key("energy_total"), _EVER, 0, 1e7, Counting.TOTAL)

WHOLE: Final = _table(
    power=_POWER,
    voltage=_VOLTAGE,
    current=_CURRENT,
    powerdc=Quantity(_key("power_dc"), _W, -20e3, 20e3, raw16=True),
    yieldday=_TODAY,
    yieldtotal=_TOTAL,
    frequency=Quantity(_key("frequency"), {"Hz": 1.0}, 0, 100, raw16=True),
    powerfactor=Quantity(_key("power_factor"), {"": 1.0, "%": 0.01}, -1.1, 1.1, raw16=True),
    reactivepower=Quantity(_key("reactive_power"), {"var": 1.0}, -20e3, 20e3),
    efficiency=Quantity(_key("efficiency"), _PERCENT, 0, 200),
    temperature=Quantity(INVERTER.key("temperature"), {"°C": 1.0, "C": 1.0}, -60, 150),
)
"""Of the inverter as a whole: AC and INV, and "0" of old versions."""

DC: Final = _table(
    power=_POWER,
    voltage=_VOLTAGE,
    current=_CURRENT,
    yieldday=_TODAY,
    yieldtotal=_TOTAL,
    irradiation=Quantity(_key("irradiation"), _PERCENT, 0, 1000),
)
"""Of one string."""

METER_PART: Final = _table(
    power=Quantity(_key("power"), _W, -1e6, 1e6),
    yieldday=Quantity(_key("energy_today"), _DAY, 0, 1e5, Counting.TODAY),
    yieldtotal=Quantity(_key("energy_total"), _EVER, 0, 1e9, Counting.TOTAL),
)
"""Of all inverters together, of a charger, of the power meter."""

_battery = BATTERY.key
_AH: Final = {"Ah": 1.0}
_CELSIUS: Final = {"°C": 1.0}
_CELL: Final = {"mV": 0.001}

BATTERY_PART: Final = _table(
    soc=Quantity(_battery("charge"), _PERCENT, 0, 100),
    voltage=Quantity(_battery("voltage"), _V, 0, 1000),
    current=Quantity(_battery("current"), _A, -5000, 5000),
    power=Quantity(_battery("power"), _W, -1e6, 1e6),
    chargepower=Quantity(_battery("charge_power"), _W, 0, 1e6),
    dischargepower=Quantity(_battery("discharge_power"), _W, 0, 1e6),
    outputpower=Quantity(_battery("output_power"), _W, 0, 1e6),
    health=Quantity(_battery("health"), _PERCENT, 0, 110),
    cycles=Quantity(_battery("cycles"), {"": 1.0}, 0, 1e6),
    temperature=Quantity(_battery("temperature"), _CELSIUS, -60, 150),
    capacity=Quantity(_battery("capacity"), _AH, 0, 1e5),
    availablecapacity=Quantity(_battery("capacity_available"), _AH, 0, 1e5),
    consumed=Quantity(_battery("charge_consumed"), _AH, -1e5, 1e5),
    charged=Quantity(_battery("energy_charged_total"), {"kWh": 1.0}, 0, 1e7, Counting.TOTAL),
    discharged=Quantity(_battery("energy_discharged_total"), {"kWh": 1.0}, 0, 1e7, Counting.TOTAL),
    cellmin=Quantity(_battery("cell_voltage_min"), _CELL, 0, 10),
    cellavg=Quantity(_battery("cell_voltage_avg"), _CELL, 0, 10),
    cellmax=Quantity(_battery("cell_voltage_max"), _CELL, 0, 10),
    celltemperaturemin=Quantity(_battery("cell_temperature_min"), _CELSIUS, -60, 150),
    celltemperaturemax=Quantity(_battery("cell_temperature_max"), _CELSIUS, -60, 150),
)
"""Of the battery of OpenDTU-OnBattery."""

METER_EXPORTED: Final = Quantity(
    _key("energy_exported_total"), {"kWh": 1.0}, 0, 1e9, Counting.TOTAL
)
"""Of the power meter."""

CHIP_TEMPERATURE: Final = Quantity(DEVICE.key("temperature"), {"°C": 1.0}, -60, 150)
"""Of a charger."""


def in_unit(quantity: Quantity, unit: str) -> Quantity:
    """Return a quantity whose usual unit is another of its units."""
    return evolve(quantity, units={unit: quantity.units[unit], **quantity.units})


def read_leaf(leaf: object, quantity: Quantity, drop: Callable[[str], None]) -> float | None:
    """Return a value of the socket in our unit.

    Args:
        leaf: what stands under the quantity's key.
        quantity: what it is.
        drop: called with the reason if it is left out.
    """
    if not isinstance(leaf, dict) or "v" not in leaf:
        drop("not_a_leaf")
        return None
    value = number(leaf["v"])
    if value is None:
        drop("null_value" if leaf["v"] is None else "not_a_number")
        return None
    digits = leaf.get("d")
    if digits.__class__ is not int or not 0 <= digits <= _MAX_DIGITS:
        digits = None
    return read_value(value, quantity, drop, leaf.get("u"), digits)


def read_value(
    value: float,
    quantity: Quantity,
    drop: Callable[[str], None],
    unit: object,
    digits: int | None = None,
) -> float | None:
    """Return a value in our unit, never a negative zero; None for what cannot be true.

    Args:
        value: the number.
        quantity: what it is.
        drop: called with the reason if it is left out.
        unit: its unit as the payload has it.
        digits: decimals that mean something; None if that is not known.
    """
    factor = quantity.units.get(unit) if isinstance(unit, str) else None
    if factor is None:
        drop("unknown_unit")
        return None
    # No rounding here: the product may be infinite.
    if quantity.raw16 and digits is not None and abs(value * 10**digits - _FULL_SCALE) < 0.5:  # noqa: PLR2004
        drop("sentinel")
        return None
    value = float(f"{value:.{_FLOAT32_DIGITS}g}") if digits is None else round(value, digits)
    if factor != 1:
        # Six decimals of a kWh are a mWh.
        value = round(value * factor, 6)
    if not quantity.low <= value <= quantity.high:
        drop("implausible")
        return None
    if value <= 0 and quantity.counting is Counting.TOTAL:
        drop("zero_total")
        return None
    return value + 0.0
