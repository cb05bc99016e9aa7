"""Smart meters read by a script (SML, OBIS, Modbus): objects with free names and keys.

Units are not in the payload. The default table has the keys of the scripts in Tasmota's
documentation, compared without case; the setting ``meters`` maps others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from metrics_agent.catalogue import COUNTER, ELECTRICITY, Measurement
from metrics_agent.modules.tasmota.values import Drop, Points, float_of

__all__ = ["MeterField", "MeterTable", "decode_meter", "has_meter_keys", "parse_meter_field"]


@frozen
class MeterField:
    """What one key of a meter means.

    Attributes:
        measurement, field: where it goes.
        channel: the phase, from 1; empty for the whole.
        factor: the meter's value times this is ours.
    """

    measurement: str
    field: str
    channel: str = ""
    factor: float = 1.0


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


def _whole(measurement: Measurement, field: str, *keys: str) -> dict[str, MeterField]:
    meaning = MeterField(measurement.name, measurement.key(field))
    return {key.lower(): meaning for key in keys}


def _phases(field: str, *patterns: str, codes: tuple[str, str, str]) -> dict[str, MeterField]:
    """Describe three phases: patterns with ``#`` for 1 to 3, and the OBIS codes in that order."""
    table = {}
    for phase, code in enumerate(codes, 1):
        meaning = MeterField(ELECTRICITY.name, ELECTRICITY.key(field), str(phase))
        table[code] = meaning
        for pattern in patterns:
            table[pattern.replace("#", str(phase)).lower()] = meaning
    return table


_DEFAULT: Final[MeterTable] = {
    **_whole(
        ELECTRICITY,
        "energy_total",
        *("Total_in", "E_in", "1_8_0", "energy_imported", "total_kwh", "Zaehlerstand", "Bezug"),
        *("counter_pos", "Total", "energy"),
    ),
    **_whole(
        ELECTRICITY,
        "energy_exported_total",
        *("Total_out", "E_out", "2_8_0", "energy_exported", "Einspeisung", "counter_neg"),
    ),
    **_whole(
        ELECTRICITY,
        "power",
        *("Power_curr", "Power_cur", "Power", "P", "curr_w", "Leistung", "16_7_0"),
    ),
    # OBIS 1.7.0 is given in kW.
    "1_7_0": MeterField(ELECTRICITY.name, ELECTRICITY.key("power"), "", 1000.0),
    **_whole(ELECTRICITY, "frequency", "frequency", "freq", "HZ", "14_7_0"),
    **_whole(COUNTER, "volume", "Count"),
    **_phases("power", "Power_p#", "Power_L#", "P_L#", "L#", codes=("36_7_0", "56_7_0", "76_7_0")),
    **_phases(
        "voltage",
        *("Volt_p#", "Voltage_L#", "Voltage_P#", "Spannung_L#"),
        codes=("32_7_0", "52_7_0", "72_7_0"),
    ),
    **_phases(
        "current",
        *("Curr_p#", "Current_L#", "Current_P#", "Amperage_p#"),
        codes=("31_7_0", "51_7_0", "71_7_0"),
    ),
    **_phases("phase_angle", "phase_angle_p#", codes=("81_7_4", "81_7_15", "81_7_26")),
}
# Keys that say nothing about an object being a meter, since sensors have them too, written so.
_COMMON: Final = frozenset({"Power", "Energy", "Frequency"})
_TEXTS: Final = frozenset({"meter_id", "meter_number", "server_id"})


def has_meter_keys(meter: Mapping[str, object]) -> bool:
    """Say whether an object without a mapping of its own is a meter."""
    return any(key.lower() in _DEFAULT and key not in _COMMON for key in meter)


def decode_meter(
    name: str,
    meter: Mapping[str, object],
    points: Points,
    drop: Drop,
    mapping: MeterTable | None = None,
) -> None:
    """Read a meter's object.

    Until the meter's first telegram after a start the values are 0. So an object whose totals are
    all 0 gives no zero at all; a total of 0 beside another that counts is true.

    Args:
        name: its key in the payload, for the tag ``sensor``; ``meter`` if it is empty.
        meter: its content.
        points: where the fields go.
        drop: told what is left out.
        mapping: the user's fields by key, before the default ones.
    """
    found: list[tuple[MeterField, float, str]] = []
    mapped = mapping or {}
    for key, value in meter.items():
        meaning = mapped.get(key) or _DEFAULT.get(key.lower())
        where = f"{name}.{key}"
        if meaning is not None:
            # Who names a key knows what it is: Teleinfo (TIC) quotes its numbers.
            number = float_of(value, drop, where, text=key in mapped)
            if number is not None:
                found.append((meaning, _scaled(number, meaning.factor), where))
        elif key.lower() not in _TEXTS and not isinstance(value, str):
            drop("unmapped_key", where)
    totals = [number for meaning, number, _ in found if meaning.field in _TOTALS]
    waiting = bool(totals) and not any(totals)
    for meaning, number, where in found:
        if waiting and not number:
            drop("zero_total", where)
        else:
            points.add(meaning.measurement, meaning.field, number, meaning.channel, name or "meter")


def _scaled(number: float, factor: float) -> float:
    # Nine decimals: 1 mWh as kWh, and no 12.700000000000001.
    return number if factor == 1 else round(number * factor, 9)
