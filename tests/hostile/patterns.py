"""Twelve and more ways to fill a text: what parsers, patterns, encoders and logs trip over."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Final

__all__ = ["PATTERNS", "RAW", "filled", "in_json", "payload"]

_RANDOM: Final = random.Random(12)

_UNITS: Final[Mapping[str, str]] = {
    "digits": "1234567890",
    "announcement": '{"dn":"',
    "nested": '[[[[{"a":[',
    "backslashes": "\\",
    "quotes": '"',
    "spaces": " ",
    "levels": "a/",
    "tokens": "%prefix%/%topic%/",
    "non_characters": "\ufdd0\ufffe\U0001fffe",
    "combining": "a\u0301\u0327\u202e\u200b\u2066",
    "controls": "\0\x01\x1b[31m\x7f\x85\x9b\n\r",
    "random": "".join(chr(_RANDOM.randrange(1, 0xD7FF)) for _ in range(4096)),
    "list": '{"a":1},[],',
    "line_protocol": "a,b=c d=1i 1\n",
    "dashes": "-1_",
    "surrogates": "\ud800\udfff",
    "templates": "{{ value_json.a.b|float(0)|round(2) }}{% if x %}{{",
}

PATTERNS: Final = tuple(_UNITS)
"""The names of all patterns."""

RAW: Final[Mapping[str, bytes]] = {
    "digits and an x": b"1" * 9,
    "announcements that do not end": b'{"dn":"',
    "arrays in arrays": b"[",
    "objects in objects": b'{"a":',
    "array of small objects": b'{"a":1},',
    "array of empty arrays": b"[],",
    "array of numbers": b"1,",
    "exponents": b"1e9",
    "backslashes": b"\\",
    "quotes": b'"',
    "spaces": b" ",
    "newlines": b"\n",
    "NUL": b"\0",
    "bytes that are not UTF-8": b"\xff\xfe\xc0",
    "random": _RANDOM.randbytes(65_536),
    "escapes": b"\\u0041",
    "pairs of brackets": b"[[]],",
}
"""Whole payloads, to be repeated; none of them is a message of any device."""

_LISTS: Final = frozenset(name for name in RAW if name.startswith(("array of", "pairs")))


def filled(name: str, size: int) -> str:
    """Return a text of a pattern: of so many bytes in UTF-8, or little less.

    An ``x`` ends it: what looked like a number, or a list, to the end is none.
    """
    unit = _UNITS[name]
    bytes_each = len(unit.encode("utf-8", "surrogatepass"))
    return unit * max(1, (size - 1) // bytes_each) + "x"


def in_json(name: str, size: int) -> bytes:
    """Return a JSON string of a pattern, with its quotes; of so many bytes, or little less."""
    ascii_only = name == "surrogates"
    unit = json.dumps(_UNITS[name], ensure_ascii=ascii_only).encode()[1:-1]
    return b'"' + unit * max(1, (size - 3) // len(unit)) + b'x"'


def payload(name: str, size: int) -> bytes:
    """Return a payload of one of `RAW`; a list is a JSON list."""
    unit = RAW[name]
    body = unit * max(1, (size - 3) // len(unit))
    if name in _LISTS:
        return b"[" + body + b"1]"
    return body + b"x"
