"""A configuration file becomes a raw table, or one clear fault about the file."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

from attrs import evolve, frozen

from metrics_agent.cause import system_reason
from metrics_agent.config.faults import Fault, describe_type, join, quote
from metrics_agent.config.toml_parser import toml_parser
from metrics_agent.errors import ConfigError

__all__ = ["Document", "read"]

_LIMIT_BYTES: Final = 4 * 1024 * 1024
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_MOST_DIGITS: Final = 4300
"""Of an integer, where nothing else was set; `sys.set_int_max_str_digits`."""
_LONG_NUMBER = re.compile(rf"[0-9][0-9_]{{{_MOST_DIGITS},}}")
_TOML_POSITION = re.compile(r" \(at (line (\d+), column (\d+)|end of document)\)$")


@frozen
class Document:
    """What a file holds.

    Attributes:
        path: of the file.
        table: the keys at the top.
        mode: its permission bits.
        lines: where its keys are.
    """

    path: Path
    table: Mapping[str, Any]
    mode: int
    lines: LineFinder


class LineFinder:
    """Finds the line of a fault; reads the text again only when there is one.

    Args:
        path: of the file.
        text: what it holds; may hold secrets, and is never shown.
    """

    def __init__(self, path: Path = Path(), text: str = "") -> None:
        self._path = path
        self._text = text
        self._lines: dict[str, int] | None = None

    def locate(self, fault: Fault) -> Fault:
        """Return the fault with its file and line, or unchanged where the file has none."""
        from metrics_agent.config.lines import find_lines, line_of

        if self._lines is None:
            self._lines = find_lines(self._text, toml=self._path.suffix.lower() == ".toml")
        line = line_of(fault.path, self._lines)
        return fault if line is None else evolve(fault, where=f"{self._path}:{line}")


def read(path: Path) -> Document:
    """Read and parse a file, TOML or JSON by the end of its name.

    Raises:
        ConfigError: it cannot be read or parsed; with line and column.
    """
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise _error(path, quote(path.name), "a name that ends in .toml or .json")
    content, mode = _content(path)
    for mark in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            raise _error(path, "a byte order mark at the start", "UTF-8 without one")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        got = f"the byte 0x{content[error.start]:02x} at line {line}, column {column}"
        raise _error(path, got, "UTF-8") from None
    lines = LineFinder(path, text)
    try:
        table = parse(path, text)
        repeated = [Fault(where, "this key is given twice") for where in _repeated(table, "")]
    except RecursionError:
        raise _error(path, "tables or lists nested too deeply") from None
    if repeated:
        raise ConfigError([lines.locate(fault) for fault in repeated])
    return Document(path, table, mode, lines)


def _error(path: Path, got: str, expected: str = "") -> ConfigError:
    return ConfigError([Fault(str(path), got, expected)])


def _content(path: Path) -> tuple[bytes, int]:
    try:
        # Looked at before it is opened: opening a FIFO would wait for a writer.
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise _error(path, "a directory", "a file")
        if not stat.S_ISREG(kind):
            raise _error(path, "no regular file", "a file")
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(_LIMIT_BYTES + 1)
    except FileNotFoundError:
        raise _error(path, "no such file") from None
    except OSError as error:
        raise _error(path, f"cannot be read: {system_reason(error.errno or 0)}") from None
    except ValueError:
        raise _error(path, "no valid path") from None
    if len(content) > _LIMIT_BYTES:
        raise _error(path, "too large a file", f"at most {_LIMIT_BYTES} bytes")
    return content, mode


def _parse_toml(path: Path, text: str) -> Mapping[str, Any]:
    tomllib = toml_parser()
    try:
        return cast("Mapping[str, Any]", tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        message = str(error)
    except ValueError as error:
        # A date such as 2026-02-30, or digits beyond the interpreter's limit.
        raise _long_number(path, text, error) or _error(path, f"not valid TOML: {error}") from None
    place = _TOML_POSITION.search(message)
    where = ""
    if place is not None:
        message = message[: place.start()]
        lines = text.split("\n")
        line, column = place[2] or len(lines), place[3] or len(lines[-1]) + 1
        where = f" at line {line}, column {column}"
    raise _error(path, f"not valid TOML{where}: {message}")


def _long_number(path: Path, text: str, error: ValueError) -> ConfigError | None:
    """Return the fault of an integer with more digits than Python reads, if it is that."""
    found = _LONG_NUMBER.search(text) if "integer string conversion" in str(error) else None
    if found is None:
        return None
    line = text.count("\n", 0, found.start()) + 1
    digits = sum(char.isdecimal() for char in found[0])
    where = f"{path}:{line}"
    return ConfigError([Fault(where, f"an integer of {digits} digits", f"at most {_MOST_DIGITS}")])


class _Repeated(dict[str, Any]):
    """A JSON object in which keys came twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self.keys_again = [key for key, _value in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]  # add gives None, and that is false


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    return table if len(table) == len(pairs) else _Repeated(pairs)


def _parse_json(path: Path, text: str) -> Mapping[str, Any]:
    import json

    try:
        table = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _error(path, f"not valid JSON at {where}: {error.msg}") from None
    except ValueError as error:
        raise _long_number(path, text, error) or _error(path, f"not valid JSON: {error}") from None
    if not isinstance(table, dict):
        raise _error(path, describe_type(table), "a table of settings")
    return table


def _repeated(value: object, path: str) -> Iterator[str]:
    if isinstance(value, _Repeated):
        yield from (join(path, key) for key in value.keys_again)
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _repeated(item, join(path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _repeated(item, f"{path}[{index}]")


_PARSERS: dict[str, Callable[[Path, str], Mapping[str, Any]]] = {
    ".toml": _parse_toml,
    ".json": _parse_json,
}
