"""Keys that do not say by themselves what they measure, such as ``Total``, ``Count`` or ``P``.

``Total`` may be of rain, ``P`` a pressure. Beside a key that only electricity has, or beside a
second quantity of it (``P`` and ``U``), they are what meters call so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from metrics_agent.catalogue import COUNTER
from metrics_agent.modules.tasmota.meter_field import MeterField
from metrics_agent.modules.tasmota.meter_keys import normalised

__all__ = ["ELECTRIC_READINGS", "doubtful_keys", "is_code"]

_DOUBTFUL: Final = frozenset(
    {
        *("total", "counter", "te", "pt", "today", "yesterday", "totalday", "totalnight", "count"),
        *("in", "imp", "ei", "eo", "pi", "po", "pp", "pm"),
    }
)
# "P", "P1", "V12".
_SHORT = re.compile(r"[a-z]#?|[uv][1-3][1-3]")
# Codes of a meter, also those that mean nothing here: "C.8.0", ".8.1".
_SOME_CODE = re.compile(r"[0-9CFL]{0,3}(?:\.[0-9F]{1,2}){1,2}")
_CODE_CHARS: Final = 12
_ENERGY, _POWER, _VOLTAGE, _CURRENT = "energy", "power", "voltage", "current"
_SUPPORT: Final = {
    # A voltage may be that of a battery.
    _ENERGY: frozenset({_POWER, _CURRENT}),
    _POWER: frozenset({_ENERGY, _VOLTAGE, _CURRENT}),
    # Both may be in thousandths, as of a charge controller.
    _VOLTAGE: frozenset({_POWER}),
    _CURRENT: frozenset({_ENERGY, _POWER}),
    "frequency": frozenset({_POWER, _VOLTAGE, _CURRENT}),
}
"""Quantity -> those of which one beside it shows that both are of electricity."""
ELECTRIC_READINGS: Final = {
    "ApparentPower": _POWER,
    "Current": _CURRENT,
    "Factor": _POWER,
    "ReactivePower": _POWER,
}
"""Keys of Tasmota's own objects that the table of scripts does not have."""
_OF_SENSORS: Final = "Voltage"
"""A key of sensors with a battery too."""


def is_code(key: str) -> bool:
    """Say whether a key is the code of a meter, of whatever meaning."""
    return len(key) <= _CODE_CHARS and _SOME_CODE.fullmatch(key) is not None


def doubtful_keys(
    known: Mapping[str, MeterField], meter: Collection[str], form_of: Mapping[str, str]
) -> frozenset[str]:
    """Return the keys whose meaning nothing else in the object confirms.

    Args:
        known: what keys mean.
        meter: all keys of the object.
        form_of: their normalised forms.
    """
    # A set: a message may have thousands of keys.
    short = {
        key for key in meter if key in known and _is_short(_form(key, known[key].part, form_of))
    }
    if not short:
        return frozenset()
    others = [key for key in meter if key in known and key not in short]
    strong = (
        key for key in others if not known[key].weak and known[key].measurement != COUNTER.name
    )
    if any(strong) or sum(map(is_code, meter)) > 1:
        return frozenset(key for key in short if known[key].measurement == COUNTER.name)
    certain = {_kind(known[key], "") for key in others if key != _OF_SENSORS}
    certain.update(ELECTRIC_READINGS[key] for key in meter if key in ELECTRIC_READINGS)
    kind_of = {key: _kind(known[key], form_of[key]) for key in short}
    kinds = certain.union(kind_of.values())
    return frozenset(
        key
        for key, kind in kind_of.items()
        if kind not in certain and kinds.isdisjoint(_SUPPORT.get(kind, frozenset()))
    )


def _form(key: str, part: str, form_of: Mapping[str, str]) -> str:
    """Return a key's form, without the name of a part."""
    if not part:
        return form_of[key]
    rest = key[len(part) :] if key.startswith(part) else key.removesuffix(part)
    return normalised(rest.strip("_-. "))[0]


def _is_short(form: str) -> bool:
    return form in _DOUBTFUL or _SHORT.fullmatch(form) is not None


def _kind(meaning: MeterField, form: str) -> str:
    """Return the quantity: the first word of the field; that of ``L1`` is not known."""
    return "" if form == "l#" else meaning.field.split("_", 1)[0]
