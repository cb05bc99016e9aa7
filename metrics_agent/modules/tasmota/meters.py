"""Smart meters read by a script (SML, OBIS, Modbus): objects with free names and keys.

Units are not in the payload. ``meter_keys`` has the keys of public scripts; the setting ``meters``
maps others. Whether an object is a meter, and what its keys mean, is judged by all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from attrs import evolve

from metrics_agent.catalogue import COUNTER, ELECTRICITY
from metrics_agent.modules.tasmota.meter_doubt import ELECTRIC_READINGS, doubtful_keys, is_code
from metrics_agent.modules.tasmota.meter_field import WATTS, MeterField
from metrics_agent.modules.tasmota.meter_keys import DAYS_AND_NIGHTS, ENERGY, find, normalised
from metrics_agent.modules.tasmota.meter_parts import find_parts
from metrics_agent.modules.tasmota.meter_statistics import is_statistic
from metrics_agent.modules.tasmota.sensor_table import READINGS
from metrics_agent.modules.tasmota.sensors import decode_sensor
from metrics_agent.modules.tasmota.values import Drop, PointBuilder, Units, float_of

__all__ = [
    "MeterField",
    "MeterTable",
    "ask_units",
    "decode_mapped",
    "decode_meter",
    "has_meter_keys",
    "may_be_meter",
    "parse_meter_field",
]


MeterTable = Mapping[str, MeterField]

_TOTALS: Final = frozenset({"energy_total", "energy_exported_total"})
_UNIT_FACTORS: Final = {
    **dict.fromkeys(("W", "V", "A", "Hz", "VA", "var", "kWh", "kvarh", "m3", "°"), 1.0),
    **dict.fromkeys(("kW", "kVA", "kV"), 1000.0),
    **dict.fromkeys(("Wh", "mA", "mV", "mW", "l"), 0.001),
    "MWh": 1000.0,
}
_WRITTEN = re.compile(r"(?P<field>[a-z][a-z0-9_]*)(?:@(?P<channel>[1-9]))?(?: (?P<unit>\S{1,5}))?")


def parse_meter_field(text: str) -> MeterField:
    """Read a field as the settings write it: ``power``, ``power@2``, ``energy_total Wh``.

    Raises:
        ValueError: there is no such field, or the unit is unknown.
    """
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ValueError(
            f"expected a field such as 'power', 'power@2' or 'energy_total Wh', got {text!r}"
        )
    unit = match["unit"]
    factor = _UNIT_FACTORS.get(unit, 0.0) if unit else 1.0
    if not factor:
        raise ValueError(f"unknown unit {unit!r}, expected one of {', '.join(_UNIT_FACTORS)}")
    measurement = COUNTER if match["field"] == "volume" else ELECTRICITY
    try:
        field = measurement.key(match["field"])
    except LookupError as error:
        raise ValueError(str(error)) from error
    return MeterField(measurement.name, field, match["channel"] or "", factor)


# Keys of meters that count something other than electricity, or heat: W and kW, kWh and MWh occur.
_FLOWS: Final = ("volume", "flow", "m3")
_VOLUMES: Final = frozenset({"volume", "volumen", "m3"})
_FLUIDS: Final = ("wasser", "water", "gas")
_HEAT: Final = ("wmz", "waerme", "heat")
_TARIFF_CODES: Final = frozenset({"1.8.1", "1.8.2"})
# The firmware's own begin with a capital.
_SCRIPTS_OWN: Final = frozenset({"power", "voltage"})
# Fewer keys are not those of several parts.
_SEVERAL: Final = 3
# More does not fit a line of the log.
_MOST_NAMED: Final = 16
_VOLUME: Final = MeterField(COUNTER.name, COUNTER.key("volume"), units=("m3", "l"), weak=True)
_SCALED: Final = ("a power of ten",)
_ALONE: Final = ("any quantity",)
_UNIT_OF: Final = {
    "energy": "kWh",
    "power": "W",
    "voltage": "V",
    "current": "A",
    "frequency": "Hz",
    "volume": "m3",
}
"""First word of a field -> its unit, for an example of the setting."""
_NUMBERED: Final = ("anything",)
# "v1" is a phase's voltage, but not beside "v4".
_NUMBERED_NAME = re.compile(r"([A-Za-z]{1,2})([0-9]{1,2})")
_NUMBERED_CHARS: Final = 4
_LAST_PHASE: Final = 3
_TEXTS: Final = frozenset({"meter_id", "meter_number", "server_id"})


def has_meter_keys(meter: Mapping[str, object]) -> bool:
    """Say whether an object without a mapping of its own is a meter.

    One key is enough that only meters have. Keys that other devices have too (``Power``, ``Total``,
    ``Count``) make a meter if they are of two kinds, or if the table knows all its numbers.
    A volume beside one is that of a meter of heat.
    """
    weak: set[str] = set() if ELECTRIC_READINGS.keys().isdisjoint(meter) else {""}
    volume = False
    unknown = False
    names: list[str] = []
    for key, value in meter.items():
        meaning = find(key)
        if meaning is None:
            volume = volume or "volume" in key.lower()
            if isinstance(value, (int, float, list, dict)):
                unknown = True
                if key not in READINGS:
                    names.append(key)
        elif isinstance(value, (list, dict)):
            unknown = True
        elif meaning.weak and key not in _SCRIPTS_OWN:
            # A second part makes a meter, as a second kind of value does.
            field = f"{meaning.part} {meaning.field}" if meaning.part else meaning.field
            weak.add(field if key not in READINGS else "")
        else:
            return True
    if volume:
        return bool(weak)
    if weak and sum(map(is_code, meter)) > 1:
        return True
    if len(names) > _SEVERAL and find_parts(names):
        return True
    # What sensors write so is in their table: it makes no meter by itself.
    return bool(weak - {""}) and (not unknown or len(weak) > 1)


def may_be_meter(meter: Mapping[str, object]) -> bool:
    """Say whether an object that nothing else is has a key that a meter may have."""
    if any(isinstance(value, dict) for value in meter.values()):
        return False
    return any(
        isinstance(value, (int, float)) and (find(key) is not None or key.lower() in _VOLUMES)
        for key, value in meter.items()
    )


def decode_meter(
    name: str,
    meter: Mapping[str, object],
    points: PointBuilder,
    drop: Drop,
    units: Units,
    mapping: MeterTable | None = None,
) -> None:
    """Read a meter's object.

    Until the meter's first telegram after a start the values are 0. So an object whose totals are
    all 0 gives no zero at all; a total of 0 beside another that counts is true. A value whose unit
    cannot be known is left out; what is in no table of meters is tried as a sensor's reading.

    Args:
        name: its key in the payload, for the tag ``sensor``; ``meter`` if it is empty.
        meter: its content.
        points: where the fields go.
        drop: called with what is left out.
        units: those of the message.
        mapping: the user's fields by key, before the default ones.
    """
    found: list[tuple[MeterField, float, str]] = []
    rest: dict[str, object] = {}
    unknown: dict[str, MeterField] = {}
    known = _meanings(name, meter, mapping or {})
    for key, value in meter.items():
        meaning = known.get(key)
        where = f"{name}.{key}"
        if meaning is None:
            if key not in READINGS and value.__class__ in (int, float) and is_statistic(key):
                drop("statistic", where)
            elif key.lower() not in _TEXTS:
                rest[key] = value
        elif meaning.units:
            if float_of(value, drop, where) is not None:
                unknown[key] = meaning
        else:
            # Who names a key knows what it is: Teleinfo (TIC) quotes its numbers.
            number = float_of(value, drop, where, text=key in (mapping or ()))
            if number is not None:
                found.append((meaning, meaning.scaled(number), where))
    ask_units(name, unknown, drop)
    _add(found, points, drop, name or "meter")
    if rest:
        decode_sensor(name or "meter", rest, points, drop, units)


def _add(
    found: list[tuple[MeterField, float, str]], points: PointBuilder, drop: Drop, sensor: str
) -> None:
    """Add what was found, but zeros before the first telegram."""
    totals = [number for meaning, number, _ in found if meaning.field in _TOTALS]
    waiting = bool(totals) and not any(totals)
    for meaning, number, where in found:
        if waiting and not number:
            drop("zero_total", where)
        else:
            called = f"{sensor}-{meaning.part}" if meaning.part else sensor
            points.add(
                meaning.measurement, meaning.field, number, meaning.channel, called, where=where
            )


def decode_mapped(
    name: str, content: Mapping[str, object], points: PointBuilder, drop: Drop, mapping: MeterTable
) -> dict[str, object]:
    """Read the keys that the user has mapped, in the object's own series; return the others."""
    for key in content:
        meaning = mapping.get(key)
        if meaning is not None:
            where = f"{name}.{key}"
            number = float_of(content[key], drop, where, text=True)
            if number is not None:
                number = meaning.scaled(number)
                points.add(meaning.measurement, meaning.field, number, meaning.channel, where=where)
    return {key: value for key, value in content.items() if key not in mapping}


