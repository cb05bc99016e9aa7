"""Units of publishers -> units of the catalogue.

Every conversion is by a ratio, exact where the units are, but for three scales of temperature and
for Beaufort. What a share of the air weighs is that of an ideal gas at 20 °C.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from math import nan
from typing import Final

__all__ = ["converter", "quantity_of"]

Convert = Callable[[float], float]

_DAY: Final = 24 * 3600
_INCH: Final = Fraction("0.0254")
_FOOT: Final = 12 * _INCH
_MILE: Final = 5280 * _FOOT
_NAUTICAL_MILE: Final = Fraction(1852)
_GALLON: Final = 231 * _INCH**3
_MERCURY: Final = Fraction("9.80665") * Fraction("13595.1")
_POUND: Final = Fraction("453.59237")
_LITRE: Final = Fraction(1, 1000)
_CALORIE: Final = Fraction("4.184")

_RATIOS: Final[Mapping[str, Mapping[str, Fraction | int]]] = {
    "area": {
        "mm²": Fraction(1, 10**6),
        "cm²": Fraction(1, 10**4),
        "m²": 1,
        "m2": 1,
        "km²": 10**6,
        "ha": 10**4,
        "in²": _INCH**2,
        "ft²": _FOOT**2,
        "yd²": 9 * _FOOT**2,
        "ac": 43560 * _FOOT**2,
        "mi²": _MILE**2,
    },
    "apparent power": {"mVA": Fraction(1, 1000), "VA": 1, "kVA": 1000},
    "blood glucose": {"mg/dL": 1, "mg/dl": 1, "mmol/L": Fraction("18.016")},
    "conductivity": {"μS/cm": 1, "uS/cm": 1, "mS/cm": 1000, "S/cm": 10**6},
    "concentration": {
        "μg/m³": 1,
        "ug/m3": 1,
        "mg/m³": 1000,
        "mg/m3": 1000,
        "g/m³": 10**6,
        "g/m3": 10**6,
    },
    "current": {"μA": Fraction(1, 10**6), "mA": Fraction(1, 1000), "A": 1},
    "data": {
        unit: factor
        for prefix, kilo in (("", 1), ("k", 10**3), ("M", 10**6), ("G", 10**9))
        for unit, factor in ((f"{prefix}bit", Fraction(kilo, 8)), (f"{prefix}B", kilo))
    }
    | {f"{prefix}B": 10 ** (12 + 3 * step) for step, prefix in enumerate("TPEZY")}
    | {f"{prefix}iB": 1024 ** (1 + step) for step, prefix in enumerate("KMGTPEZY")},
    "energy of a distance": {"kWh/100km": 1, "Wh/km": Fraction(1, 10)},
    "energy": {
        "J": Fraction(1, 3600),
        "kJ": Fraction(1000, 3600),
        "MJ": Fraction(10**6, 3600),
        "GJ": Fraction(10**9, 3600),
        "mWh": Fraction(1, 1000),
        "Wh": 1,
        "kWh": 1000,
        "MWh": 10**6,
        "GWh": 10**9,
        "TWh": 10**12,
        "cal": _CALORIE / 3600,
        "kcal": 1000 * _CALORIE / 3600,
        "Mcal": 10**6 * _CALORIE / 3600,
        "Gcal": 10**9 * _CALORIE / 3600,
        "thm": Fraction("105480400") / 3600,
    },
    "flow": {
        "m³/h": 1,
        "m3/h": 1,
        "m³/min": 60,
        "m³/s": 3600,
        "ft³/min": 60 * _FOOT**3,
        "L/h": _LITRE,
        "L/min": 60 * _LITRE,
        "L/s": 3600 * _LITRE,
        "gal/h": _GALLON,
        "gal/min": 60 * _GALLON,
        "gal/d": _GALLON / 24,
        "mL/s": Fraction(36, 10**4),
    },
    "frequency": {"mHz": Fraction(1, 1000), "Hz": 1, "kHz": 1000, "MHz": 10**6, "GHz": 10**9},
    "irradiance": {"W/m²": 1, "W/m2": 1, "BTU/(h⋅ft²)": Fraction("3.15459074506305")},
    "length": {
        "mm": Fraction(1, 1000),
        "cm": Fraction(1, 100),
        "m": 1,
        "km": 1000,
        "in": _INCH,
        "ft": _FOOT,
        "yd": 3 * _FOOT,
        "mi": _MILE,
        "nmi": _NAUTICAL_MILE,
    },
    "mass": {
        "μg": Fraction(1, 10**6),
        "mg": Fraction(1, 1000),
        "g": 1,
        "kg": 1000,
        "oz": _POUND / 16,
        "lb": _POUND,
        "st": 14 * _POUND,
    },
    "power": {
        "mW": Fraction(1, 1000),
        "W": 1,
        "kW": 1000,
        "MW": 10**6,
        "GW": 10**9,
        "TW": 10**12,
        "BTU/h": Fraction("0.29307107"),
    },
    "pressure": {
        "mPa": Fraction(1, 1000),
        "Pa": 1,
        "hPa": 100,
        "kPa": 1000,
        "bar": 10**5,
        "cbar": 1000,
        "mbar": 100,
        "mmHg": _MERCURY / 1000,
        "inHg": _INCH * _MERCURY,
        "inH₂O": Fraction("249.0889083333348"),
        "psi": Fraction("6894.757"),
        "atm": 101325,
    },
    "radioactivity": {"Bq/m³": 1, "Bq/m3": 1, "pCi/L": 37},
    "rain rate": {
        "mm/h": 1,
        "mm/d": Fraction(1, 24),
        "in/h": Fraction("25.4"),
        "in/d": Fraction("25.4") / 24,
    },
    "ratio": {"ppm": 1000, "ppb": 1},
    "reactive energy": {"varh": 1, "kvarh": 1000},
    "reactive power": {"mvar": Fraction(1, 1000), "var": 1, "kvar": 1000},
    "share": {"%": Fraction(1, 100), "": 1},
    "speed": {
        "m/s": 1,
        "km/h": Fraction(1000, 3600),
        "mph": _MILE / 3600,
        "kn": _NAUTICAL_MILE / 3600,
        "ft/s": _FOOT,
        "in/s": _INCH,
        "mm/s": Fraction(1, 1000),
        "m/min": Fraction(1, 60),
        "mm/h": Fraction(1, 1000 * 3600),
        "mm/d": Fraction(1, 1000 * _DAY),
        "in/h": _INCH / 3600,
        "in/d": _INCH / _DAY,
    },
    "temperature difference": {"K": 1, "°C": 1, "°F": Fraction(5, 9)},
    "time": {
        "μs": Fraction(1, 10**6),
        "ms": Fraction(1, 1000),
        "s": 1,
        "min": 60,
        "h": 3600,
        "d": _DAY,
    },
    "voltage": {"μV": Fraction(1, 10**6), "mV": Fraction(1, 1000), "V": 1, "kV": 1000, "MV": 10**6},
    "volume": {
        "m³": 1,
        "m3": 1,
        "L": _LITRE,
        "mL": _LITRE / 1000,
        "ft³": _FOOT**3,
        "CCF": 100 * _FOOT**3,
        "MCF": 1000 * _FOOT**3,
        "gal": _GALLON,
        "fl. oz.": _GALLON / 128,
    },
}
"""Of each quantity its units, as multiples of one of them. Catalogue spellings are among them."""
_DISTANCES: Final[Mapping[str, Fraction]] = {
    "km/kWh": Fraction(100),
    "mi/kWh": 100 / (_MILE / 1000),
}
"""How far an energy takes one: what is divided by it is kWh/100km."""

# Of an ideal gas, in m³/mol, as Home Assistant has it: at 20 °C and 1 atm.
_MOLAR_VOLUME: Final = Fraction("8.31446261815324") * Fraction("293.15") / 101325
_MOLAR_MASSES: Final[Mapping[str, Fraction]] = {
    "carbon_monoxide": Fraction("28.01"),
    "nitrogen_dioxide": Fraction("46.0055"),
    "nitrogen_monoxide": Fraction("30.0061"),
    "ozone": Fraction(48),
    "sulphur_dioxide": Fraction("64.066"),
}
"""In g/mol, by device class."""
_GASES: Final[Mapping[str, Mapping[str, Fraction | int]]] = {
    gas: {
        **_RATIOS["concentration"],
        "ppb": mass / _MOLAR_VOLUME / 1000,
        "ppm": mass / _MOLAR_VOLUME,
    }
    for gas, mass in _MOLAR_MASSES.items()
}
"""Of each gas whose share of the air is converted to a concentration: its units."""

_CELSIUS: Final[Mapping[str, Convert]] = {
    "°F": lambda value: _rounded((value - 32) / 1.8),
    "K": lambda value: _rounded(value - 273.15),
}
_BEAUFORT: Final = 0.836
_MS_TO_KMH: Final = 3.6


def _rounded(value: float) -> float:
    """Take away what a difference has behind its last digit: 71.6 °F are 22 °C."""
    return float(f"{value:.12g}")


def quantity_of(unit: str) -> str:
    """Return the quantity that a unit belongs to, if it belongs to one; else an empty text."""
    if unit in {"°C", *_CELSIUS}:
        return "temperature"
    found = [name for name, units in _RATIOS.items() if unit in units]
    return found[0] if len(found) == 1 else ""


@lru_cache(maxsize=1024)
def converter(unit: str, wanted: str, device_class: str = "") -> Convert | None:
    """Return what makes a number in one unit a number in another.

    Of a gas the device class says how much a share of the air weighs.

    Returns:
        None where the numbers are equal.

    Raises:
        LookupError: there is no such conversion.
    """
    if unit == wanted:
        return None
    if wanted == "°C":
        return _CELSIUS[unit]
    if unit == "Beaufort" and wanted == "km/h":
        return lambda value: _BEAUFORT * abs(value) ** 1.5 * _MS_TO_KMH
    if unit in _DISTANCES and wanted == "kWh/100km":
        return _by_inverse(float(_DISTANCES[unit]))
    if unit.endswith("/s") and wanted == "B/s" and unit[:-2] in _RATIOS["data"]:
        unit, wanted = unit[:-2], "B"
    for units in (*_RATIOS.values(), _GASES.get(device_class, {})):
        if unit in units and wanted in units:
            return _by_ratio(Fraction(units[unit]) / Fraction(units[wanted]))
    raise LookupError(f"no conversion from {unit!r:.40} to {wanted!r}")


def _by_inverse(dividend: float) -> Convert:
    # At rest no energy is used: there is no distance to divide by.
    return lambda value: dividend / value if value else nan


def _by_ratio(ratio: Fraction) -> Convert | None:
    """Multiply or divide by a whole number where that is possible: 0.1 is no exact float."""
    if ratio == 1:
        return None
    if ratio.numerator == 1:
        divisor = ratio.denominator
        return lambda value: value / divisor
    factor = float(ratio)
    return lambda value: value * factor
