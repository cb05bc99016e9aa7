"""Values as the firmware writes them: numbers, units, times; and points being gathered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Final

from metrics_agent.json_payload import number, text_number
from metrics_agent.limits import TASMOTA_NAME_CHARS, TASMOTA_POINTS
from metrics_agent.metric import FieldValue, Metric
from metrics_agent.modules.tasmota.device import Device

__all__ = [
    "ChosenUnit",
    "Drop",
    "PointBuilder",
    "Units",
    "duration_s",
    "float_of",
    "ignore_drop",
    "is_reading",
    "point_time",
    "short_enough",
]

Drop = Callable[[str, str], None]
"""Called with what was left out: a snake_case reason and its place in the payload."""

_SECOND_NS: Final = 1_000_000_000
_MAX_SKEW_NS: Final = 5 * 60 * _SECOND_NS
# Tasmota got its name in 2017: an older time is a clock that was never set.
_EARLIEST_S: Final = 1_483_228_800
_LATEST_S: Final = 4_102_444_800
_PLAIN_TIME: Final = 19
_DURATION = re.compile(r"([0-9]{1,6})T([0-9]{2}):([0-9]{2}):([0-9]{2})")

# Nothing is colder than 0 K, which is also what a thermometer without its sensor computes.
_COLDEST_C: Final = -273.1


def point_time(document: Mapping[str, object], received_ns: int) -> int:
    """Return the time of a message's points, nanoseconds since the epoch.

    That of receipt; the device's own only if it cannot be misread (``Epoch``, a numeric ``Time``,
    a ``Time`` with offset) and the message is more than five minutes old.
    """
    stamp = document.get("Time")
    if stamp.__class__ is str and len(stamp) == _PLAIN_TIME and "Epoch" not in document:
        return received_ns
    own_s = number(document.get("Epoch"))
    if own_s is None:
        own_s = _with_offset(stamp) if isinstance(stamp, str) else number(stamp)
    if own_s is None or not _EARLIEST_S < own_s < _LATEST_S:
        return received_ns
    own_ns = round(own_s * 1000) * 1_000_000
    # A clock ahead of ours is wrong: a message cannot have waited for less than no time.
    return own_ns if received_ns - own_ns > _MAX_SKEW_NS else received_ns


def _with_offset(stamp: str) -> float | None:
    """Read ``2025-06-21T13:00:05+02:00``; None without an offset."""
    try:
        moment = datetime.fromisoformat(stamp)
        return None if moment.tzinfo is None else moment.timestamp()
    except (ValueError, OverflowError):
        return None


def duration_s(value: object) -> float | None:
    """Read ``12T03:04:05``, days and a time of day, as seconds."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    days, hours, minutes, seconds = map(int, match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def float_of(value: object, drop: Drop, where: str, *, text: bool = False) -> float | None:
    """Return a number as a float, never a negative zero; anything else is dropped with a reason.

    Args:
        value: from the payload.
        drop: called with ``null_value`` or ``not_a_number``.
        where: its place in the payload.
        text: the device is known to quote this number.
    """
    result = text_number(value) if text else number(value)
    if result is None:
        drop("null_value" if value is None else "not_a_number", where)
        return None
    return result + 0.0


def is_reading(value: object) -> bool:
    """Say whether a value may be a reading: anything but a text that is not a number."""
    return value.__class__ is not str or text_number(value) is not None


def ignore_drop(_reason: str, _where: str) -> None:
    """Ignore what is left out: it was counted already, or comes from a made-up message."""


def short_enough(name: str, drop: Drop) -> bool:
    """Say whether a device can have such a name; a longer one is dropped."""
    if len(name) <= TASMOTA_NAME_CHARS:
        return True
    drop("name_too_long", f"{name:.40}..., {len(name)} characters, limit {TASMOTA_NAME_CHARS}")
    return False


class ChosenUnit(Enum):
    """Quantities whose unit the user of a device chooses."""

    TEMPERATURE = "TempUnit"
    PRESSURE = "PressureUnit"
    SPEED = "SpeedUnit"
    FLOW = "Unit"
    AMOUNT = "AmountUnit"


