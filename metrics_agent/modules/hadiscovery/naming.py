"""Names of points, by rule: what an entity is called depends on nothing but the entity.

A measurement and field come from the device class, or the unit, through the catalogue. The tag
``sensor`` is what remains of the object id when the parts that name the device and the words that
name the class are taken away, so that a device's only temperature has none.
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
    """What a device class is called: a field of the catalogue, and words that mean the class."""

    measurement: Measurement
    field: str
    words: frozenset[str] = frozenset()

    @property
    def unit(self) -> str:
        return self.measurement.field(self.field).unit


def _named(measurement: Measurement, field: str, words: str = "") -> _Class:
    return _Class(measurement, measurement.key(field), frozenset(words.split()))


_SENSORS: Final[Mapping[str, _Class]] = {
    "absolute_humidity": _named(CLIMATE, "absolute_humidity"),
    "apparent_power": _named(ELECTRICITY, "apparent_power"),
    "aqi": _named(CLIMATE, "air_quality", "air quality index"),
    "atmospheric_pressure": _named(CLIMATE, "pressure", "baro barometer barometric pres p"),
    "battery": _named(DEVICE, "battery", "level percent percentage bat batt soc b"),
    "carbon_dioxide": _named(CLIMATE, "co2", "co2"),
    "carbon_monoxide": _named(CLIMATE, "co", "co"),
    "conductivity": _named(CLIMATE, "conductivity", "ec"),
    "current": _named(ELECTRICITY, "current", "i"),
    "distance": _named(CLIMATE, "distance"),
    "energy": _named(ELECTRICITY, "energy", "kwh wh"),
    "energy_storage": _named(BATTERY, "energy"),
    "frequency": _named(ELECTRICITY, "frequency", "freq f"),
    "gas": _named(COUNTER, "gas"),
    "humidity": _named(CLIMATE, "humidity", "hum h relative"),
    "illuminance": _named(CLIMATE, "illuminance", "lux lx light"),
    "irradiance": _named(CLIMATE, "irradiance", "solar radiation"),
    "moisture": _named(CLIMATE, "soil_moisture", "soil"),
    "nitrogen_dioxide": _named(CLIMATE, "no2", "no2"),
    "nitrogen_monoxide": _named(CLIMATE, "no", "no"),
    "nitrous_oxide": _named(CLIMATE, "n2o", "n2o"),
    "ozone": _named(CLIMATE, "ozone", "o3"),
    "ph": _named(CLIMATE, "ph"),
    "pm1": _named(CLIMATE, "pm1", "pm 1 0 10"),
    "pm10": _named(CLIMATE, "pm10", "pm 10"),
    "pm25": _named(CLIMATE, "pm25", "pm 2 5 25"),
    "pm4": _named(CLIMATE, "pm4", "pm 4 0 40"),
    "power": _named(ELECTRICITY, "power", "watt watts w p"),
    "power_factor": _named(ELECTRICITY, "power_factor", "pf"),
    "precipitation": _named(CLIMATE, "precipitation", "rain"),
    "precipitation_intensity": _named(CLIMATE, "rain_rate", "rain rate"),
    "pressure": _named(CLIMATE, "pressure", "press pres p"),
    "radon": _named(CLIMATE, "radon"),
    "reactive_energy": _named(ELECTRICITY, "reactive_energy"),
    "reactive_power": _named(ELECTRICITY, "reactive_power"),
    "signal_strength": _named(DEVICE, "signal", "rssi wifi signal dbm"),
    "sound_pressure": _named(CLIMATE, "noise", "noise sound level"),
    "sulphur_dioxide": _named(CLIMATE, "so2", "so2"),
    "temperature": _named(CLIMATE, "temperature", "temp tempc t c"),
    "volatile_organic_compounds": _named(CLIMATE, "voc", "voc"),
    "volatile_organic_compounds_parts": _named(CLIMATE, "tvoc", "voc tvoc"),
    "voltage": _named(ELECTRICITY, "voltage", "volt volts v u"),
    "volume": _named(COUNTER, "volume"),
    "volume_flow_rate": _named(COUNTER, "flow", "flow"),
    "volume_storage": _named(COUNTER, "stored_volume"),
    "water": _named(COUNTER, "water"),
    "weight": _named(CLIMATE, "weight"),
    "wind_direction": _named(CLIMATE, "wind_angle", "wind dir wd"),
    "wind_speed": _named(CLIMATE, "wind_speed", "wind avg average ws"),
}
_TOTALS: Final[Mapping[str, _Class]] = {
    "energy": _named(ELECTRICITY, "energy_total", "total sum kwh wh"),
    "precipitation": _named(CLIMATE, "rain_total", "rain total"),
    "reactive_energy": _named(ELECTRICITY, "reactive_energy_total", "total"),
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
    "dBm": _named(DEVICE, "signal", "signal strength rssi wifi"),
    "lqi": _named(DEVICE, "link_quality", "linkquality link quality lqi"),
    "lx": _named(CLIMATE, "illuminance", "lux lx light illuminance"),
}
_BINARY: Final[Mapping[str, tuple[_Class, bool]]] = {
    **{
        name: (_named(STATE, field, words), inverted)
        for name, field, words, inverted in (
            ("battery_charging", "charging", "charging", False),
            ("carbon_monoxide", "carbon_monoxide", "co", False),
            ("cold", "cold", "", False),
            ("connectivity", "connected", "connected status", False),
            ("door", "contact", "contact", True),
            ("garage_door", "contact", "contact", True),
            ("gas", "gas", "", False),
            ("glass_break", "glass_break", "", False),
            ("heat", "heat", "", False),
            ("light", "light", "", False),
            ("lock", "locked", "locked", True),
            ("moisture", "water_leak", "water leak", False),
            ("motion", "motion", "pir", False),
            ("moving", "moving", "", False),
            ("occupancy", "occupancy", "", False),
            ("opening", "contact", "contact", True),
            ("plug", "plugged_in", "", False),
            ("power", "power", "", False),
            ("presence", "presence", "", False),
            ("problem", "problem", "", False),
            ("running", "running", "", False),
            ("safety", "unsafe", "", False),
            ("smoke", "smoke", "", False),
            ("sound", "sound", "", False),
            ("tamper", "tamper", "", False),
            ("update", "update_available", "available", False),
            ("vibration", "vibration", "", False),
            ("window", "contact", "contact", True),
        )
    },
    "battery": (_named(DEVICE, "battery_low", "low bat batt"), False),
}
_ROLES: Final[Mapping[tuple[str, str], _Class]] = {
    ("climate", "action"): _Class(CLIMATE, _ACTIVE, frozenset({"climate", "thermostat", "hvac"})),
    ("cover", "position"): _named(SWITCH, "position", "cover position"),
    ("humidifier", "state"): _named(SWITCH, "state", "humidifier switch state"),
    ("switch", "state"): _named(SWITCH, "state", "switch state relay"),
    ("valve", "position"): _named(SWITCH, "position"),
    **{
        (component, role): _named(CLIMATE, field, "climate thermostat hvac humidifier heater water")
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
            return Point(STATE.name, _field_of(words, object_id))
        return _point(found[0], words, config, inverted=found[1])
    if config.component == "number":
        return Point(OTHER.name, _field_of(words, object_id))
    if config.component != "sensor":
        return _point(_ROLES[config.component, role], words, config)
    if not config.numeric:
        return Point(TEXT.name, _field_of(words, object_id))
    return _name_sensor(config, words, object_id)


def _name_sensor(config: EntityConfig, words: list[str], object_id: str) -> Point:
    name = config.device_class or _BY_UNIT.get(quantity_of(config.unit), "")
    is_total = config.state_class.startswith("total")
    known = (_TOTALS.get(name) if is_total else None) or _SENSORS.get(name)
    if known is None and not name:
        known = _BY_ODD_UNIT.get(config.unit)
    if known is None:
        return Point(OTHER.name, _field_of(words, object_id))
    try:
        return _point(known, words, config, name=name)
    except LookupError:
        # Such as dB for dBm, or no unit.
        return Point(OTHER.name, _field_of(words, object_id))


def _point(
    known: _Class, words: list[str], config: EntityConfig, *, name: str = "", inverted: bool = False
) -> Point:
    unit, wanted = config.unit, known.unit
    convert = None
    if config.component != "sensor":
        if wanted == "°C":
            convert = converter(unit, wanted)
    elif wanted and unit:
        convert = converter(unit, wanted)
    elif unit and config.device_class == "power_factor":
        convert = converter(unit, "")
    elif wanted and unit != wanted:
        raise LookupError("no unit")
    own = {*tokens(name or config.device_class), *tokens(known.field), *known.words}
    sensor = "_".join(word for word in words if word not in own)
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
