"""The tables of docs/configuration.md, made from the settings classes.

``python -m metrics_agent.config.describe docs/configuration.md`` writes them into the page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from attrs import NOTHING, Attribute, Factory, fields, has

from metrics_agent.config.agent import AgentSettings
from metrics_agent.config.faults import quote
from metrics_agent.config.setting import Spec, hints, spec_of
from metrics_agent.config.shapes import Shape
from metrics_agent.config.structure import type_shape

__all__ = ["agent_block", "modules_block", "refresh", "settings_table", "update"]

_EXAMPLE = re.compile(r' such as "[^"]*"( or a number of bytes)?')
_HEAD = ("| key | type | default | allowed | meaning |", "|---|---|---|---|---|")


def agent_block() -> str:
    """Return the table of the global keys."""
    return settings_table(AgentSettings)


def modules_block(classes: Iterable[tuple[str, type[Any]]]) -> str:
    """Return a section with a table for each module.

    Args:
        classes: names of modules with their settings classes, in the order wanted.
    """
    sections = [f"### `[modules.{name}]`\n\n{settings_table(cls)}" for name, cls in classes]
    return "\n\n".join(sections)


def settings_table(cls: type[Any]) -> str:
    """Return the table of one settings class, nested classes included, as Markdown."""
    return "\n".join((*_HEAD, *_rows(cls, "")))


def update(text: str, name: str, block: str) -> str:
    """Replace a generated block of a page, between its two marking comments.

    Raises:
        ValueError: the page has no such block.
    """
    start, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    before, found, rest = text.partition(start)
    _old, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"no block between {start} and {end}")
    return f"{before}{start}\n{block}\n{end}{after}"


def refresh(page: str) -> str:
    """Return the page with its generated blocks as the code has them now."""
    from metrics_agent.modules import BUILT_IN, find_kind

    kinds = [find_kind(name) for name in BUILT_IN]
    classes = [(kind.name, kind.settings) for kind in kinds if kind is not None]
    return update(update(page, "agent", agent_block()), "modules", modules_block(classes))


def _rows(cls: type[Any], prefix: str) -> Iterator[str]:
    types = hints(cls)
    for attribute in fields(cls):
        spec = spec_of(attribute)
        hint = types[attribute.name]
        named = get_args(hint) if get_origin(hint) is Literal else ()
        shape = type_shape(type(named[0]) if named else hint)
        cells = (
            f"`{prefix}{attribute.name}`",
            _type(shape),
            _default(attribute, shape),
            _allowed(spec, spec.choices or named, shape),
            spec.doc + (f" Example: `{_value(spec.example, shape)}`." if spec.example else ""),
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        for nested in _nested(hint):
            yield from _rows(nested, f"{prefix}{attribute.name}.")


def _nested(hint: Any) -> Iterator[type[Any]]:
    if isinstance(hint, type) and has(hint):
        yield hint
    for argument in get_args(hint):
        yield from _nested(argument)


def _type(shape: Shape) -> str:
    noun = "a secret" if shape.secret else _EXAMPLE.sub("", shape.noun)
    for article in ("a ", "an "):
        noun = noun.removeprefix(article).replace(f" or {article}", " or ")
    return noun


def _default(attribute: Attribute[Any], shape: Shape) -> str:
    default: Any = attribute.default
    if default is NOTHING:
        return "required"
    if isinstance(default, Factory):  # type: ignore[arg-type]  # the stubs call it a function
        default = default.factory()
    return "not set" if default is None else f"`{_value(default, shape)}`"


def _value(value: Any, shape: Shape) -> str:
    return quote(value) if isinstance(value, str) else shape.show(value)


def _allowed(spec: Spec, choices: tuple[object, ...], shape: Shape) -> str:
    parts = []
    if choices:
        parts.append(", ".join(f"`{_value(choice, shape)}`" for choice in choices))
    if spec.minimum is not None:
        parts.append(f"at least {shape.show(spec.minimum)}")
    if spec.maximum is not None:
        parts.append(f"at most {shape.show(spec.maximum)}")
    if spec.zero:
        parts.append(f"0: {spec.zero}")
    return "; ".join(parts)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(refresh(path.read_text(encoding="utf-8")), encoding="utf-8")
