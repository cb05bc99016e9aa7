"""Rendering templates of Home Assistant's discovery, alone and in its module."""

from __future__ import annotations

from typing import Final

from benchmarks.bench import Bench
from benchmarks.probe import run_probe
from benchmarks.rows.base import Notebook, Row

__all__ = ["ROW"]

_TARGETS: Final = {
    "one entity, a path": 3,
    "message of 10 entities, Jinja2": 90,
    "module, message of 10 entities, paths": 30,
    "module, message of 10 entities, Jinja2": 90,
    "module, an entity": 2000,
}
_BYTES: Final = "module, an entity"


def measure(bench: Bench, notebook: Notebook) -> None:
    """Time both tiers in a process of their own."""
    for repetition in range(bench.repeat(5)):
        bench.say(f"templates: repetition {repetition + 1}")
        for what, found in run_probe("templates_probe").items():
            unit = "B" if what == _BYTES else "us"
            notebook.add(what, bench.agent.name, found, unit, target=_TARGETS.get(what))


ROW: Final = Row("templates", "render templates", measure, needs_broker=False)
