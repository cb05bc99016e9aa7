"""Messages of the socket -> readings; pure: no clock, no log, no socket.

There are four forms. Since v2024.02.19 a message has one inverter, its values in the groups
``AC``, ``DC`` and ``INV``, the yields in ``INV``; before, it had all of them, the yields in ``AC``.
Before 2023.04 there were no groups: channel ``"0"`` was the inverter and ``"1"`` ... the strings.
Before November 2022 the message was the list of inverters itself, and values had no ``d``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from metrics_agent.catalogue import BATTERY, ELECTRICITY, INVERTER
from metrics_agent.errors import PayloadError
from metrics_agent.json_payload import loads, number
from metrics_agent.metric import FieldValue
from metrics_agent.modules.opendtu.quantities import (
    BATTERY_PART,
    DC,
    METER_PART,
    WHOLE,
    Drop,
    Table,
    read_leaf,
)
from metrics_agent.modules.opendtu.reading import Frame, Inverter, Part, String

__all__ = [
    "MAX_INVERTERS",
    "MAX_STRINGS",
    "RADIO_KEYS",
    "STATUS_KEYS",
    "TOTAL",
    "decode_frame",
    "read_status",
    "without_counters_never_heard",
]

MAX_INVERTERS: Final = 64
"""In one message; the firmware has at most ten."""
_LONGEST_AGE_S: Final = 2.0**32
"""The firmware counts milliseconds in 32 bits: more is not an age."""
MAX_STRINGS: Final = 16
"""Of one inverter; the largest has six."""
TOTAL: Final = "total"
_MAX_SERIAL: Final = 32
_GROUPS: Final = ("AC", "DC", "INV")
_INDEX: Final = re.compile(r"[0-9]{1,2}")

_key = INVERTER.key
_FLAGS: Final = {"reachable": _key("reachable"), "producing": _key("producing")}
# Unknown are 0 for the relative limit, -1 for the others.
_LIMITS: Final = {
    "limit_relative": _key("limit_relative"),
    "limit_absolute": _key("limit_absolute"),
}
_RADIO: Final = {
    **{name: _key(name) for name in ("tx_request", "tx_re_request", "rx_success")},
    **{name: _key(name) for name in ("rx_fail_nothing", "rx_fail_partial", "rx_fail_corrupt")},
    "rssi": _key("signal"),
}

STATUS_KEYS: Final = frozenset({*_FLAGS, *_LIMITS})
RADIO_KEYS: Final = frozenset(_RADIO)
"""What `read_status` reads; nothing else need be kept of a burst."""


@frozen
class _PartKind:
    device: str
    measurement: str
    table: Table


_CHARGER: Final = _PartKind("solarcharger", ELECTRICITY.name, METER_PART)
_GRID_CHARGER: Final = _PartKind("gridcharger", ELECTRICITY.name, METER_PART)
_PARTS: Final[Mapping[str, _PartKind]] = {
    "solarcharger": _CHARGER,
    "vedirect": _CHARGER,
    "gridcharger": _GRID_CHARGER,
    "huawei": _GRID_CHARGER,
    "battery": _PartKind("battery", BATTERY.name, BATTERY_PART),
    "power_meter": _PartKind("power_meter", ELECTRICITY.name, METER_PART),
}
"""What OpenDTU-OnBattery sends beside.

``vedirect`` (2023.04.29 to 2024.11.20) and ``huawei`` (to 2025.04.17) are older names. Up to
2025.01.10 the values of the solar charger are one level deeper, in ``total``; since 2025.01.23 it
has them itself, in camelCase.
"""
_TOTAL_KIND: Final = _PartKind(TOTAL, ELECTRICITY.name, METER_PART)
_KNOWN: Final = frozenset({"inverters", "total", "hints"})


def decode_frame(payload: bytes, drop: Drop) -> Frame:
    """Read a message of ``/livedata``.

    Args:
        payload: JSON.
        drop: called with what is left out of it.

    Raises:
        PayloadError: one of ``json_payload.REASONS``, or ``not_an_object``.
    """
    document = loads(payload)
    if isinstance(document, list):
        return Frame(_inverters(document, drop))
    if not isinstance(document, dict):
        kind = type(document).__name__
        raise PayloadError("not_an_object", f"expected an object, got a {kind}")
    parts = []
    for key, content in document.items():
        if key in _PARTS:
            part = _part(_PARTS[key], content, key, drop)
            parts += [part] if part else []
        elif key not in _KNOWN:
            drop("", "unknown_object", key)
    total = document.get("total")
    return Frame(
        _inverters(document.get("inverters", []), drop),
        None if total is None else _part(_TOTAL_KIND, total, "total", drop),
        tuple(parts),
    )


def _inverters(content: object, drop: Drop) -> tuple[Inverter, ...]:
    if not isinstance(content, list):
        drop("", "not_a_list", "inverters")
        return ()
    if len(content) > MAX_INVERTERS:
        drop("", "too_many_devices", "inverters")
    found = (_inverter(each, drop) for each in content[:MAX_INVERTERS])
    return tuple(each for each in found if each is not None)


def _inverter(content: object, drop: Drop) -> Inverter | None:
    if not isinstance(content, dict):
        drop("", "not_an_object", "inverters")
        return None
    serial = content.get("serial")
    if not isinstance(serial, str) or not 0 < len(serial) <= _MAX_SERIAL:
        drop("", "no_serial", "inverters")
        return None
    serial = serial.lower()
    values: dict[str, float] = {}
    strings: dict[int, String] = {}
    channels = list(_channels(content, serial, drop))
    heard = any(_any_value(channel) for *_place, channel in channels)
    for where, index, channel in channels if heard else ():
        if index:
            strings[index] = String(_name(channel), _fields(channel, DC, serial, where, drop))
        else:
            # INV comes last and wins: that is where the yields are today.
            values |= _fields(channel, WHOLE, serial, where, drop)
    return Inverter(
        serial,
        name=_text(content.get("name")),
        age_s=_age_s(content),
        heard=heard,
        polled=_flag(content.get("poll_enabled")),
        status=_status(content),
        values=values,
        strings=strings,
    )


def _channels(
    content: dict[str, Any], serial: str, drop: Drop
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield place, number and content of each channel: strings from 1, 0 is the inverter."""
    grouped = any(name in content for name in _GROUPS)
    for name in _GROUPS if grouped else ("",):
        group = content.get(name) if grouped else content
        if group is None:
            continue
        if not isinstance(group, dict):
            drop(serial, "not_an_object", name)
            continue
        for key, channel in group.items():
            if _INDEX.fullmatch(key) is None:
                continue
            where = f"{name}.{key}" if name else key
            # With groups strings count from 0, without from 1 behind the inverter itself.
            index = int(key) + (name == "DC")
            highest = MAX_STRINGS if name in {"", "DC"} else 0
            if not isinstance(channel, dict):
                drop(serial, "not_an_object", where)
            elif index > highest:
                drop(serial, "unknown_channel", where)
            else:
                yield where, index, channel


