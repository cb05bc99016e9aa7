"""Reads a line of line protocol that our encoder has made, to show its values. Pure."""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

__all__ = ["Line", "device_filter", "read_line"]

_NAME: Final = r"(?:\\[,= ]|[^,= ])+"
_SERIES = re.compile(r"((?:\\[, ]|[^, ])+)")
_TAG = re.compile(rf",({_NAME})=({_NAME})")
_FIELD = re.compile(rf'[, ]({_NAME})=("(?:\\.|[^"\\])*"|[^, "\n]+)')
_ESCAPED_IN_TEXT = re.compile(r'\\(["\\])')
_TO_ESCAPE = re.compile(r"([,= ])")
_TIME = re.compile(r" (-?\d+)\n?\Z")


@frozen
class Line:
    """One point.

    Attributes:
        measurement: its name.
        tags: by name.
        fields: by name.
        time_ns: since the epoch; None if the line has none.
    """

    measurement: str
    tags: dict[str, str]
    fields: dict[str, float | int | bool | str]
    time_ns: int | None


def read_line(line: bytes) -> Line | None:
    """Return what a line says; None if it is not one of ours."""
    text = line.decode("utf-8", "replace")
    series = _SERIES.match(text)
    if series is None:
        return None
    tags: dict[str, str] = {}
    at = series.end()
    while (tag := _TAG.match(text, at)) is not None:
        tags[_plain(tag[1])] = _plain(tag[2])
        at = tag.end()
    fields: dict[str, float | int | bool | str] = {}
    if text[at : at + 1] != " ":
        return None
    while (field := _FIELD.match(text, at)) is not None:
        value = _value(field[2])
        if value is None:
            return None
        fields[_plain(field[1])] = value
        at = field.end()
        if text[at : at + 1] != ",":
            break
    time = _TIME.match(text, at)
    if not fields or (time is None and text[at:] not in {"", "\n"}):
        return None
    return Line(_plain(series[1]), tags, fields, int(time[1]) if time else None)


def device_filter(name: str) -> re.Pattern[bytes]:
    """Return a pattern that matches lines of a device, by its tag `device` or `friendly`.

    Args:
        name: as the tag has it, not escaped.
    """
    escaped = re.escape(_TO_ESCAPE.sub(r"\\\1", name).encode("utf-8", "replace"))
    return re.compile(rb"(?:\\.|[^ \\])*?,(?:device|friendly)=" + escaped + rb"[, ]")


def _plain(text: str) -> str:
    if "\\" not in text:
        return text
    # Faster than a pattern; no two of them overlap.
    return text.replace("\\,", ",").replace("\\=", "=").replace("\\ ", " ")


def _value(text: str) -> float | int | bool | str | None:
    if text[0] == '"':
        return _ESCAPED_IN_TEXT.sub(r"\1", text[1:-1])
    if text in {"true", "false"}:
        return text == "true"
    try:
        return int(text[:-1]) if text[-1] == "i" else float(text)
    except ValueError:
        return None
