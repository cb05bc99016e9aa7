"""Report what the module makes of smart-meter scripts and of recorded SENSOR payloads.

``python -m tests.modules.tasmota.coverage FOLDER`` reads each file below the folder. A script says
the unit of each of its values, so each is judged right, wrong, asked for (the log asks for the
unit), left out on purpose (statistics and limits, see ``meter_statistics``, and a second value of
one field) or not known. Only kWh, W, V, A and Hz (and their multiples) are judged. A recorded
payload, one JSON object a line, perhaps behind its topic (``mosquitto_sub -v``), does not say
units: its numbers are taken, asked for, left out on purpose, ignored (known, and of no use) or not
known.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from metrics_agent.errors import PayloadError
from metrics_agent.metric import FieldValue
from metrics_agent.modules.tasmota.decode import decode_document, read_object
from metrics_agent.modules.tasmota.device import Device, DeviceNaming
from metrics_agent.modules.tasmota.sensor_table import ENVELOPE

__all__ = ["ValueOutcome", "judge_payload", "judge_script", "main", "scripts_of"]

_RECEIVED_NS: Final = 1_700_000_000_000_000_000
# Unit of a script, in lower case -> quantity, factor to ours.
_UNITS: Final = {
    "kwh": ("energy", 1.0),
    "wh": ("energy", 0.001),
    "mwh": ("energy", 1000.0),
    "w": ("power", 1.0),
    "kw": ("power", 1000.0),
    "v": ("voltage", 1.0),
    "a": ("current", 1.0),
    "hz": ("frequency", 1.0),
}
_SECTION = re.compile(r"^\s*>M\s?[0-9]?\s*$")
_VALUE = re.compile(r"^\s*([1-9]),(?!=)([^,]*@[^,]*),([^,]*),([^,]*),([^,]+),")
_METER = re.compile(r"^\s*\+([1-9]),[^,]*,[^,]*,[^,]*,[^,]*,([^,]*)")
_HEX_CODE = re.compile(r"^7707(?:0100)([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})ff", re.IGNORECASE)
_TEXT_CODE = re.compile(r"^1-[01]:([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{1,2})")
_PURPOSES: Final = frozenset({"statistic", "same_field_twice"})
"""Reasons of the module for what it leaves out on purpose."""
# As `mosquitto_sub -v` writes it, or without the topic.
_RECORDED = re.compile(r"(?:\S*/(?:SENSOR|STATUS8|STATUS10|ZbReceived) )?(\{.*)")
_INSTANT: Final = 7
_COUNTED: Final = 8


class ValueOutcome(NamedTuple):
    """What became of one value."""

    verdict: str
    unit: str
    key: str
    made: str = ""


_Drops = set[tuple[str, str]]
"""Reason and place of each value that the module leaves out."""


class _Value(NamedTuple):
    meter: str
    key: str
    unit: str
    code: tuple[int, int, int] | None


def scripts_of(text: str) -> Iterator[list[_Value]]:
    """Yield the values of each script in a text, which may be a page with many."""
    meters: dict[str, str] = {}
    values: list[_Value] | None = None
    for line in text.splitlines():
        if _SECTION.match(line):
            if values:
                yield values
            meters, values = {}, []
        elif values is None:
            continue
        elif line.strip() in {"#", "```"}:
            if values:
                yield values
            values = None
        elif meter := _METER.match(line):
            meters[meter[1]] = meter[2].strip()
        elif (value := _VALUE.match(line)) and meters.get(value[1], "*") != "*":
            values.append(
                _Value(meters[value[1]], value[5].strip(), value[4].strip(), _code(value[2]))
            )
    if values:
        yield values


def _code(decoder: str) -> tuple[int, int, int] | None:
    match = _HEX_CODE.match(decoder)
    if match is not None:
        return int(match[1], 16), int(match[2], 16), int(match[3], 16)
    match = _TEXT_CODE.match(decoder)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


def judge_script(values: Iterable[_Value]) -> Iterator[ValueOutcome]:
    """Yield what becomes of each value of a script whose unit is one of those judged."""
    document: dict[str, dict[str, object]] = {}
    numbers: dict[tuple[str, str], tuple[float, _Value]] = {}
    for index, value in enumerate(values):
        known = value.unit.lower() in _UNITS and not _has_wrong_unit(value)
        # Each number occurs once, whatever the power of ten by which it is multiplied.
        number = 101.0 + 2 * index
        content: object = number if value.unit else "0901454D48"
        if value.key in document.setdefault(value.meter, {}):
            continue
        document[value.meter][value.key] = content
        if known:
            numbers[value.meter, value.key] = (number, value)
    points, drops = _points(document)
    for (meter, key), (number, value) in numbers.items():
        quantity, factor = _UNITS[value.unit.lower()]
        made = [
            (field, channel, found)
            for field, channel, found, sensor in points
            if isinstance(found, float)
            and sensor.startswith("" if meter == "ENERGY" else meter or "meter")
            and _is_multiple(found, number)
        ]
        if not made:
            yield ValueOutcome(_judge_drops(drops, meter, key), value.unit, key)
            continue
        field, channel, found = made[0]
        right = (
            field.startswith(quantity)
            and abs(found - number * factor) < 1e-6 * number * factor
            and _agrees(value.code, field, channel)
        )
        yield ValueOutcome("right" if right else "wrong", value.unit, key, f"{field} {channel}")


def _judge_drops(drops: _Drops, meter: str, key: str) -> str:
    """Say by the reasons of the module why a value did not come out."""
    if any(reason == "unit_not_known" and _names(where, meter, key) for reason, where in drops):
        return "asked"
    # Some reasons say more after the place.
    if any(
        reason in _PURPOSES and f"{where},".startswith(f"{meter}.{key},") for reason, where in drops
    ):
        return "on purpose"
    return "not known"


def _names(question: str, meter: str, key: str) -> bool:
    """Say whether a line of the log asks for the unit of a value."""
    return question.startswith((f"{meter}: ", f"{meter}.{key}: ")) and f'"{key}"' in question


def _has_wrong_unit(value: _Value) -> bool:
    """Say whether a script calls a meter's power an energy, or a version volts."""
    return "version" in value.key.lower() or (
        value.code is not None
        and value.code[1] == _INSTANT
        and _UNITS[value.unit.lower()][0] == "energy"
    )


