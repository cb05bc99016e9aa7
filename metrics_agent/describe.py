"""The tables of docs/configuration.md, made from the settings classes.

``python -m metrics_agent.describe docs/configuration.md`` writes them into the page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from metrics_agent.config.agent import AgentSettings
from metrics_agent.config.declared import declared

__all__ = ["agent_block", "modules_block", "refresh", "settings_table", "update"]

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
    for each in declared(cls):
        default = each.default_text
        allowed = [", ".join(f"`{choice}`" for choice in each.choices), *each.limits]
        cells = (
            f"`{prefix}{each.name}`",
            each.type_name,
            default if each.default is None else f"`{default}`",
            "; ".join(filter(None, allowed)),
            each.doc + (f" Example: `{each.example}`." if each.example else ""),
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        for nested in each.inside:
            yield from _rows(nested, f"{prefix}{each.name}.")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(refresh(path.read_text(encoding="utf-8")), encoding="utf-8")
