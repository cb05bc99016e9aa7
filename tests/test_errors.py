"""The tree of errors is drawn in one place, and the drawing is true."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import metrics_agent
from metrics_agent import errors

_LINE = re.compile(r"^ {4}(?P<indent>(?:[|` ] {3}|[|`]-- )*)(?P<name>\w+)  ", re.MULTILINE)


def drawn(text: str) -> dict[str, str]:
    """Return the base of each class in a drawing; empty for the root."""
    bases: dict[str, str] = {}
    above: list[str] = []
    for line in _LINE.finditer(text):
        depth = len(line["indent"]) // 4
        above[depth:] = [line["name"]]
        bases[line["name"]] = above[depth - 1] if depth else ""
    return bases


def bases() -> Mapping[str, str]:
    """Return the first base of each class of the package, where that is a plain name."""
    return {
        node.name: node.bases[0].id
        for path in Path(metrics_agent.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and node.bases and isinstance(node.bases[0], ast.Name)
    }


def tree(root: str) -> dict[str, str]:
    """Return the base of each class below the root; a private class is not in it."""
    base_of = bases()
    found = {root: ""}
    for name in base_of.keys() - found.keys():
        line = [name]
        while line[-1] != root and line[-1] in base_of:
            line.append(base_of[line[-1]])
        if line[-1] == root and not name.startswith("_"):
            found[name] = next(each for each in line[1:] if not each.startswith("_"))
    return found


class ErrorTreeTests(SynchronousTestCase):
    """What errors.py says of all errors."""

    def test_drawing(self) -> None:
        """Each error is in the drawing, below its base."""
        self.assertEqual(drawn(errors.__doc__ or ""), tree("MetricsAgentError"))

    def test_drawings_are_read(self) -> None:
        """A class is below the last one that is less indented."""
        text = "    A    x\n    |-- B    x\n    |   `-- C    x\n    `-- D    x"
        self.assertEqual(drawn(text), {"A": "", "B": "A", "C": "B", "D": "A"})
