"""Sensor objects: ``{"AM2301":{"Temperature":21.5,...},"DS18B20-1":{...}}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from metrics_agent.limits import TASMOTA_NAME_CHARS
from metrics_agent.modules.tasmota.sensor_table import (
    IGNORED_KEYS,
    NESTED,
    NUMBERED,
    OVERRIDES,
    READINGS,
    Reading,
)
from metrics_agent.modules.tasmota.values import Drop, Points, Units, float_of

__all__ = ["decode_sensor", "is_sensor", "stem_of"]

_MAX_ITEMS: Final = 32
_DIGITS: Final = "0123456789"
_NUMBERED_KEY = re.compile(r"(.*?)([0-9]{0,3})(?:_([0-9]{1,2}))?")

# DS18x20: the register's value at power-on, and what some versions print for "no answer". An alias
# is recognised by the Id, an old version's single sensor, which has none, by its name.
_ONE_WIRE: Final = frozenset({"DS18B20", "DS18S20", "DS1822", "MAX31850"})
_ONE_WIRE_SENTINELS: Final = (85.0, -127.0)
_TOLERANCE: Final = 0.01

# A radar's "Energy" is no energy; a meter's stands beside its power or voltage.
_BESIDE_ENERGY: Final = ("Power", "Voltage")


def stem_of(name: str) -> str:
    """Return the type in an object's name: ``DS18B20`` of ``DS18B20-1`` or ``DS18B20_1``."""
    return name.split("-", 1)[0].split("_", 1)[0]


def is_sensor(name: str, sensor: Mapping[str, object]) -> bool:
    """Say whether an object has at least one key that the table knows."""
    stem = stem_of(name)
    if stem in OVERRIDES or _numbered_stem(stem) in NUMBERED:
        return True
    return any(key in READINGS or key in NESTED for key in sensor)


def decode_sensor(
    name: str, sensor: Mapping[str, object], points: Points, drop: Drop, units: Units
) -> None:
    """Read one sensor object.

    Args:
        name: its key in the payload, which becomes the tag ``sensor``.
        sensor: its content.
        points: where the fields go.
        drop: told what is left out.
        units: those of the message.
    """
    reader = _Reader(name, points, drop, units)
    stem = stem_of(name)
    numbered = NUMBERED.get(_numbered_stem(stem))
    special = OVERRIDES.get(stem, {})
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
        elif key not in IGNORED_KEYS and not isinstance(value, str):
            drop("unmapped_key", f"{name}.{key}")


def _numbered_stem(stem: str) -> str:
    """Return the stem without a number: ``Shutter`` of ``Shutter1``."""
    return stem.rstrip(_DIGITS)


class _Reader:
    """Reads the values of one object."""

    __slots__ = ("_drop", "_name", "_points", "_units")

    def __init__(self, name: str, points: Points, drop: Drop, units: Units) -> None:
        self._name = name
        self._points = points
        self._drop = drop
        self._units = units

    def read(
        self,
        reading: Reading,
        key: str,
        value: object,
        siblings: Mapping[str, object],
        channel: str = "",
    ) -> None:
        """Read a value, or an array of them, which gives a channel each."""
        is_energy = key == "Energy" and reading is READINGS[key]
        if is_energy and not any(beside in siblings for beside in _BESIDE_ENERGY):
            return
        if isinstance(value, list):
            for index, item in enumerate(value[:_MAX_ITEMS], 1):
                self._add(reading, key, item, siblings, str(index))
        else:
            self._add(reading, key, value, siblings, channel)

    def read_nested(self, key: str, value: Mapping[str, object]) -> None:
        """Read an object within the object."""
        inner = NESTED.get(key)
        if inner is None:
            self._drop("unmapped_key", f"{self._name}.{key}")
            return
        for name, item in value.items():
            reading = inner.get(name)
            if reading is not None:
                self.read(reading, f"{key}.{name}", item, value)

    def read_numbered(
        self, numbered: Mapping[str, Reading], stem: str, key: str, value: object
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
        number = second or first or stem[len(_numbered_stem(stem)) :]
        if word == "CTEnergy" and isinstance(value, dict):
            for name, item in value.items():
                if (reading := NESTED[word].get(name)) is not None:
                    self.read(reading, f"{key}.{name}", item, value, number)
            return True
        if (reading := numbered.get(word)) is None:
            return False
        self.read(reading, key, value, {"Power": None}, number)
        return True

    def _add(
        self,
        reading: Reading,
        key: str,
        value: object,
        siblings: Mapping[str, object],
        channel: str,
    ) -> None:
        where = f"{self._name}.{key}"
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
        field = reading.field
        if reading.fraction and isinstance(value, float):
            field = reading.fraction
        self._points.add(reading.measurement, field, found, channel, self._name)
