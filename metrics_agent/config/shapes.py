"""Shapes: how a raw value of each simple type is read, strictly, and what to call it.

Strict means that nothing is coerced but an integer to a float: "5" is not a number, 1 is not true.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, frozen

from metrics_agent.config.faults import Fault, describe, join, quote
from metrics_agent.config.secret import FORMS, Secret, Sources, read_secret
from metrics_agent.config.setting import FileUse
from metrics_agent.config.types import (
    UnitOfText,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)

__all__ = [
    "FAULTY",
    "NULL",
    "SIMPLE",
    "UNITS",
    "NamedFile",
    "Place",
    "Shape",
    "Walk",
    "toml_string",
]

_INT_LIMIT = 1 << 63


def toml_string(text: str) -> str:
    """Write a text that a settings class declares, whole and as TOML reads it.

    Raises:
        TypeError: it is another value; one of several shapes may then be the right one.
    """
    if not isinstance(text, str):
        raise TypeError(f"got {text!r}, expected a string")
    # What JSON escapes, TOML escapes alike; DEL alone JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


class Faulty:
    """The type of `FAULTY`."""

    def __repr__(self) -> str:
        return "FAULTY"


FAULTY: Final = Faulty()
"""The placeholder of a value that could not be read; its faults are in the walk."""


@frozen
class Place:
    """The place of a value in the file.

    Attributes:
        path: keys with points, indices in brackets.
        lenient: inside the Go agent's ``custom`` table: unknown keys are ignored, numbers and
            booleans may be written as strings.
    """

    path: str
    lenient: bool = False

    def child(self, key: object) -> Place:
        """Return the place of a key in the table here."""
        return evolve(self, path=join(self.path, key))

    def item(self, index: int) -> Place:
        """Return the place of an item in the list here."""
        return evolve(self, path=f"{self.path}[{index}]")


@frozen
class NamedFile:
    """A file that a setting names.

    Attributes:
        path: of the setting.
        file: where it is.
        use: what it is.
        password: of an encrypted file, if one is set.
    """

    path: str
    file: Path
    use: FileUse
    password: Secret | None = None


class Walk:
    """What one pass over a raw table gathers.

    Args:
        sources: where secrets are looked up.
    """

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.faults: list[Fault] = []
        self.ignored: list[Fault] = []
        self.warnings: list[Fault] = []
        self.literal: list[str] = []
        self.files: list[NamedFile] = []

    def fault(self, place: Place, got: str, expected: str, hint: str = "") -> Any:
        """Add a fault and return `FAULTY`."""
        self.faults.append(Fault(place.path, got, expected, hint))
        return FAULTY

    def adopt(self, other: Walk) -> None:
        """Take over what another pass gathered."""
        self.faults += other.faults
        self.ignored += other.ignored
        self.warnings += other.warnings
        self.literal += other.literal
        self.files += other.files


@frozen(eq=False, repr=False)
class Shape(ABC):
    """How values of one type are read.

    Attributes:
        noun: for "expected ...": ``an integer``.
        plural: for "a list of ...": ``integers``.
        secret: a value may be a secret and is never shown.
    """

    noun: str
    plural: str
    secret: bool = field(default=False, kw_only=True)

    @abstractmethod
    def read(self, raw: object, place: Place, walk: Walk) -> Any:
        """Return the value, or `FAULTY` after adding what is wrong to the walk."""

    def suits(self, raw: object) -> bool:  # noqa: ARG002 - for those that override it
        """Return whether a value is of the raw type that this shape reads."""
        return False

    def show(self, value: Any) -> str:
        """Write a value of this type the way the file does."""
        return str(value)


class _Text(Shape):
    def read(self, raw: object, place: Place, walk: Walk) -> Any:
        if not isinstance(raw, str):
            return walk.fault(place, describe(raw), self.noun)
        if any("\ud800" <= char <= "\udfff" for char in raw):
            return walk.fault(place, quote(raw), "a string of whole Unicode characters")
        return raw

    def suits(self, raw: object) -> bool:
        return isinstance(raw, str)

    def show(self, value: Any) -> str:
        return toml_string(value)


class _Boolean(Shape):
    def read(self, raw: object, place: Place, walk: Walk) -> Any:
        if place.lenient and isinstance(raw, str) and raw in {"true", "false"}:
            return raw == "true"
        return raw if isinstance(raw, bool) else walk.fault(place, describe(raw), self.noun)

    def show(self, value: Any) -> str:
        return str(value).lower()


class _Integer(Shape):
    def read(self, raw: object, place: Place, walk: Walk) -> Any:
        value = raw
        if place.lenient and isinstance(raw, str) and len(raw) < len(str(_INT_LIMIT)):
            with suppress(ValueError):
                value = int(raw)
        if isinstance(value, bool) or not isinstance(value, int):
            return walk.fault(place, describe(raw), self.noun)
        if not -_INT_LIMIT <= value < _INT_LIMIT:
            return walk.fault(place, "a very large integer", "an integer of 64 bits")
        return value


class _Float(Shape):
    def read(self, raw: object, place: Place, walk: Walk) -> Any:
        value = raw
        if place.lenient and isinstance(raw, str):
            with suppress(ValueError):
                value = float(raw)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return walk.fault(place, describe(raw), self.noun)
        with suppress(OverflowError):
            if isfinite(value):
                return float(value)
        return walk.fault(place, describe(raw), "a finite number")


class _Duration(Shape):
    def read(self, raw: object, place: Place, walk: Walk) -> Any:
        if isinstance(raw, str):
            try:
                return parse_duration(raw)
            except ValueError:
                return walk.fault(place, quote(raw), self.noun)
        if isinstance(raw, bool) or not isinstance(raw, (int, float)):
            return walk.fault(place, describe(raw), self.noun)
        if raw == 0:
            return 0.0
        hint = f'write "{raw:g}s" for seconds' if 0 < raw < _INT_LIMIT else ""
        return walk.fault(place, describe(raw), self.noun, hint)

    def show(self, value: Any) -> str:
        return f'"{format_duration(value)}"'


class _Size(Shape):
    def read(self, raw: object, place: Place, walk: Walk) -> Any:
        if isinstance(raw, str):
            try:
                return parse_size(raw)
            except ValueError:
                return walk.fault(place, quote(raw), self.noun)
        if isinstance(raw, bool) or not isinstance(raw, int) or not 0 <= raw < _INT_LIMIT:
            return walk.fault(place, describe(raw), self.noun)
        return raw

    def show(self, value: Any) -> str:
        return f'"{format_size(value)}"'


class _SecretText(Shape):
    def read(self, raw: object, place: Place, walk: Walk) -> Any:
        found = read_secret(raw, place.path, walk.sources)
        if isinstance(found, Fault):
            walk.faults.append(found)
            return FAULTY
        if isinstance(raw, str) and raw:
            walk.literal.append(place.path)
        if isinstance(raw, Mapping) and "file" in raw:
            file = walk.sources.locate(raw["file"])
            walk.files.append(NamedFile(join(place.path, "file"), file, "secret"))
        return found

    def suits(self, raw: object) -> bool:
        return isinstance(raw, (str, Mapping))

    def show(self, value: Any) -> str:  # noqa: ARG002 - never shown
        return '"***"'


class _Null(Shape):
    def read(self, raw: object, place: Place, walk: Walk) -> Any:
        return None if raw is None else walk.fault(place, describe(raw), self.noun)

    def suits(self, raw: object) -> bool:
        return raw is None

    def show(self, value: Any) -> str:  # noqa: ARG002 - there is but one
        return "null"


NULL: Final[Shape] = _Null("null", "nulls")
SIMPLE: dict[Any, Shape] = {
    str: _Text("a string", "strings"),
    bool: _Boolean("true or false", "booleans"),
    int: _Integer("an integer", "integers"),
    float: _Float("a number", "numbers"),
    Secret: _SecretText(FORMS, "secrets", secret=True),
    type(None): NULL,
}
UNITS: dict[UnitOfText, Shape] = {
    UnitOfText.DURATION: _Duration('a duration such as "30s"', "durations"),
    UnitOfText.SIZE: _Size('a size such as "16MiB" or a number of bytes', "sizes"),
}
