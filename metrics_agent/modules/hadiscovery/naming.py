"""Names of points, by rule: what an entity is called depends on nothing but the entity.

A measurement and field come from the device class, or the unit, through the catalogue. The tag
``sensor`` is what remains of the object id when the parts that name the device and the name of the
class are taken away, so that a device's only temperature has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from attrs import evolve, frozen

from metrics_agent.catalogue import (
    BATTERY,
    CLIMATE,
    COUNTER,
    DEVICE,
    ELECTRICITY,
    OTHER,
    STATE,
    SWITCH,
    TEXT,
    Measurement,
)
from metrics_agent.limits import HADISCOVERY_FIELD_CHARS
from metrics_agent.modules.hadiscovery.entity_config import EntityConfig
from metrics_agent.modules.hadiscovery.units import converter, quantity_of

__all__ = ["Point", "name_point", "tokens"]

_TOKEN: Final = re.compile(r"[a-z0-9]+")
_NAME_START: Final = re.compile(r"[a-z]")
_IDLE: Final = frozenset({"idle", "off"})
_SET: Final = "set"
_ACTIVE: Final = CLIMATE.key("active")


@frozen
class Point:
    """What the values of an input are called.

    Attributes:
        measurement, field: names.
        sensor: the tag; empty for none.
        convert: makes a number the field's unit; None where it is in that unit.
        inverted: a boolean means the opposite.
    """

    measurement: str
    field: str
    sensor: str = ""
    convert: Callable[[float], float] | None = None
    inverted: bool = False

    def with_sensor(self, sensor: str) -> Point:
        """Return it with another tag ``sensor``."""
        return evolve(self, sensor=sensor)

    def value(self, shown: float | bool | str) -> float | bool | str:
        """Return what is written of a value that is shown."""
        if isinstance(shown, bool):
            return shown is not self.inverted
        if isinstance(shown, str):
            return shown not in _IDLE if self.field == _ACTIVE else shown
        return shown if self.convert is None else self.convert(shown)


@frozen
class _Class:
    """What a device class is called.

    Attributes:
        measurement, field: of the catalogue.
        names: the words by which an object id says no more than that, the longest first.
    """

    measurement: Measurement
    field: str
    names: tuple[tuple[str, ...], ...] = ()

    @property
    def unit(self) -> str:
        return self.measurement.field(self.field).unit

    def without_name(self, words: list[str]) -> list[str]:
        """Take the name away once; the rest distinguishes this value from others."""
        for name in self.names:
            for start in range(len(words) - len(name) + 1):
                if tuple(words[start : start + len(name)]) == name:
                    return words[:start] + words[start + len(name) :]
        return words


def _named(measurement: Measurement, field: str, names: str | None = None) -> _Class:
    """Name a class.

    A device may have two values of one class, so names are spellings of one word: none tells two
    values apart, as ``relative``, ``level``, a number or the letter of a phase does.

    By default the name is the field's.
    """
    texts = field.replace("_", " ") if names is None else names
    found = [tuple(each.split()) for each in texts.split(",")]
    return _Class(measurement, measurement.key(field), tuple(sorted(found, key=len, reverse=True)))


_SENSORS: Final[Mapping[str, _Class]] = {
    "absolute_humidity": _named(CLIMATE, "absolute_humidity"),
    "apparent_power": _named(ELECTRICITY, "apparent_power"),
    "aqi": _named(CLIMATE, "air_quality", "aqi,air quality,air quality index"),
    "area": _named(CLIMATE, "area"),
    "atmospheric_pressure": _named(CLIMATE, "pressure", "pressure,barometer,barometric pressure"),
    "battery": _named(DEVICE, "battery", "battery,bat,batt,b"),
    "blood_glucose_concentration": _named(
        CLIMATE, "blood_glucose", "blood glucose concentration,blood glucose,glucose"
    ),
    "carbon_dioxide": _named(CLIMATE, "co2", "co2,carbon dioxide"),
    "carbon_monoxide": _named(CLIMATE, "co", "co,carbon monoxide"),
    "conductivity": _named(CLIMATE, "conductivity", "conductivity,ec"),
    "current": _named(ELECTRICITY, "current", "current,i"),
    "data_rate": _named(DEVICE, "data_rate"),
    "data_size": _named(DEVICE, "data_size"),
    "distance": _named(CLIMATE, "distance"),
    "duration": _named(COUNTER, "duration"),
    "energy": _named(ELECTRICITY, "energy"),
    "energy_distance": _named(ELECTRICITY, "energy_distance"),
    "energy_storage": _named(BATTERY, "energy", "energy storage"),
    "frequency": _named(ELECTRICITY, "frequency", "frequency,freq,f"),
    "gas": _named(COUNTER, "gas"),
    "humidity": _named(CLIMATE, "humidity", "humidity,hum,h"),
    "illuminance": _named(CLIMATE, "illuminance", "illuminance,lux,lx"),
    "irradiance": _named(CLIMATE, "irradiance"),
    "moisture": _named(CLIMATE, "soil_moisture", "soil moisture,moisture"),
    "monetary": _named(COUNTER, "monetary"),
    "nitrogen_dioxide": _named(CLIMATE, "no2", "no2,nitrogen dioxide"),
    "nitrogen_monoxide": _named(CLIMATE, "no", "no,nitrogen monoxide"),
    "nitrous_oxide": _named(CLIMATE, "n2o", "n2o,nitrous oxide"),
    "ozone": _named(CLIMATE, "ozone", "ozone,o3"),
    "ph": _named(CLIMATE, "ph"),
    "pm1": _named(CLIMATE, "pm1", "pm1,pm 1,pm1 0,pm 1 0"),
    "pm10": _named(CLIMATE, "pm10", "pm10,pm 10"),
    "pm25": _named(CLIMATE, "pm25", "pm25,pm 25,pm2 5,pm 2 5"),
    "pm4": _named(CLIMATE, "pm4", "pm4,pm 4,pm4 0,pm 4 0"),
    "power": _named(ELECTRICITY, "power"),
    "power_factor": _named(ELECTRICITY, "power_factor", "power factor,powerfactor,pf"),
    "precipitation": _named(CLIMATE, "precipitation"),
    "precipitation_intensity": _named(
        CLIMATE, "rain_rate", "rain rate,precipitation intensity,precipitation rate"
    ),
    "pressure": _named(CLIMATE, "pressure", "pressure,press,pres,p"),
    "radon": _named(CLIMATE, "radon"),
    "reactive_energy": _named(ELECTRICITY, "reactive_energy"),
    "reactive_power": _named(ELECTRICITY, "reactive_power"),
    "signal_strength": _named(DEVICE, "signal", "signal strength,signal,rssi"),
    "sound_pressure": _named(CLIMATE, "noise", "noise,sound pressure"),
    "speed": _named(CLIMATE, "speed"),
    "sulphur_dioxide": _named(CLIMATE, "so2", "so2,sulphur dioxide"),
    "temperature": _named(CLIMATE, "temperature", "temperature,temp,tempc,t"),
    "temperature_delta": _named(CLIMATE, "temperature_delta"),
    "volatile_organic_compounds": _named(CLIMATE, "voc", "voc,volatile organic compounds"),
    "volatile_organic_compounds_parts": _named(
        CLIMATE, "tvoc", "tvoc,voc,volatile organic compounds parts"
    ),
    "voltage": _named(ELECTRICITY, "voltage", "voltage,volt,volts"),
    "volume": _named(COUNTER, "volume"),
    "volume_flow_rate": _named(COUNTER, "flow", "volume flow rate,flow rate,flow"),
    "volume_storage": _named(COUNTER, "stored_volume", "stored volume,volume storage"),
    "water": _named(COUNTER, "water"),
    "weight": _named(CLIMATE, "weight"),
    "wind_direction": _named(
        CLIMATE, "wind_angle", "wind angle,wind direction,wind dir,winddir,wd"
    ),
    "wind_speed": _named(CLIMATE, "wind_speed", "wind speed,windspeed,ws"),
}
_BY_CLASS_AND_UNIT: Final[Mapping[tuple[str, str], _Class]] = {
    ("signal_strength", "dB"): _named(DEVICE, "signal_relative", "signal strength,signal,rssi"),
    ("sound_pressure", "dBA"): _named(CLIMATE, "noise_a_weighted", "noise,sound pressure"),
}
"""Classes with units that Home Assistant does not convert into each other."""
_TOTALS: Final[Mapping[str, _Class]] = {
    "energy": _named(ELECTRICITY, "energy_total", "energy"),
    "precipitation": _named(CLIMATE, "rain_total", "precipitation"),
    "reactive_energy": _named(ELECTRICITY, "reactive_energy_total", "reactive energy"),
}
"""With the state class total or total_increasing."""
_BY_UNIT: Final[Mapping[str, str]] = {
    "apparent power": "apparent_power",
    "current": "current",
    "energy": "energy",
    "frequency": "frequency",
    "power": "power",
    "pressure": "pressure",
    "reactive energy": "reactive_energy",
    "reactive power": "reactive_power",
    "temperature": "temperature",
    "voltage": "voltage",
}
"""The class of a sensor without one, by the quantity of its unit."""
_BY_ODD_UNIT: Final[Mapping[str, _Class]] = {
    "dBm": _SENSORS["signal_strength"],
    "lqi": _named(DEVICE, "link_quality", "link quality,linkquality,lqi"),
    "lx": _SENSORS["illuminance"],
}
_BINARY: Final[Mapping[str, tuple[_Class, bool]]] = {
    **{
        name: (_named(STATE, field, words), inverted)
        for name, field, words, inverted in (
            ("battery_charging", "charging", "battery charging,charging", False),
            ("carbon_monoxide", "carbon_monoxide", "carbon monoxide,co", False),
            ("cold", "cold", None, False),
            ("connectivity", "connected", "connectivity,connected", False),
            ("door", "contact", "contact", True),
            ("garage_door", "contact", "contact", True),
            ("gas", "gas", None, False),
            ("glass_break", "glass_break", None, False),
            ("heat", "heat", None, False),
            ("light", "light", None, False),
            ("lock", "locked", "locked,lock", True),
            ("moisture", "water_leak", "water leak,moisture,leak", False),
            ("motion", "motion", "motion,pir", False),
            ("moving", "moving", None, False),
            ("occupancy", "occupancy", None, False),
            ("opening", "contact", "contact", True),
            ("plug", "plugged_in", "plugged in,plug", False),
            ("power", "power", None, False),
            ("presence", "presence", None, False),
            ("problem", "problem", None, False),
            ("running", "running", None, False),
            ("safety", "unsafe", "unsafe,safety", False),
            ("smoke", "smoke", None, False),
            ("sound", "sound", None, False),
            ("tamper", "tamper", None, False),
            ("update", "update_available", "update available,update", False),
            ("vibration", "vibration", None, False),
            ("window", "contact", "contact", True),
        )
    },
    "battery": (_named(DEVICE, "battery_low", "battery low,low battery,battery,bat,batt"), False),
}
_INVERTED: Final = frozenset({each.field for each, inverted in _BINARY.values() if inverted})
_ROLES: Final[Mapping[tuple[str, str], _Class]] = {
    ("climate", "action"): _named(CLIMATE, "active", "climate,thermostat,hvac"),
    ("cover", "position"): _named(SWITCH, "position", "cover"),
    ("humidifier", "state"): _Class(SWITCH, SWITCH.key("state")),
    ("switch", "state"): _named(SWITCH, "state", "switch"),
    ("valve", "position"): _Class(SWITCH, SWITCH.key("position")),
    **{
        (component, role): (
            _named(CLIMATE, field, "climate,thermostat,hvac")
            if component == "climate"
            else _Class(CLIMATE, CLIMATE.key(field))
        )
        for component in ("climate", "humidifier", "water_heater")
        for role, field in (
            ("current_humidity", "humidity"),
            ("current_temperature", "temperature"),
            ("target_humidity", "target_humidity"),
            ("target_temperature", "target_temperature"),
        )
    },
}


def tokens(text: str) -> list[str]:
    """Return the words of an id or name, in lower case."""
    return _TOKEN.findall(text.lower())


def name_point(
    config: EntityConfig, role: str, object_id: str, device_names: Iterable[str]
) -> Point:
    """Return what the values of one role of an entity are called.

    Args:
        config: of the entity.
        role: see `InputConfig`.
        object_id: its part of the discovery id.
        device_names: node, identifiers and name of its device, which the object id may begin with.
    """
    words = _own_words(tokens(object_id), device_names)
    if config.component == "binary_sensor":
        found = _BINARY.get(config.device_class)
        if found is None:
            name = _field_of(words, object_id)
            # On is what the publisher says, and the catalogue's field of that name may be off then.
            return Point(STATE.name, f"{name}_on" if name in _INVERTED else name)
        return _point(found[0], words, config, inverted=found[1])
    if config.component not in {"number", "sensor"}:
        return _point(_ROLES[config.component, role], words, config)
    if config.component == "sensor" and not config.numeric:
        return Point(TEXT.name, _field_of(words, object_id))
    return _name_number(config, words, object_id)


def _name_number(config: EntityConfig, words: list[str], object_id: str) -> Point:
    name, is_set = config.device_class, config.component == "number"
    if not name and not is_set:
        name = _BY_UNIT.get(quantity_of(config.unit), "")
    is_total = config.state_class.startswith("total")
    known = _BY_CLASS_AND_UNIT.get((name, config.unit))
    known = known or (_TOTALS.get(name) if is_total else None) or _SENSORS.get(name)
    if known is None and not name and not is_set:
        known = _BY_ODD_UNIT.get(config.unit)
    if known is None:
        return Point(OTHER.name, _field_of(words, object_id))
    try:
        point = _point(known, words, config)
    except LookupError:
        # No unit, or one that Home Assistant does not know.
        return Point(OTHER.name, _field_of(words, object_id))
    # What a device is set to is never taken for what it measures.
    return point.with_sensor(_SET) if is_set and not point.sensor else point


def _point(
    known: _Class, words: list[str], config: EntityConfig, *, inverted: bool = False
) -> Point:
    unit, wanted = config.unit, known.unit
    convert = None
    if config.component not in {"number", "sensor"}:
        if wanted == "°C":
            convert = converter(unit, wanted)
    elif wanted and unit:
        convert = converter(unit, wanted, config.device_class)
    elif unit and config.device_class == "power_factor":
        convert = converter(unit, "")
    elif wanted and unit != wanted:
        raise LookupError("no unit")
    sensor = "_".join(known.without_name(words))
    return Point(
        known.measurement.name,
        known.field,
        sensor[:HADISCOVERY_FIELD_CHARS],
        convert,
        inverted,
    )


def _own_words(words: list[str], device_names: Iterable[str]) -> list[str]:
    """Take away what an object id begins or ends with that is the device's."""
    for name in sorted({tuple(tokens(each)) for each in device_names}, key=len, reverse=True):
        count = len(name)
        if count and tuple(words[:count]) == name:
            words = words[count:]
        elif count and tuple(words[-count:]) == name:
            words = words[:-count]
    return words


def _field_of(words: list[str], object_id: str) -> str:
    name = "_".join(words) or "_".join(tokens(object_id)) or "value"
    if not _NAME_START.match(name):
        name = f"value_{name}"
    return name[:HADISCOVERY_FIELD_CHARS]
