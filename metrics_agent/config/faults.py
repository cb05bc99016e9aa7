"""One fault of a configuration, and how the values in it are shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import date, time

from attrs import field, frozen

from metrics_agent.pem import hide_keys

__all__ = ["Fault", "describe", "describe_type", "join", "nearest", "quote"]

_SHOWN = 60
_SHOWN_BITS = 128
_BARE_KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{_SHOWN}}}")
_LOGIN_IN_URL = re.compile(r"://[^/\s]*@")


@frozen
class Fault:
    """What is wrong at one place of a configuration; ``str()`` gives one sentence.

    Attributes:
        path: the key with its tables, ``modules.tasmota.interval``, or the file's path.
        got: what was found, never the value of a secret; the whole finding where there is
            nothing that could have been expected.
        expected: what may stand there, or empty.
        hint: what to do about it, or empty.
        where: file and line, ``/etc/agent.toml:12``, or empty.
    """

    path: str
    got: str
    expected: str = ""
    hint: str = ""
    where: str = field(default="", eq=False)

    def __str__(self) -> str:
        path = f"{self.where}: {self.path}" if self.where else self.path
        if not self.expected:
            text = f"{path}: {self.got}"
            return f"{text}, {self.hint}" if self.hint else text
        text = f"{path}: got {self.got}, expected {self.expected}"
        return f"{text}; {self.hint}" if self.hint else text


def join(path: str, key: object) -> str:
    """Return the path of a key inside a table, quoted if TOML would quote it or it is long."""
    name = str(key)
    if not _BARE_KEY.fullmatch(name):
        name = quote(name)
    return f"{path}.{name}" if path else name


def quote(text: str, shown: int = _SHOWN) -> str:
    """Show a text of the user: quoted, one line, cut, printable, without logins and keys."""
    text = _LOGIN_IN_URL.sub("://***@", hide_keys(text))
    if len(text) > shown:
        text = text[:shown] + "..."
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in quoted
    )


def describe(value: object) -> str:
    """Show a raw value with its type; the content of tables and lists is not shown."""
    if isinstance(value, str):
        return f"{quote(value)} (a string)"
    if isinstance(value, bool):
        return f"{str(value).lower()} (a boolean)"
    if isinstance(value, int):
        shown = value.bit_length() <= _SHOWN_BITS
        return f"{value} (an integer)" if shown else "a very large integer"
    if isinstance(value, float):
        return f"{value!r} (a decimal number)"
    return describe_type(value)


def describe_type(value: object) -> str:
    """Name the type of a raw value in the words of TOML and JSON."""
    for types, name in _TYPES:
        if isinstance(value, types):
            return name
    return f"a value of type {type(value).__name__}"


_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "null"),
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a decimal number"),
    (str, "a string"),
    (dict, "a table"),
    ((list, tuple), "a list"),
    ((date, time), "a date or time"),
)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, or an empty string."""
    from difflib import get_close_matches

    found = get_close_matches(word[:_SHOWN].lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else ""
