"""Finds in the source of the package what it may log: the templates of log lines.

A line is logged by a call to a logger (`self._log.warn("...", ...)`), also under another name
(`write = log.error if x else log.warn`), or by something that is given its sentences when it is
made (`StatusLog`, `Burst`). Where a logger is given something else than a text that the same file
has, the line is *unnamed*; those places are few, and whoever asks has to know each of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

from attrs import field, frozen

import metrics_agent

__all__ = ["Templates", "all_texts", "templates", "templates_of"]

_INFO: Final = "info"
_LEVELS: Final = (_INFO, "warn", "error", "critical", "failure")
_OUTAGE: Final = ("warn", _INFO)
_GIVEN_TWO: Final = {"StatusLog": _OUTAGE, "OutageReport": _OUTAGE, "Burst": (_INFO, _INFO)}
"""What is given two sentences, after a log and a clock, and the levels of them."""
_OWN_LOG: Final = {"_log_failure": "warn"}
"""Methods of `StatusLog` that take a sentence."""
_LOG_ITSELF: Final = "logs/"
_WORDS: Final = 3
"""Texts of the log about itself have so many words at least."""
_LEFT_OUT: Final = ("testing.py", "demo/", "commands/demo.py")
"""Fakes for tests; the demo, whose user sees all of it on the terminal."""

_Texts: TypeAlias = Mapping[str, ast.expr]


@frozen
class Templates:
    """What a package may log.

    Attributes:
        all: every template.
        warnings: those of warnings and what is worse.
        unnamed: places whose template is not there: path and expression.
    """

    all: set[str] = field(factory=set)
    warnings: set[str] = field(factory=set)
    unnamed: set[str] = field(factory=set)


@cache
def templates() -> Templates:
    """Return what our package may log."""
    found = Templates()
    for place, source in _sources():
        templates_of(source, place, found)
    return found


def all_texts() -> set[str]:
    """Return every text in the source of our package; what an f-string fills in is ``{}``."""
    nodes = (node for _place, source in _sources() for node in ast.walk(ast.parse(source)))
    return {text for node in nodes if isinstance(node, ast.expr) and (text := _text(node, {}))}


def _sources() -> Iterator[tuple[str, str]]:
    package = Path(metrics_agent.__file__).parent
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package).as_posix()
        if not place.startswith(_LEFT_OUT):
            yield place, path.read_text("utf-8")


def templates_of(source: str, place: str, into: Templates) -> None:
    """Add what a module may log.

    Args:
        source: of the module.
        place: its path below the package.
        into: takes it.
    """
    tree = ast.parse(source)
    texts = dict(_assigned(tree))
    for scope in ast.walk(tree):
        if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            local = texts if isinstance(scope, ast.Lambda) else {**texts, **dict(_assigned(scope))}
            for node in _of_the_function(scope):
                for level, sentence in _sentences(node, local):
                    _add(level, _text(sentence, local), f"{place}: {ast.unparse(sentence)}", into)
    if place.startswith(_LOG_ITSELF):
        for node in _sayings(tree):
            text = _of_the_log(node, texts)
            if text is not None:
                _add("warn", text, place, into)


def _add(level: str, text: str | None, place: str, into: Templates) -> None:
    if text is None:
        into.unnamed.add(place)
        return
    into.all.add(text)
    if level != _INFO:
        into.warnings.add(text)


def _sentences(node: ast.AST, texts: _Texts) -> Iterator[tuple[str, ast.expr]]:
    """Yield what a call logs, with the levels."""
    if not isinstance(node, ast.Call):
        return
    called, given = node.func, node.args
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    if name == "emit" and isinstance(called, ast.Attribute) and _is_log(called.value):
        yield ast.unparse(given[0]).rpartition(".")[2], given[1]
    elif name in _OWN_LOG:
        yield _OWN_LOG[name], given[0]
    elif name in _GIVEN_TWO or (name == "__init__" and len(given) == 4):
        named = {each.arg: each.value for each in node.keywords}
        sentences = [*given[2:4], *(named[each] for each in ("one",) if each in named)]
        levels = list(_GIVEN_TWO.get(name, _OUTAGE))
        if "level" in named:
            levels = [ast.unparse(named["level"]).rpartition(".")[2]] * 2
        yield from zip(levels, sentences, strict=False)
    else:
        # By one of the logger's methods, by a choice of them, or by a name for that.
        level = _worst(texts[name] if isinstance(called, ast.Name) and name in texts else called)
        if level is not None and given:
            yield level, given[0]


def _worst(called: ast.expr) -> str | None:
    """Return the worst level of the methods of a logger that an expression may be."""
    while isinstance(called, ast.IfExp):
        levels = filter(None, map(_worst, (called.body, called.orelse)))
        return max(levels, key=_LEVELS.index, default=None)
    if isinstance(called, ast.Attribute) and called.attr in _LEVELS and _is_log(called.value):
        return called.attr
    return None


def _is_log(node: ast.expr) -> bool:
    text = ast.unparse(node).lower()
    return text.endswith("log") or text.startswith(("make_logger(", "logger("))


def _assigned(scope: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that are assigned to, with their values."""
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value


def _of_the_function(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield what is in a function but not in another one within it."""
    for node in ast.iter_child_nodes(scope):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield node
            yield from _of_the_function(node)


def _sayings(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield what may be a whole sentence and is not that of an exception."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, (ast.Raise, ast.IfExp)):
            yield node
            yield from _sayings(node)


def _of_the_log(node: ast.AST, texts: _Texts) -> str | None:
    """Return what the log says of itself, which no logger writes."""
    if isinstance(node, ast.JoinedStr):
        text = _text(node, {}) or ""
        return text if len(text.replace("{}", "").split()) >= _WORDS else None
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "log_format":
                return _text(value, texts)
    return None


def _text(node: ast.expr, texts: _Texts) -> str | None:
    """Return a text that the source has; what an f-string fills in is ``{}``."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, {}) or "{}" for part in node.values)
    if isinstance(node, ast.Name) and node.id in texts:
        return _text(texts[node.id], {})
    return None