def _meanings(name: str, meter: Mapping[str, object], mapping: MeterTable) -> dict[str, MeterField]:
    """Return what each key means, in the light of all the object's keys."""
    known = {key: meaning for key in meter if (meaning := find(key)) is not None}
    # One key alone has no part.
    if len(known) + 1 < len(meter):
        known.update(find_parts([key for key in meter if key not in known]))
    form_of = {key: normalised(key)[0] for key in meter}
    known.update(_numbered(meter, form_of))
    forms = set(form_of.values())
    known = _in_doubt(name, meter, known, form_of, mapping)
    fields = {(each.field, each.channel) for each in known.values() if not each.units}
    flows = name.lower().startswith((*_FLUIDS, *_HEAT)) or any(
        word in form for form in forms for word in _FLOWS
    )
    raw = any(form.endswith("sf") for form in forms)
    tariffs = not _TARIFF_CODES.isdisjoint(forms)
    # A word of doubtful unit puts the other words in doubt, not the codes; so does a tariff that is
    # called a power.
    doubtful = [(key, each) for key, each in known.items() if each.units]
    kilowatts = bool(doubtful) and any(
        each.units == WATTS and each.field == "power" and not key[:1].isdigit()
        for key, each in doubtful
    )
    called_power = bool(doubtful) and any(
        each.field.startswith("energy") and form_of[key].startswith("power")
        for key, each in doubtful
    )
    if not forms.isdisjoint(DAYS_AND_NIGHTS):
        days = {day for day, night in DAYS_AND_NIGHTS.items() if night not in forms}
        known = {key: meaning for key, meaning in known.items() if form_of[key] not in days}
    for key, meaning in known.items():
        form = form_of[key]
        doubt = meaning.units
        if form == "l#":
            # Beside the power of the whole, the phases' share; unless that is there too.
            whole = ("power", "") in fields and ("power", meaning.channel) not in fields
            doubt = () if whole else doubt
        elif meaning.field.startswith("energy") and (
            (flows and not form.endswith("kwh")) or (tariffs and form[0].isdigit())
        ):
            doubt = ENERGY
        elif meaning.field == "power" and called_power:
            doubt = ("W", "kWh")
        elif meaning.field == "power" and (flows or (kilowatts and not form[0].isdigit())):
            doubt = WATTS
        if raw and not doubt:
            # Integers whose power of ten is another value (SunSpec).
            doubt = _SCALED
        if doubt != meaning.units:
            known[key] = evolve(meaning, units=doubt)
    return {**known, **{key: mapping[key] for key in meter if key in mapping}}


