"""The lines of keys, for generated files of both languages."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config.faults import join
from metrics_agent.config.lines import find_lines, line_of
from metrics_agent.config.toml_parser import toml_parser

KEYS = st.text(max_size=5) | st.sampled_from(["a", "b-c", "a.b", '"', "1", "k=v", "[x]", "#"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=9)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
BREAKS = st.sampled_from(["", " ", "\n", '\n# a ] comment "\n'])


class TomlWriter:
    """Writes tables in all ways that TOML has, and notes the line of each key.

    Args:
        draw: draws from a strategy.
    """

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[str, int] = {}

    def note(self, path: str) -> None:
        self.lines[path] = self.text.count("\n") + 1

    def key(self, key: str) -> str:
        if key and key.isascii() and key.replace("-", "").isalnum() and self.draw(st.booleans()):
            return key
        if key.isprintable() and "'" not in key and self.draw(st.booleans()):
            return f"'{key}'"
        return quoted(key)

    def value(self, path: str) -> None:
        kind = self.draw(st.sampled_from(["word", "text", "lines", "list", "table"]))
        if kind == "list":
            self.text += "["
            for index in range(self.draw(st.integers(0, 3))):
                self.text += self.draw(BREAKS)
                self.note(f"{path}[{index}]")
                self.value(f"{path}[{index}]")
                self.text += self.draw(BREAKS) + ","
            self.text += self.draw(BREAKS) + "]"
        elif kind == "table":
            self.text += "{ "
            for index, key in enumerate(self.keys()):
                self.text += ", " if index else ""
                self.note(join(path, key))
                self.text += f"{self.key(key)} = "
                self.value(join(path, key))
            self.text += " }"
        else:
            self.text += self.draw(SIMPLE[kind])

    def keys(self) -> list[str]:
        return self.draw(st.lists(KEYS, max_size=3, unique=True))

    def pairs(self, path: str) -> None:
        for key in self.keys():
            self.text += self.draw(st.sampled_from(["", "\n", "# [x]\n", "  "]))
            where = join(path, key)
            self.note(where)
            self.text += self.key(key)
            if self.draw(st.booleans()):
                where = join(where, "x")
                self.note(where)
                self.text += self.draw(st.sampled_from([".x", " . 'x'"]))
            self.text += " = "
            self.value(where)
            self.text += self.draw(st.sampled_from(["\n", " # x\n", "\r\n"]))

    def document(self) -> None:
        self.pairs("")
        for index in range(self.draw(st.integers(0, 3))):
            name = f"table {index}"
            path = join("", name)
            if self.draw(st.booleans()):
                self.note(path)
                self.note(join(path, "y"))
                self.text += f"[ {quoted(name)} . y ] # x\n"
                self.pairs(join(path, "y"))
                continue
            for item in range(self.draw(st.integers(1, 3))):
                self.lines.setdefault(path, self.text.count("\n") + 1)
                self.note(f"{path}[{item}]")
                self.text += f"[[{quoted(name)}]]\n"
                self.pairs(f"{path}[{item}]")
                if self.draw(st.booleans()):
                    self.note(f"{path}[{item}].z")
                    self.text += f"[{quoted(name)}.z]\n"
                    self.pairs(f"{path}[{item}].z")


def quoted(text: str) -> str:
    """Write a basic string of TOML."""
    return '"' + "".join(f"\\U{ord(char):08x}" for char in text) + '"'


SIMPLE = {
    "word": st.sampled_from(["1", "-1.5e3", "true", "1979-05-27T07:32:00Z", "07:32:00.5", "nan"]),
    "text": st.sampled_from(["'a ] # \"'", '"}, = \\""', '""', "''"]),
    "lines": st.sampled_from(
        ['"""\na = [\n\\""" b"""', "'''\n{''\n'''", '"""a"""""', '"""]""""', '""""""']
    ),
}


class LineTests(SynchronousTestCase):
    """Every key has the line on which it is."""

    @given(st.data())
    def test_toml(self, data: st.DataObject) -> None:
        writer = TomlWriter(data.draw)
        writer.document()
        toml_parser().loads(writer.text)  # the test writes what TOML has
        self.assertEqual(find_lines(writer.text, toml=True), writer.lines, writer.text)

    @given(TREES, st.integers(0, 2) | st.none())
    def test_json(self, tree: object, indent: int | None) -> None:
        text = json.dumps(tree, indent=indent, ensure_ascii=False)
        self.assertEqual(find_lines(text, toml=False), json_lines(tree, indent is not None))

    @given(st.text() | st.text(alphabet="\"'[]{}=:,.#\\\n ab"), st.booleans())
    def test_any_text_is_read_without_an_error(self, text: str, toml: bool) -> None:
        find_lines(text, toml=toml)

    def test_nested_too_deeply(self) -> None:
        """What was read before is kept."""
        for toml, text in ((True, "a = 1\nb = "), (False, '{"a": 1,\n"b": ')):
            lines = find_lines(text + "[" * 100_000, toml=toml)
            self.assertEqual((lines["a"], lines["b"]), (1, 2))

    def test_the_nearest_table_is_taken(self) -> None:
        """A key that the file lacks has the line of its table, and a global one has none."""
        lines = find_lines('[modules."a.b"]\nx = [1]', toml=True)
        for path, line in (
            ('modules."a.b"', 1),
            ('modules."a.b".y.z', 1),
            ('modules."a.b".x[0]', 2),
            ('modules."a.b".x[7].q', 2),
            ("modules.c", 1),
            ("c", None),
            ("", None),
        ):
            self.assertEqual(line_of(path, lines), line, path)


def json_lines(tree: object, indented: bool) -> dict[str, int]:
    """Return the lines as `json.dumps` writes them: one for each key, item and bracket."""
    lines: dict[str, int] = {}
    line = 1

    def walk(value: object, path: str) -> None:
        nonlocal line
        if not isinstance(value, (dict, list)) or not value:
            return
        items = (
            [(join(path, key), item) for key, item in value.items()]
            if isinstance(value, dict)
            else [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        )
        for where, item in items:
            line += indented
            lines[where] = line
            walk(item, where)
        line += indented

    walk(tree, "")
    return lines