def _fields(
    channel: Mapping[str, object], table: Table, serial: str, where: str, drop: Drop
) -> dict[str, float]:
    fields: dict[str, float] = {}
    for key, leaf in channel.items():
        quantity = table.get(key.replace(" ", "").lower())
        if quantity is None:
            if key != "name":
                drop(serial, "unmapped_key", f"{where}.{key}")
            continue
        value = read_leaf(leaf, quantity, _dropper(drop, serial, f"{where}.{key}"))
        if value is not None:
            fields[quantity.field] = value
    without_counters_never_heard(fields, channel)
    return fields


def without_counters_never_heard(fields: dict[str, float], keys: Iterable[str]) -> None:
    """Take out a 0 of today beside a total that was left out: neither was ever heard.

    Args:
        fields: of one channel.
        keys: those that the channel had.
    """
    has_total = any(key.lower() == "yieldtotal" for key in keys)
    if has_total and "energy_total" not in fields and fields.get("energy_today") == 0:
        del fields["energy_today"]


def _dropper(drop: Drop, device: str, where: str) -> Callable[[str], None]:
    return lambda reason: drop(device, reason, where)


def _any_value(channel: Mapping[str, object]) -> bool:
    """Say whether anything was ever measured: what the DTU has not heard is 0 throughout."""
    return any(isinstance(leaf, dict) and number(leaf.get("v")) for leaf in channel.values())


def _part(kind: _PartKind, content: object, where: str, drop: Drop) -> Part | None:
    if not isinstance(content, dict):
        drop(kind.device, "not_an_object", where)
        return None
    if content.get("enabled") is False:
        return None
    leaves = {key: leaf for key, leaf in content.items() if key != "enabled"}
    nested = leaves.get("total")
    if isinstance(nested, dict):
        del leaves["total"]
        leaves = {**nested, **leaves}
    values = _fields(leaves, kind.table, kind.device, where, drop)
    return Part(kind.device, kind.measurement, values)


def _name(channel: Mapping[str, object]) -> str:
    leaf = channel.get("name")
    return _text(leaf.get("u")) if isinstance(leaf, dict) else ""


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _age_s(content: Mapping[str, object]) -> float | None:
    milliseconds = _count(content.get("data_age_ms"))
    age_s = _count(content.get("data_age")) if milliseconds is None else milliseconds / 1000
    return None if age_s is None or age_s > _LONGEST_AGE_S else age_s


def _count(value: object) -> float | None:
    """Return a number that is not negative, not even a negative zero; None for all else."""
    found = number(value)
    return found + 0.0 if found is not None and found >= 0 else None


def _status(content: Mapping[str, object]) -> dict[str, FieldValue]:
    radio = content.get("radio_stats")
    events = _count(content.get("events"))
    status = read_status(content, radio if isinstance(radio, dict) else {})
    if events is not None:
        status[_key("events")] = events
    return status


def read_status(
    content: Mapping[str, object],
    radio: Mapping[str, object],
    *,
    limits_are_known: bool = False,
) -> dict[str, FieldValue]:
    """Return the fields of ``inverter`` that the DTU knows itself.

    Args:
        content: by the keys of the socket; what has the wrong type is not known.
        radio: counters of the radio link, in the same way.
        limits_are_known: a limit of 0 is one; else it is not known yet.
    """
    status: dict[str, FieldValue] = {}
    for key, name in _FLAGS.items():
        flag = _flag(content.get(key))
        if flag is not None:
            status[name] = flag
    for key, name in _LIMITS.items():
        limit = number(content.get(key))
        if limit is not None and (limit > 0 or (limit == 0 and limits_are_known)):
            status[name] = round(limit, 2) + 0.0
    for key, name in _RADIO.items():
        # Before the first answer there is no signal that could have a strength.
        count = number(radio.get(key)) if key != "rssi" or radio.get("rx_success") else None
        if count is not None:
            status[name] = count + 0.0
    return status
