"""Rendering templates of Home Assistant's discovery, without anything around it."""

from __future__ import annotations

from typing import Final

from benchmarks.bench import Bench
from benchmarks.probe import run_probe
from benchmarks.rows.base import Notebook, Row

__all__ = ["ROW"]

_TARGETS_US: Final = {"one entity, a path": 3, "message of 10 entities, Jinja2": 90}


def measure(bench: Bench, notebook: Notebook) -> None:
    """Time both tiers in a process of their own."""
    for repetition in range(bench.repeat(5)):
        bench.say(f"templates: repetition {repetition + 1}")
        for what, each_us in run_probe("templates_probe").items():
            target = _TARGETS_US.get(what)
            notebook.add(what, bench.agent.name, each_us, "us", target=target)


ROW: Final = Row("templates", "render templates", measure, needs_broker=False)
