"""Sensor objects: ``{"AM2301":{"Temperature":21.5,...},"DS18B20-1":{...}}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from metrics_agent.limits import TASMOTA_NAME_CHARS
from metrics_agent.modules.tasmota.driver_table import (
    DRIVERS,
    NESTED_DRIVERS,
    NUMBERED_DRIVERS,
    teleinfo_stem,
)
from metrics_agent.modules.tasmota.sensor_table import (
    FROM_ZERO,
    IGNORED_KEYS,
    NESTED,
    NUMBERED,
    OVERRIDES,
    READINGS,
    SensorReading,
)
from metrics_agent.modules.tasmota.values import Drop, PointBuilder, Units, float_of, is_reading

__all__ = [
    "MAX_ITEMS",
    "decode_sensor",
    "decode_table",
    "driver_stem",
    "is_sensor",
    "is_shutter",
    "stem_of",
]

MAX_ITEMS: Final = 32
"""The most that is taken from an array."""
_OVERRIDES: Final = {**OVERRIDES, **DRIVERS}
_NUMBERED: Final = {**NUMBERED, **NUMBERED_DRIVERS}
_NESTED: Final = {**NESTED, **NESTED_DRIVERS}
_DIGITS: Final = "0123456789"
_NUMBERED_KEY = re.compile(r"(.*?)([0-9]{0,3})(?:_([0-9]{1,2}))?")

# DS18x20: the register's value at power-on, and what some versions print for "no answer". An alias
# is recognised by the Id, an old version's single sensor, which has none, by its name.
_ONE_WIRE: Final = frozenset({"DS18x20", "DS18B20", "DS18S20", "DS1822", "MAX31850"})
_ONE_WIRE_SENTINELS: Final = (85.0, -127.0)
_TOLERANCE: Final = 0.01

_TOGGLE: Final = 2
"""A command that says nothing of the state."""
_STATES: Final = (0, 1, _TOGGLE)

# A radar's "Energy" is not an energy; a meter's comes with its power or voltage.
_BESIDE_ENERGY: Final = ("Power", "Voltage")


def stem_of(name: str) -> str:
    """Return the type in an object's name: ``DS18B20`` of ``DS18B20-1`` or ``DS18B20_1``."""
    return name.split("-", 1)[0].split("_", 1)[0]


def driver_stem(name: str, content: Mapping[str, object]) -> str:
    """Return the stem of a driver whose keys have meanings of their own; empty for others."""
    stem = stem_of(name)
    if stem in DRIVERS or any(key in content for key in OVERRIDES.get(stem, ())):
        return stem
    return teleinfo_stem(name, content)


def is_sensor(name: str, sensor: Mapping[str, object]) -> bool:
    """Say whether an object has at least one key that the table knows."""
    stem = stem_of(name)
    if stem in _OVERRIDES or _numbered_table(stem) is not None:
        return True
    return any(key in READINGS or key in _NESTED for key in sensor)


def is_shutter(name: str) -> bool:
    """Say whether an object is that of a shutter: ``Shutter1``."""
    return _numbered_stem(name) == "Shutter"


def decode_sensor(
    name: str,
    sensor: Mapping[str, object],
    points: PointBuilder,
    drop: Drop,
    units: Units,
    stem: str = "",
) -> None:
    """Read one sensor object.

    Args:
        name: its key in the payload, which becomes the tag ``sensor``; empty for the values at a
            message's top, which have none.
        sensor: its content.
        points: where the fields go.
        drop: called with what is left out.
        units: those of the message.
        stem: its type in the tables, where that is not in its name.
    """
    reader = _Reader(name, points, drop, units.within(sensor) if "Unit" in sensor else units)
    stem = stem or stem_of(name)
    numbered = _numbered_table(stem)
    special = _OVERRIDES.get(stem, {})
    for key, value in sensor.items():
        if key in special:
            reading = special[key]
            if reading is not None:
                reader.read(reading, key, value, sensor)
        elif numbered is not None and reader.read_numbered(numbered, stem, key, value):
            continue
        elif isinstance(value, dict):
            reader.read_nested(key, value)
        elif key in READINGS:
            reader.read(READINGS[key], key, value, sensor)
        elif key not in IGNORED_KEYS and is_reading(value):
            drop("unmapped_key", reader.where(key))


def decode_table(
    name: str,
    values: Mapping[str, object],
    points: PointBuilder,
    drop: Drop,
    units: Units,
    table: Mapping[str, SensorReading],
    channel: str = "",
) -> None:
    """Read values whose keys have the meaning of a table, not that of Tasmota's own objects."""
    reader = _Reader(name, points, drop, units)
    for key, value in values.items():
        if key in table:
            reader.read(table[key], key, value, values, channel)
        elif is_reading(value):
            drop("unmapped_key", reader.where(key))