def _in_doubt(
    name: str,
    meter: Mapping[str, object],
    known: Mapping[str, MeterField],
    form_of: Mapping[str, str],
    mapping: MeterTable,
) -> dict[str, MeterField]:
    """Return what keys mean, those in doubt that nothing else in the object confirms.

    A meter of water or gas counts a volume; so may any key that is called one.
    """
    fluid = name.lower().startswith(_FLUIDS)
    volumes = {key for key in meter if key not in known and key.lower() in _VOLUMES}
    if fluid:
        volumes |= {
            key
            for key, each in known.items()
            if each.field.startswith("energy") and not form_of[key].endswith("kwh")
        }
    doubtful = doubtful_keys({**known, **mapping}, meter, form_of) - mapping.keys()
    found = {**known, **dict.fromkeys(volumes, _VOLUME)}
    for key in doubtful:
        meaning = found[key]
        if not meaning.units and not (fluid and meaning.measurement == COUNTER.name):
            found[key] = evolve(meaning, units=_ALONE)
    return found


def _numbered(meter: Mapping[str, object], form_of: Mapping[str, str]) -> dict[str, MeterField]:
    """Return the names that are only numbered: ``v1`` to ``v13``, which are no phases then."""
    short = [key for key in meter if len(key) < _NUMBERED_CHARS]
    if not short:
        return {}
    words = {form_of[key][:-1] for key in short if form_of[key][-1:] == "#" and find(key)}
    found = {
        key: (match[1].lower(), int(match[2]))
        for key in meter
        if len(key) <= _NUMBERED_CHARS and (match := _NUMBERED_NAME.fullmatch(key)) is not None
    }
    no_phases = {word for word, number in found.values() if number > _LAST_PHASE and word in words}
    meaning = MeterField(ELECTRICITY.name, ELECTRICITY.key("power"), units=_NUMBERED)
    return {key: meaning for key, (word, _) in found.items() if word in no_phases}


def ask_units(name: str, unknown: Mapping[str, MeterField], drop: Drop) -> None:
    """Leave out the values without a known unit; one line in the log names up to 16 of a kind."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for key, meaning in unknown.items():
        special = meaning.units in (_SCALED, _NUMBERED, _ALONE)
        kinds.setdefault(meaning.units if special else (), []).append(key)
    for kind, keys in kinds.items():
        for start in range(0, len(keys), _MOST_NAMED):
            several = keys[start : start + _MOST_NAMED]
            where = _question(name, kind, several, unknown[several[0]])
            for _ in several:
                drop("unit_not_known", where)


def _question(name: str, kind: tuple[str, ...], keys: list[str], first: MeterField) -> str:
    """Return what the log says of some keys, with the first as an example."""
    listed = ", ".join(f'"{key}"' for key in keys)
    if kind == _SCALED:
        return f"{name}: {listed}: integers whose power of ten is another value of the message"
    setting = f'below [modules.tasmota.meters."{name}"], such as "{keys[0]}"'
    if kind == _NUMBERED:
        return f'{name}: {listed}: only numbered; set what each is {setting} = "power W"'
    at = f"@{first.channel}" if first.channel else ""
    if kind == _ALONE:
        unit = _UNIT_OF[first.field.split("_", 1)[0]]
        return (
            f"{name}: {listed}: not clear by the name what is measured; set what each is "
            f'{setting} = "{first.field}{at} {unit}"'
        )
    return (
        f'{name}: set units {setting} = "{first.field}{at} {first.units[0]}" '
        f"({' or '.join(first.units)}); the message does not give them for {listed}"
    )