def _is_multiple(found: float, number: float) -> bool:
    return any(abs(found - number * by) < 1e-6 * number * by for by in (1, 1000.0, 0.001))


def _agrees(code: tuple[int, int, int] | None, field: str, channel: str) -> bool:
    """Say whether field and phase are those of the meter's own code (OBIS)."""
    if code is None:
        return True
    if code[1] == _COUNTED and code[0] in (1, 2):
        # A meter of one tariff may have its total there; a total belongs to no tariff.
        of_tariff = re.search(r"_t[1-4]$", field) is not None
        return ("exported" in field) == (code[0] == 2) and (code[2] != 0 or not of_tariff)
    if code[1] == _INSTANT and 21 <= code[0] <= 80:
        return channel in {"", str((code[0] - 1) // 20)}
    return True


def _points(document: object) -> tuple[list[tuple[str, str, FieldValue, str]], _Drops]:
    """Return field, channel, value and sensor of all that comes out, and what is left out."""
    device = Device("plug", DeviceNaming({}, original=False))
    drops: _Drops = set()
    read = read_object(json.dumps(document).encode())
    metrics = decode_document(
        read, device, _RECEIVED_NS, lambda reason, where: drops.add((reason, where)), {}
    )
    return [
        (field, metric.series.tags.get("channel", ""), value, metric.series.tags.get("sensor", ""))
        for metric in metrics
        for field, value in metric.fields.items()
    ], drops


def judge_payload(payload: bytes) -> Iterator[ValueOutcome]:
    """Yield what becomes of each number of a recorded payload, wherever it is.

    A number is taken if another one in its place changes what comes out. One that changes nothing
    and is not counted as left out is ignored: it is known to be of no use.

    Raises:
        PayloadError: it is not a JSON object.
    """
    document = read_object(payload)
    inner = document.get("StatusSNS", document)
    for path in _numbers(inner):
        if path[0] not in ENVELOPE:
            yield ValueOutcome(_judge_number(inner, path), "", ".".join(map(str, path)))


_Path = tuple[str | int, ...]
_OTHERS: Final = ((101.0, 103.0), (0, 1))
"""Numbers that are tried in a place: two readings, and two states."""


def _numbers(content: object, path: _Path = ()) -> Iterator[_Path]:
    """Yield the places of all numbers in a document."""
    if isinstance(content, (dict, list)):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from _numbers(value, (*path, key))
    elif isinstance(content, (int, float)) and not isinstance(content, bool):
        yield path


def _judge_number(document: object, path: _Path) -> str:
    for one, other in _OTHERS:
        if _points(_with(document, path, one))[0] != _points(_with(document, path, other))[0]:
            return "taken"
    drops = _points(document)[1]
    around = {".".join(map(str, path[:length])) for length in range(1, len(path))}
    left_out = drops - _points(_with(document, path, None))[1]
    left_out |= {drop for drop in drops if drop[1] in around}
    reasons = {reason for reason, _ in left_out} - {"null_value"}
    if "unit_not_known" in reasons:
        return "asked"
    if reasons & _PURPOSES:
        return "on purpose"
    return "not known" if reasons else "ignored"


def _with(document: Any, path: _Path, value: float | None) -> object:
    """Return a copy of a document with another value in a place; None: with nothing there."""
    copied = copy.deepcopy(document)
    holder = copied
    for key in path[:-1]:
        holder = holder[key]
    if value is None and isinstance(holder, dict):
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return copied


def _judge_file(path: Path) -> Iterator[tuple[str, list[ValueOutcome]]]:
    """Yield the names of a file's scripts, and what becomes of their values; then of recordings."""
    text = path.read_text("utf-8", "replace")
    for script in scripts_of(text):
        meters = dict.fromkeys(value.meter or "(no name)" for value in script)
        yield f"{path.name}: {', '.join(meters)}", list(judge_script(script))
    recorded: list[ValueOutcome] = []
    for line in text.splitlines():
        if match := _RECORDED.fullmatch(line):
            with contextlib.suppress(PayloadError):
                recorded += judge_payload(match[1].encode())
    if recorded:
        yield f"{path.name}: recordings", recorded


def _counts(outcomes: Iterable[ValueOutcome]) -> str:
    totals = Counter(outcome.verdict for outcome in outcomes)
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(totals.items()))


def main(arguments: list[str]) -> int:
    """Print the report; 2 for wrong arguments, 1 if a value came out wrong."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        sys.stderr.write("usage: python -m tests.modules.tasmota.coverage FOLDER\n")
        return 2
    scripts: list[tuple[str, list[ValueOutcome]]] = []
    for path in sorted(Path(arguments[0]).rglob("*")):
        if path.is_file():
            scripts += _judge_file(path)
    everything = [outcome for _, outcomes in scripts for outcome in outcomes]
    keys = sorted(Counter(everything).items(), key=lambda item: (item[0].verdict, -item[1]))
    understood = sum(
        not any(outcome.verdict in {"not known", "wrong"} for outcome in outcomes)
        for _, outcomes in scripts
    )
    lines = [
        *(
            f"{outcome.verdict:10} {count:5}  {outcome.key} {outcome.unit} {outcome.made}".rstrip()
            for outcome, count in keys
        ),
        *(f"{name}: {_counts(outcomes) or 'nothing to judge'}" for name, outcomes in scripts),
        f"{len(scripts)} scripts, {understood} of them without a value that is wrong or not known",
        _counts(everything),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if any(outcome.verdict == "wrong" for outcome in everything) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
