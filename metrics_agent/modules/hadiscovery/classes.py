"""Device classes of Home Assistant and the units that each allows.

From https://developers.home-assistant.io/docs/core/entity/sensor and .../binary-sensor: a config
whose unit does not belong to its class is refused there, so it is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = [
    "BINARY_CLASSES",
    "CLASS_UNITS",
    "STATE_CLASSES",
    "TEXT_CLASSES",
    "preferred_unit",
]

# Micro and mu look alike; publishers use both.
_ALIASES: Final[Mapping[str, str]] = {
    **{
        f"\N{MICRO SIGN}{rest}": f"\N{GREEK SMALL LETTER MU}{rest}"
        for rest in ("Sv/h", "S/cm", "V", "g/ft³", "g/m³", "mol/s⋅m²", "g", "s")
    },
    "mVAr": "mvar",
    "VAr": "var",
    "kVAr": "kvar",
    "VArh": "varh",
    "kVArh": "kvarh",
}

_LENGTH: Final = "mm cm m km in ft yd mi nmi"
_VOLUME: Final = "ft³ CCF MCF m³ L mL gal fl.\N{NO-BREAK SPACE}oz."
_ENERGY: Final = "J kJ MJ GJ mWh Wh kWh MWh GWh TWh cal kcal Mcal Gcal thm"
_PRESSURE: Final = "mPa Pa hPa kPa bar cbar mbar mmHg inHg inH₂O psi atm"
_FLUX: Final = "in/d in/h mm/d mm/h"
_SPEED: Final = "Beaufort ft/s in/s m/min m/s km/h kn mph mm/s"
_CONTENT: Final = "μg/m³"
_BYTES: Final = "bit kbit Mbit Gbit B kB MB GB TB PB EB ZB YB KiB MiB GiB TiB PiB EiB ZiB YiB"


def _units(text: str, *, none: bool = False) -> frozenset[str | None]:
    units = {unit.replace("\N{NO-BREAK SPACE}", " ") for unit in text.split(" ") if unit}
    return frozenset({*units, None} if none else units)


TEXT_CLASSES: Final = frozenset({"date", "enum", "timestamp", "uptime"})
"""Classes of sensors whose states are no numbers."""

CLASS_UNITS: Final[Mapping[str, frozenset[str | None] | None]] = {
    **dict.fromkeys(TEXT_CLASSES),
    "absolute_humidity": _units("g/m³ mg/m³"),
    "apparent_power": _units("mVA VA kVA"),
    "aqi": _units("", none=True),
    "area": _units("m² cm² km² mm² in² ft² yd² mi² ac ha"),
    "atmospheric_pressure": _units(_PRESSURE),
    "battery": _units("%"),
    "blood_glucose_concentration": _units("mg/dL mmol/L"),
    "carbon_dioxide": _units("ppm"),
    "carbon_monoxide": _units(f"ppb ppm mg/m³ {_CONTENT}"),
    "conductivity": _units("S/cm μS/cm mS/cm"),
    "current": _units("μA mA A"),
    "data_rate": _units("bit/s kbit/s Mbit/s Gbit/s B/s kB/s MB/s GB/s KiB/s MiB/s GiB/s"),
    "data_size": _units(_BYTES),
    "distance": _units(_LENGTH),
    "duration": _units("d h min s ms μs"),
    "energy": _units(_ENERGY),
    "energy_distance": _units("kWh/100km Wh/km mi/kWh km/kWh"),
    "energy_storage": _units(_ENERGY),
    "frequency": _units("mHz Hz kHz MHz GHz"),
    "gas": _units("CCF ft³ m³ L MCF"),
    "humidity": _units("%"),
    "illuminance": _units("lx"),
    "irradiance": _units("W/m² BTU/(h⋅ft²)"),
    "moisture": _units("%"),
    "monetary": None,
    "nitrogen_dioxide": _units(f"ppb ppm {_CONTENT}"),
    "nitrogen_monoxide": _units(f"ppb {_CONTENT}"),
    "nitrous_oxide": _units(_CONTENT),
    "ozone": _units(f"ppb ppm {_CONTENT}"),
    "ph": _units("", none=True),
    "pm1": _units(_CONTENT),
    "pm10": _units(_CONTENT),
    "pm25": _units(_CONTENT),
    "pm4": _units(_CONTENT),
    "power": _units("mW W kW MW GW TW"),
    "power_factor": _units("%", none=True),
    "precipitation": _units("in mm cm"),
    "precipitation_intensity": _units(_FLUX),
    "pressure": _units(_PRESSURE),
    "radon": _units("Bq/m³ pCi/L"),
    "reactive_energy": _units("varh kvarh"),
    "reactive_power": _units("mvar var kvar"),
    "signal_strength": _units("dB dBm"),
    "sound_pressure": _units("dB dBA"),
    "speed": _units(f"{_SPEED} {_FLUX}"),
    "sulphur_dioxide": _units(f"ppb {_CONTENT}"),
    "temperature": _units("°C °F K"),
    "temperature_delta": _units("°C °F K"),
    "volatile_organic_compounds": _units(f"{_CONTENT} mg/m³"),
    "volatile_organic_compounds_parts": _units("ppb ppm"),
    "voltage": _units("μV mV V kV MV"),
    "volume": _units(_VOLUME),
    "volume_flow_rate": _units("m³/h m³/min m³/s ft³/min L/h L/min L/s gal/h gal/min gal/d mL/s"),
    "volume_storage": _units(_VOLUME),
    "water": _units("CCF ft³ m³ gal L MCF"),
    "weight": _units("g kg mg μg oz lb st"),
    "wind_direction": _units("°"),
    "wind_speed": _units(_SPEED),
}
"""Of sensors; None where any unit is allowed."""

STATE_CLASSES: Final = frozenset({"measurement", "measurement_angle", "total", "total_increasing"})

BINARY_CLASSES: Final = frozenset(
    {
        *("battery", "battery_charging", "carbon_monoxide", "cold", "connectivity", "door"),
        *("garage_door", "gas", "glass_break", "heat", "light", "lock", "moisture", "motion"),
        *("moving", "occupancy", "opening", "plug", "power", "presence", "problem", "running"),
        *("safety", "smoke", "sound", "tamper", "update", "vibration", "window"),
    }
)


def preferred_unit(unit: str) -> str:
    """Return a unit in the one of its spellings that the tables have."""
    return _ALIASES.get(unit, unit)
