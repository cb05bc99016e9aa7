"""Reads a line of line protocol that our encoder has made, to show its values. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, TypeAlias

__all__ = ["Line", "device_filter", "read_line"]

# Each has one way only to read a line, so that none takes long over a strange one.
_NAME: Final = r"(?=[^,= ])[^,= \\]*(?:\\(?:[,= ]|(?![,= ]))[^,= \\]*)*"
_MEASUREMENT: Final = r"(?=[^, ])[^, \\]*(?:\\(?:[, ]|(?![, ]))[^, \\]*)*"
_HEAD = re.compile(rf"({_MEASUREMENT})((?:,{_NAME}={_NAME})*) ")
_TAG = re.compile(rf",({_NAME})=({_NAME})")
_FIELD = re.compile(rf'[, ]({_NAME})=("(?:\\.|[^"\\])*"|[^, "\n]+)')
_ESCAPED_IN_TEXT = re.compile(r'\\(["\\])')
_TO_ESCAPE = re.compile(r"([,= ])")
_TIME = re.compile(r" (-?\d+)\n?\Z")

_Value: TypeAlias = float | int | bool | str


class Line(NamedTuple):
    """One point.

    Attributes:
        measurement: its name.
        tags: by name.
        fields: by name.
        time_ns: since the epoch; None if the line has none.
    """

    measurement: str
    tags: dict[str, str]
    fields: dict[str, _Value]
    time_ns: int | None


def read_line(line: bytes) -> Line | None:
    """Return what a line says; None if it is not one of ours."""
    text = line.decode("utf-8", "replace")
    head = _HEAD.match(text)
    if head is None:
        return None
    measurement, tags = head.groups()
    at = head.end() - 1
    is_plain = text.find('"', at) < 0 and text.find("\\", at) < 0
    fields, end = _plain_fields(text, at) if is_plain else _fields(text, at)
    time = _TIME.match(text, end)
    if not fields or (time is None and text[end:] not in {"", "\n"}):
        return None
    return Line(
        _plain(measurement),
        {_plain(name): _plain(value) for name, value in _TAG.findall(tags)},
        fields,
        int(time[1]) if time else None,
    )


def _plain_fields(text: str, at: int) -> tuple[dict[str, _Value], int]:
    """Do what `_fields` does, for numbers and booleans alone: three times as fast."""
    end = text.find(" ", at + 1)
    if end < 0:
        end = len(text.rstrip("\n"))
    fields = {}
    for each in text[at + 1 : end].split(","):
        name, _, written = each.partition("=")
        value = _value(written) if name and written else None
        if value is None:
            return {}, end
        fields[name] = value
    return fields, end


def _fields(text: str, at: int) -> tuple[dict[str, _Value], int]:
    """Return the fields that begin behind a space, and where they end; none if one is not ours."""
    fields = {}
    while (field := _FIELD.match(text, at)) is not None:
        value = _value(field[2])
        if value is None:
            return {}, at
        fields[_plain(field[1])] = value
        at = field.end()
        if text[at : at + 1] != ",":
            break
    return fields, at


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


def _value(text: str) -> _Value | None:
    try:
        return int(text[:-1]) if text[-1] == "i" else float(text)
    except ValueError:
        if text[0] == '"':
            return _ESCAPED_IN_TEXT.sub(r"\1", text[1:-1])
        return text == "true" if text in {"true", "false"} else None
