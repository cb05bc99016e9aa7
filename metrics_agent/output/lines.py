"""Line protocol -> its lines. Pure.

A newline inside a text value does not end a line, and a quote in a name does not begin a text.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["split_lines"]

_FIELD: Final = rb'(?:\\.|[^\\\n=])*=(?:"(?:\\.|[^"\\])*"|[^",\n ]*)'
_POINT: Final = re.compile(
    rb"(?:\\.|[^\\\n ])* "  # measurement and tags, up to the first space that is not escaped
    + _FIELD
    + rb"(?:,"
    + _FIELD
    + rb")*",
    re.DOTALL,
)
"""A line without its time and newline."""


def split_lines(data: bytes) -> list[bytes]:
    """Return the lines, each with its newline; joined they are the data again."""
    if b'"' not in data:
        lines = data.split(b"\n")
        rest = lines.pop()
        lines = [line + b"\n" for line in lines]
        return [*lines, rest] if rest else lines
    lines = []
    start = 0
    while start < len(data):
        found = _POINT.match(data, start)
        end = data.find(b"\n", found.end() if found else start) + 1 or len(data)
        lines.append(data[start:end])
        start = end
    return lines