def _numbered_stem(stem: str) -> str:
    """Return the stem without a number: ``Shutter`` of ``Shutter1``."""
    return stem.rstrip(_DIGITS)


def _numbered_table(stem: str) -> Mapping[str, SensorReading] | None:
    return _NUMBERED.get(stem) or _NUMBERED.get(_numbered_stem(stem))


class _Reader:
    """Reads the values of one object."""

    __slots__ = ("_drop", "_name", "_points", "_units")

    def __init__(self, name: str, points: PointBuilder, drop: Drop, units: Units) -> None:
        self._name = name
        self._points = points
        self._drop = drop
        self._units = units

    def where(self, key: str) -> str:
        """Return the place of a key in the payload."""
        return f"{self._name}.{key}" if self._name else key

    def read(
        self,
        reading: SensorReading,
        key: str,
        value: object,
        siblings: Mapping[str, object],
        channel: str = "",
    ) -> None:
        """Read a value, or an array of them, which gives a channel each."""
        is_energy = key == "Energy" and reading is READINGS[key]
        if is_energy and not any(beside in siblings for beside in _BESIDE_ENERGY):
            self._drop("unmapped_key", self.where(key))
            return
        if isinstance(value, list):
            if len(value) > MAX_ITEMS:
                self._drop("too_many_channels", self.where(key))
            for index, item in enumerate(value[:MAX_ITEMS], 1):
                self._add(reading, key, item, siblings, str(index))
        else:
            self._add(reading, key, value, siblings, channel)

    def read_nested(self, path: str, value: Mapping[str, object]) -> None:
        """Read an object within the object; its meaning may depend on the unit that it names."""
        unit = value.get("Unit")
        inner = _NESTED.get(f"{path} {unit}" if isinstance(unit, str) else path)
        if inner is None:
            self._drop("unmapped_key", self.where(path))
            return
        for name, item in value.items():
            if isinstance(item, dict):
                self.read_nested(f"{path}.{name}", item)
                continue
            reading = inner.get(name)
            if reading is not None:
                self.read(reading, f"{path}.{name}", item, value)
            elif name not in inner and name not in IGNORED_KEYS and is_reading(item):
                self._drop("unmapped_key", self.where(f"{path}.{name}"))

    def read_numbered(
        self, numbered: Mapping[str, SensorReading], stem: str, key: str, value: object
    ) -> bool:
        """Read ``A0``, ``Temperature2``, ``MQ135_1``, ``C1`` or a shutter's ``Position``.

        Returns:
            Whether the key is one of these.
        """
        match = _NUMBERED_KEY.fullmatch(key) if len(key) <= TASMOTA_NAME_CHARS else None
        if match is None:
            return False
        word, first, second = match.groups()
        # MQ135_1 is the first sensor of the type 135; a shutter's number is in the object's name.
        number = second or first
        if not number and stem not in _NUMBERED:
            number = stem[len(_numbered_stem(stem)) :]
        if number == "0" or (number and stem in FROM_ZERO):
            number = str(int(number) + 1)
        if word == "CTEnergy" and isinstance(value, dict):
            for name, item in value.items():
                if (reading := _NESTED[word].get(name)) is not None:
                    self.read(reading, f"{key}.{name}", item, value, number)
                elif name not in IGNORED_KEYS and is_reading(item):
                    self._drop("unmapped_key", self.where(f"{key}.{name}"))
            return True
        if (reading := numbered.get(word)) is None:
            return False
        self.read(reading, key, value, {"Power": None}, number)
        return True

    def _add(
        self,
        reading: SensorReading,
        key: str,
        value: object,
        siblings: Mapping[str, object],
        channel: str,
    ) -> None:
        where = self.where(key)
        if reading.flag:
            self._add_flag(reading, value, where, channel)
            return
        found = float_of(value, self._drop, where, text=reading.text)
        if found is not None and reading.unit is not None:
            found = self._units.convert(found, reading.unit, self._drop, where)
        if found is None:
            return
        if (
            key == "Temperature"
            and ("Id" in siblings or stem_of(self._name) in _ONE_WIRE)
            and any(abs(found - sentinel) < _TOLERANCE for sentinel in _ONE_WIRE_SENTINELS)
        ):
            self._drop("sentinel", where)
            return
        if reading.factor != 1 or reading.offset:
            found = round(found * reading.factor + reading.offset, 6)
        field = reading.field
        if reading.fraction and isinstance(value, float):
            field = reading.fraction
        self._points.add(reading.measurement, field, found, channel, self._name, where=where)

    def _add_flag(self, reading: SensorReading, value: object, where: str, channel: str) -> None:
        if value is None:
            self._drop("null_value", where)
        elif value.__class__ in (int, bool) and value in _STATES:
            if value != _TOGGLE:
                state = bool(value) != reading.inverted
                self._points.add(reading.measurement, reading.field, state, channel, self._name)
        else:
            self._drop("unknown_state", where)
