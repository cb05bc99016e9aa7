"""The object ENERGY, in all its shapes.

One channel gives scalars; more give arrays, a channel each. With SetOption129 off the counters are
scalars beside arrays: their sum, which becomes a point without channel. Voltage and frequency
that all channels share are scalars too, and belong to each channel. Two tariffs are arrays that
are no channels, and until version 8.1 came in ``Total`` behind the sum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from metrics_agent.catalogue import BATTERY, DEVICE, ELECTRICITY
from metrics_agent.metric import Metric
from metrics_agent.modules.tasmota.device import Device
from metrics_agent.modules.tasmota.meter_field import MeterField
from metrics_agent.modules.tasmota.meter_keys import find
from metrics_agent.modules.tasmota.meters import ask_units
from metrics_agent.modules.tasmota.values import (
    ChosenUnit,
    Drop,
    PointBuilder,
    Units,
    float_of,
    is_reading,
)

__all__ = ["MAX_CHANNELS", "decode_energy", "decode_energy_fully"]

MAX_CHANNELS: Final = 32
"""The most that is taken from an array; the firmware has at most 8."""

_NAME: Final = ELECTRICITY.name
_key = ELECTRICITY.key
_FIELDS: Final = {
    "ApparentPower": _key("apparent_power"),
    "Current": _key("current"),
    "CurrentNeutral": _key("current_neutral"),
    "ExportActive": _key("energy_exported_total"),
    "ExportPower": _key("power_exported"),
    "ExportReactive": _key("reactive_energy_exported_total"),
    "Factor": _key("power_factor"),
    "Frequency": _key("frequency"),
    "ImportActive": _key("energy_imported_total"),
    "ImportPower": _key("power_imported"),
    "ImportReactive": _key("reactive_energy_imported_total"),
    "MaxPower": _key("power_max"),
    "PhaseAngle": _key("phase_angle"),
    "Power": _key("power"),
    "ReactivePower": _key("reactive_power"),
    "SolarPower": _key("power_dc"),
    "Today": _key("energy_today"),
    "TodaySumExport": _key("energy_exported_today"),
    "TodaySumImport": _key("energy_imported_today"),
    "Total": _key("energy_total"),
    "Voltage": _key("voltage"),
    "Yesterday": _key("energy_yesterday"),
}
_TARIFFS: Final = {
    "ExportTariff": (_key("energy_exported_total_t1"), _key("energy_exported_total_t2")),
    "TotalTariff": (_key("energy_total_t1"), _key("energy_total_t2")),
}
# Of no use in a database: Period is the Wh since the last message, in whole Wh; the others are
# texts, addresses, and counters that repeat Total from another start.
_UNUSED: Final = frozenset(
    {
        *("Address", "Id", "Load", "Period", "ResetTotalActive", "TotalActive", "TotalReactive"),
        *("TotalStartTime", "Runtime", "Error"),
    }
)
_PLAIN: Final[dict[str, str | None]] = {**dict.fromkeys(_UNUSED), **_FIELDS}
"""All keys that a plain object has: its field, or None for no use."""
_new: Final = tuple.__new__
_SHARED: Final = frozenset({"Frequency", "Voltage"})
_OLD_TOTAL_LENGTH: Final = 3
# Of a charge controller.
_BATTERY: Final = {
    "Voltage battery": MeterField(BATTERY.name, BATTERY.key("voltage")),
    "Current battery": MeterField(BATTERY.name, BATTERY.key("current")),
}
_PHOTOVOLTAIC = re.compile(r"Pv([0-9])(Voltage|Current|Power)")
_PHASE = re.compile(r"(?:Phase|L)?([1-9])")


def decode_energy(
    energy: Mapping[str, object],
    device: Device,
    time_ns: int,
    drop: Drop,
    document: Mapping[str, object],
) -> list[Metric]:
    """Return the points of an ENERGY object: the whole first, then the channels.

    Most devices have one channel and send nothing but numbers: that is read in one pass here.
    Anything else goes to ``decode_energy_fully``, which gives the same for both, but for an
    infinite number (``1e999``): here that is left for the encoder to leave out and count.
    """
    fields = {}
    plain = _PLAIN
    try:
        for key, value in energy.items():
            field = plain[key]
            if field is None:
                continue
            if value.__class__ is not float and value.__class__ is not int:
                break
            # Also makes an int a float, and a negative zero a zero.
            fields[field] = value + 0.0
        else:
            # By way of tuple: a named tuple's own constructor costs twice as much.
            return [_new(Metric, (device.series(_NAME), fields, time_ns))] if fields else []
    except KeyError:
        pass  # one that a plain object does not have
    points = PointBuilder(drop)
    decode_energy_fully(energy, points, drop, Units(document))
    return points.metrics(device, time_ns)


def decode_energy_fully(
    energy: Mapping[str, object],
    points: PointBuilder,
    drop: Drop,
    units: Units | None = None,
    *,
    reply: bool = False,
) -> None:
    """Read an ENERGY object of any shape.

    Args:
        energy: the object.
        points: where the fields go.
        drop: called with what is left out.
        units: those of the message, for a chip's temperature.
        reply: the object is the answer to EnergyTotal, whose ``Total`` has channels, no tariffs.
    """
    shared: list[tuple[str, float]] = []
    unknown: dict[str, MeterField] = {}
    channels = 0
    tariffs_in_total = not reply and not isinstance(energy.get("Power"), list)
    for key, value in energy.items():
        where = f"ENERGY.{key}"
        field = _FIELDS.get(key)
        if field is None:
            _other(key, value, points, drop, units, unknown)
        elif isinstance(value, list):
            if key == "Total" and tariffs_in_total and len(value) == _OLD_TOTAL_LENGTH:
                _several(value, (field, *_TARIFFS["TotalTariff"]), points, drop, where)
            else:
                channels = max(channels, len(value[:MAX_CHANNELS]))
                _channels(value, field, points, drop, where)
        elif isinstance(value, dict):
            _phases(value, field, points, drop, where)
        else:
            found = float_of(value, drop, where)
            if found is not None and key in _SHARED:
                shared.append((field, found))
            elif found is not None:
                points.add(_NAME, field, found, where=where)
    ask_units("ENERGY", unknown, drop)
    for field, found in shared:
        for channel in map(str, range(1, channels + 1)) if channels else ("",):
            points.add(_NAME, field, found, channel, where=f"ENERGY.{field}")


def _channels(
    values: list[object], field: str, points: PointBuilder, drop: Drop, where: str
) -> None:
    if len(values) > MAX_CHANNELS:
        drop("too_many_channels", where)
    for index, value in enumerate(values[:MAX_CHANNELS], 1):
        found = float_of(value, drop, where)
        if found is not None:
            points.add(_NAME, field, found, str(index), where=where)


def _phases(
    values: dict[str, object], field: str, points: PointBuilder, drop: Drop, where: str
) -> None:
    """Read ``{"Phase1": 1.5, "Phase2": 0.2}``, as drivers written by users send it."""
    for key, value in values.items():
        match = _PHASE.fullmatch(key)
        if match is None:
            drop("not_a_number", where)
            continue
        found = float_of(value, drop, where)
        if found is not None:
            points.add(_NAME, field, found, match[1], where=where)


def _several(
    values: list[object], fields: tuple[str, ...], points: PointBuilder, drop: Drop, where: str
) -> None:
    """Read an array whose items have different meanings."""
    if len(values) > len(fields):
        drop("too_many_channels", where)
    for field, value in zip(fields, values, strict=False):
        found = float_of(value, drop, where)
        if found is not None:
            points.add(_NAME, field, found, where=where)


def _other(
    key: str,
    value: object,
    points: PointBuilder,
    drop: Drop,
    units: Units | None,
    unknown: dict[str, MeterField],
) -> None:
    """Read other values: tariffs, a chip's own object, a solar inverter's inputs.

    Numbers whose unit cannot be known are added to `unknown`.
    """
    where = f"ENERGY.{key}"
    if key in _TARIFFS and isinstance(value, list):
        _several(value, _TARIFFS[key], points, drop, where)
    elif isinstance(value, dict):
        _chip(key, value, points, drop, units)
    elif key in _UNUSED or not is_reading(value):
        return
    elif key == "Temperature" and units is not None:
        _temperature(value, where, "", points, drop, units)
    else:
        meaning = _meaning(key)
        if meaning is None or isinstance(value, (list, str)):
            drop("unmapped_key", where)
            return
        found = float_of(value, drop, where)
        if found is not None and meaning.units:
            unknown[key] = meaning
        elif found is not None:
            points.add(
                meaning.measurement,
                meaning.field,
                found,
                meaning.channel,
                meaning.part,
                where=where,
            )


def _meaning(key: str) -> MeterField | None:
    """Return what a key of some drivers means, or of a script that calls its meter ENERGY."""
    match = _PHOTOVOLTAIC.fullmatch(key)
    if match is not None:
        return MeterField(_NAME, _FIELDS[match[2]], match[1], part="Pv")
    return _BATTERY.get(key) or find(key)


def _chip(
    name: str, chip: dict[str, object], points: PointBuilder, drop: Drop, units: Units | None
) -> None:
    """Read the metering chip's own object, such as ``"BL09XX":{"Temperature":46.5}``."""
    if "Temperature" not in chip or units is None:
        drop("unmapped_key", f"ENERGY.{name}")
        return
    _temperature(chip["Temperature"], f"ENERGY.{name}.Temperature", name, points, drop, units)


def _temperature(
    value: object, where: str, sensor: str, points: PointBuilder, drop: Drop, units: Units
) -> None:
    found = float_of(value, drop, where)
    if found is not None:
        found = units.convert(found, ChosenUnit.TEMPERATURE, drop, where)
    if found is not None:
        points.add(DEVICE.name, DEVICE.key("temperature"), found, sensor=sensor, where=where)
