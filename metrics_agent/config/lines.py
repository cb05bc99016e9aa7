"""The line of each key in a file; imported only when there is something to report.

No TOML parser for Python gives lines (tomllib, tomli and tomlkit keep none), nor does ``json``. The
file was parsed before, so this reads tokens and does not judge them: strings are skipped whole, and
what is left are keys, brackets and commas, in both languages.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

from metrics_agent.config.faults import join
from metrics_agent.config.toml_parser import toml_parser

__all__ = ["find_lines", "line_of"]

_TOKEN: Final = re.compile(
    r"""
    [ \t\r\ufeff]+ | \#[^\n]*                # nothing: what is between tokens
    | (?P<word>
        # A closing delimiter may follow two quotation marks. A text without an end is one word too:
        # to look for its end again from the next character on would take time by the square.
        \"{3}(?:\\.|[^\\])*?(?:\"{3,5}(?!\")|\Z)
        | '{3}.*?(?:'{3,5}(?!')|\Z)
        | \"(?:\\.|[^\"\\\n])*\"?
        | '[^'\n]*'?
        | [\n\[\]{}=:,.]
        | [^\s\[\]{}=:,.\#"']+
        | .
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_END: Final = ""


def find_lines(text: str, *, toml: bool) -> dict[str, int]:
    """Return the line, counted from 1, of each key and each item of a list.

    Args:
        text: of a file that was parsed without an error; of any other some lines may be missing
            or wrong.
        toml: whether it is TOML, otherwise JSON.

    Returns:
        Lines by path, as `Fault.path` has it.
    """
    reader = _Toml(text) if toml else _Json(text)
    # Nested as deeply as the parser could just follow, or not what was parsed.
    with suppress(RecursionError, ValueError):
        reader.read()
    return reader.lines


def line_of(path: str, lines: dict[str, int]) -> int | None:
    """Return the line of a path, or of the nearest table around it that the file has."""
    while path:
        if path in lines:
            return lines[path]
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return None


class _Json:
    """Reads values, which JSON and TOML write in nearly the same way."""

    def __init__(self, text: str) -> None:
        self.lines: dict[str, int] = {}
        self._tokens: list[tuple[str, int]] = []
        line = 1
        for match in _TOKEN.finditer(text):
            word = match["word"]
            if word:
                self._tokens.append((word, line))
                line += word.count("\n")
        self._tokens.append((_END, line))
        self._tokens.reverse()

    def read(self) -> None:
        self._value("")

    def _peek(self) -> str:
        return self._tokens[-1][0]

    def _next(self) -> tuple[str, int]:
        # The end stays, so that nothing reads beyond it.
        return self._tokens.pop() if len(self._tokens) > 1 else self._tokens[-1]

    def _skip(self, *tokens: str) -> None:
        while self._peek() in tokens and self._peek() != _END:
            self._next()

    def _value(self, path: str) -> None:
        self._skip("\n")
        word, _line = self._next()
        if word == "[":
            self._list(path)
        elif word == "{":
            self._skip("\n", ",")
            while self._peek() not in {"}", _END}:
                self._pair(path)
                self._skip("\n", ",")
            self._next()
        else:  # a number or a date of TOML is several tokens
            while self._peek() not in {"\n", ",", "]", "}", _END}:
                self._next()

    def _list(self, path: str) -> None:
        index = 0
        self._skip("\n", ",")
        while self._peek() not in {"]", _END}:
            item = f"{path}[{index}]"
            self.lines[item] = self._tokens[-1][1]
            self._value(item)
            self._skip("\n", ",")
            index += 1
        self._next()

    def _pair(self, path: str) -> None:
        key, line = self._next()
        path = join(path, self._name(key))
        self.lines[path] = line
        self._skip("\n", ":")
        self._value(path)

    def _name(self, key: str) -> str:
        import json

        return str(json.loads(key))


class _Toml(_Json):
    """Reads tables and keys with points too."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._last_item: dict[str, int] = {}
        """The index of the last table of each list of tables."""

    def read(self) -> None:
        table = ""
        self._skip("\n")
        while self._peek() != _END:
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip("\n")

    def _header(self) -> str:
        _bracket, line = self._next()
        is_item = self._peek() == "["
        self._skip("[")
        path = self._keys("", line, is_item=is_item)
        self._skip("]")
        return path

    def _pair(self, path: str) -> None:
        path = self._keys(path, self._tokens[-1][1])
        self._skip("=")
        self._value(path)

    def _keys(self, path: str, line: int, *, is_item: bool = False) -> str:
        """Read a key with points, and return the path of what it names."""
        while True:
            key, _line = self._next()
            path = join(path, self._name(key))
            if self._peek() != ".":
                break
            self._next()
            self.lines.setdefault(path, line)
            if path in self._last_item:
                path = f"{path}[{self._last_item[path]}]"
        if is_item:
            self.lines.setdefault(path, line)
            self._last_item[path] = self._last_item.get(path, -1) + 1
            path = f"{path}[{self._last_item[path]}]"
        self.lines[path] = line
        return path

    def _name(self, key: str) -> str:
        if key[:1] not in {'"', "'"}:
            return key
        return str(next(iter(toml_parser().loads(f"{key} = 0"))))
