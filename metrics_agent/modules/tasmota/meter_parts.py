"""Values of several parts of a meter in one object, whose names come with that of the part."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from attrs import evolve

from metrics_agent.limits import TASMOTA_NAME_CHARS
from metrics_agent.modules.tasmota.meter_field import MeterField
from metrics_agent.modules.tasmota.meter_keys import find_of_part, normalised

__all__ = ["find_parts"]

# "A_power", "ivolt" (input; but k and m are of units), "PowerB": where the part is named, and what.
_FORMS: Final = (
    re.compile(r"(?P<part>[A-Za-z0-9]+)[_. -](?P<rest>.+)"),
    re.compile(r"(?P<part>[a-jln-z])(?P<rest>[a-z]{3,})"),
    re.compile(r"(?P<rest>.*[a-z0-9])(?P<part>[B-D])"),
)
_NO_PARTS: Final = frozenset(
    {
        *("reactive", "reaktiv", "apparent", "blind", "schein", "q", "s", "max", "min", "avg"),
        *("set", "soll", "target", "limit", "rated", "nominal", "factor", "battery"),
    }
)
"""First words by which a value is another, not that of another part."""


def find_parts(keys: Iterable[str]) -> dict[str, MeterField]:
    """Return what keys mean that have the name of a part: ``A_power``, ``ivolt``, ``PowerB``.

    A word names a part if another one has the same value (``B_power``, ``ovolt``, ``PowerC``); one
    alone may make another value of it (``Battery_power``).
    """
    found: dict[str, MeterField] = {}
    parts_of: dict[tuple[str, str], set[str]] = {}
    for key in keys:
        read = _read(key) if len(key) <= TASMOTA_NAME_CHARS else None
        if read is not None:
            form, found[key] = read
            parts_of.setdefault(form, set()).add(found[key].part)
    parts = {part for alike in parts_of.values() if len(alike) > 1 for part in alike}
    return {key: meaning for key, meaning in found.items() if meaning.part in parts}


# A device sends the same keys each time.
@lru_cache(maxsize=1024)
def _read(key: str) -> tuple[tuple[str, str], MeterField] | None:
    """Return the form of what is behind the name of a part, and its meaning in that part."""
    for form in _FORMS:
        match = form.fullmatch(key)
        if match is not None and match["part"].lower() not in _NO_PARTS:
            meaning = find_of_part(match["rest"])
            if meaning is not None and not meaning.part:
                return normalised(match["rest"]), evolve(meaning, part=match["part"])
    return None