# Value -> ours, by the texts of the firmware.
_PRESSURE: Final = {"hPa": 1.0, "mmHg": 1 / 0.7500637, "inHg": 1 / 0.0295299}
_SPEED: Final = {
    "km/h": 1.0,
    "m/s": 3.6,
    "kn": 1.852,
    "mph": 1.609344,
    "ft/s": 1.09728,
    "yd/s": 3.29184,
}
_FACTORS: Final = {
    ChosenUnit.PRESSURE: _PRESSURE,
    ChosenUnit.SPEED: _SPEED,
    # Of a flow meter, within its object.
    ChosenUnit.FLOW: {"l/min": 1.0, "L/min": 1.0, "m³/h": 1000 / 60},
    ChosenUnit.AMOUNT: {"m³": 1.0, "l": 0.001, "L": 0.001},
}
_DEFAULT: Final = {ChosenUnit.TEMPERATURE: "C", ChosenUnit.PRESSURE: "hPa", ChosenUnit.SPEED: "m/s"}
# Four decimals are more than any sensor has; without rounding 10 m/s would be 36.00000000000001
# km/h or the like. An amount of 1 ml is a millionth of a cubic metre.
_DECIMALS: Final = 4
_DECIMALS_OF_AMOUNT: Final = 6


class Units:
    """The units of one message; converts to ours (degrees Celsius, hPa, km/h)."""

    __slots__ = ("_document",)

    def __init__(self, document: Mapping[str, object]) -> None:
        self._document = document

    def convert(self, value: float, unit: ChosenUnit, drop: Drop, where: str) -> float | None:
        """Convert a value; one in an unknown unit, and below 0 K, is dropped."""
        name = self._document.get(unit.value, _DEFAULT.get(unit))
        if unit is ChosenUnit.TEMPERATURE:
            # A tuple: a value of a payload need not be hashable.
            if name not in ("C", "F"):
                drop("unknown_unit", f"{unit.value}={name!r:.20}")
                return None
            celsius = value if name == "C" else round((value - 32) / 1.8, 4)
            if celsius <= _COLDEST_C:
                drop("sentinel", where)
                return None
            return celsius
        factor = _FACTORS[unit].get(name) if isinstance(name, str) else None
        if factor is None:
            drop("unknown_unit", f"{unit.value}={name!r:.20}")
            return None
        decimals = _DECIMALS_OF_AMOUNT if unit is ChosenUnit.AMOUNT else _DECIMALS
        return value if factor == 1 else round(value * factor, decimals)

    def within(self, content: Mapping[str, object]) -> Units:
        """Return the units of an object that names some itself."""
        return Units(
            {
                **self._document,
                **{each.value: content[each.value] for each in ChosenUnit if each.value in content},
            }
        )


class PointBuilder:
    """Fields by series while one message is read: each series gets one point.

    Args:
        drop: called once for all points over the limit, and for each name that is too long.
    """

    __slots__ = ("_drop", "_fields", "_full")

    def __init__(self, drop: Drop) -> None:
        self._drop = drop
        self._full = False
        self._fields: dict[tuple[str, str, str], dict[str, FieldValue]] = {}

    def add(
        self,
        measurement: str,
        field: str,
        value: FieldValue,
        channel: str = "",
        sensor: str = "",
        *,
        where: str = "",
    ) -> None:
        """Add a field to the point of a series.

        Of two numbers of one field the first is taken; the other, unless it is the same, is dropped
        as ``same_field_twice``. Of two states one that is true is enough, as of two detectors'
        alarms.

        Args:
            measurement: where it goes.
            field: likewise.
            value: what goes there.
            channel: of the series.
            sensor: likewise.
            where: its place in the payload, for the log.
        """
        key = (measurement, channel, sensor)
        fields = self._fields.get(key)
        if fields is None:
            if not short_enough(sensor, self._drop):
                return
            if len(self._fields) >= TASMOTA_POINTS:
                self._note_full(sensor or measurement)
                return
            fields = self._fields[key] = {}
        if field not in fields:
            fields[field] = value
        elif value.__class__ is bool:
            fields[field] = fields[field] or value
        elif fields[field] != value:
            self._drop("same_field_twice", f"{where or sensor}, which is {field} too")

    def _note_full(self, where: str) -> None:
        if not self._full:
            self._full = True
            limit = f"limit {TASMOTA_POINTS} points a message"
            self._drop("too_many_points", f"{where} and what follows, {limit}")

    def metrics(self, device: Device, time_ns: int) -> list[Metric]:
        """Return the points, fields in the order of their names."""
        return [
            Metric(device.series(*key), dict(sorted(fields.items())), time_ns)
            for key, fields in self._fields.items()
        ]
