"""Types of settings that a file writes as text: durations, sizes, secrets."""

from __future__ import annotations

import re
from enum import Enum
from typing import Annotated, TypeAlias

from metrics_agent.config.secret import Secret

__all__ = [
    "Duration",
    "Secret",
    "Size",
    "UnitOfText",
    "format_duration",
    "format_size",
    "parse_duration",
    "parse_size",
]


class UnitOfText(Enum):
    """Marks a number that is written as a text with units."""

    DURATION = "duration"
    SIZE = "size"


Duration: TypeAlias = Annotated[float, UnitOfText.DURATION]
"""Seconds; written "30s", "1h30m", "250ms", "2d", and 0 for off."""

Size: TypeAlias = Annotated[int, UnitOfText.SIZE]
"""Bytes; written as an integer or "16MiB"."""

_NS = 1_000_000_000
_DURATION_NS = {
    "d": 86_400 * _NS,
    "h": 3_600 * _NS,
    "m": 60 * _NS,
    "s": _NS,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
    # Go writes microseconds with either of the two signs for mu.
    "\N{MICRO SIGN}s": 1_000,
    "\N{GREEK SMALL LETTER MU}s": 1_000,
}
_WRITTEN = ("d", "h", "m", "s", "ms", "us", "ns")
_DURATION_PART = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,18}))?([a-z\u00b5\u03bc]+)")
_LONGEST_NS = 100 * 365 * _DURATION_NS["d"]
_LONGEST_TEXT = 100

_SIZE_BYTES = {
    "GiB": 1 << 30,
    "MiB": 1 << 20,
    "KiB": 1 << 10,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 10**3,
    "B": 1,
}
_LARGEST_SIZE = (1 << 63) - 1
_SIZE = re.compile(r"([0-9]{1,18}) ?([A-Za-z]+)?")


def parse_duration(text: str) -> float:
    """Read a duration such as ``1h30m``, ``250ms`` or ``1.5s``; all forms of Go are taken.

    Returns:
        Seconds, at least 0 and at most 100 years.

    Raises:
        ValueError: the text is not a duration, or too long a one.
    """
    if text == "0":
        return 0.0
    total_ns = 0
    end = 0
    while end < len(text) <= _LONGEST_TEXT:
        part = _DURATION_PART.match(text, end)
        if part is None or part[3] not in _DURATION_NS:
            break
        unit_ns = _DURATION_NS[part[3]]
        fraction = part[2] or "0"
        total_ns += int(part[1]) * unit_ns + int(fraction) * unit_ns // 10 ** len(fraction)
        end = part.end()
    if not text or end < len(text) or total_ns > _LONGEST_NS:
        raise ValueError(f"no duration: {text[:_LONGEST_TEXT]!r}")
    return total_ns / _NS


def format_duration(seconds: float) -> str:
    """Write seconds the way ``parse_duration`` reads them, down to the nanosecond."""
    rest_ns = round(seconds * _NS)
    parts = []
    for unit in _WRITTEN:
        count, rest_ns = divmod(rest_ns, _DURATION_NS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Read a number of bytes such as ``16MiB``, ``10 kB`` or ``512``.

    Raises:
        ValueError: the text is not a size.
    """
    match = _SIZE.fullmatch(text)
    factor = _SIZE_BYTES.get(match[2] or "B") if match else None
    if match is None or factor is None or int(match[1]) * factor > _LARGEST_SIZE:
        raise ValueError(f"no size: {text[:_LONGEST_TEXT]!r}")
    return int(match[1]) * factor


def format_size(count: int) -> str:
    """Write bytes with the largest binary unit that leaves a whole number."""
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % _SIZE_BYTES[unit] == 0:
            return f"{count // _SIZE_BYTES[unit]}{unit}"
    return f"{count}B"
