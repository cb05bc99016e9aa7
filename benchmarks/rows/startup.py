"""The time from exec to the first metric."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench, environment, scratch
from benchmarks.child import Child
from benchmarks.rows.base import Notebook, Row
from benchmarks.subjects.agent import demo_config

__all__ = ["ROW"]

_MARK: Final = "import os\nos.write(1, b'ready')\nos.read(0, 1)"
_REACTOR: Final = "bare import of the reactor"
_FIRST: Final = "first metric of the module demo"


def measure(bench: Bench, notebook: Notebook) -> None:
    """Start each in turn, again and again; the first time of all warms the disk."""
    agent = bench.agent
    with scratch() as directory:
        config = demo_config(directory)
        commands = {
            (_REACTOR, ""): [sys.executable, "-c", f"import twisted.internet.reactor\n{_MARK}"],
            (_FIRST, agent.name): [*agent.argv, "run", "-c", str(config)],
            ("--version", agent.name): [*agent.argv, "--version"],
            ("bare Python", ""): [sys.executable, "-c", _MARK],
        }
        for command in commands.values():
            first_output_s(command, directory)
        for repetition in range(bench.repeat(15)):
            bench.say(f"startup: repetition {repetition + 1}")
            for (what, subject), command in commands.items():
                elapsed_s, cpu_s = first_output_s(command, directory)
                target = 0.1 if what == "--version" else None
                notebook.add(what, subject, elapsed_s, "s", target=target)
                notebook.add(f"CPU, {what}", subject, cpu_s, "s")
    ours, theirs = (_FIRST, agent.name), (_REACTOR, "")
    notebook.ratio("first metric against the bare import", ours, theirs, target=1.3)
    ours, theirs = (f"CPU, {_FIRST}", agent.name), (f"CPU, {_REACTOR}", "")
    notebook.ratio("first metric against the bare import, CPU", ours, theirs)


def first_output_s(command: Sequence[str], directory: Path) -> tuple[float, float]:
    """Start a command; return the time to its first byte on stdout, and its CPU time until then.

    Raises:
        RuntimeError: it ended without writing anything.
    """
    with Child(command, directory, environment()) as child:
        assert child.process.stdout is not None
        first = child.process.stdout.read(1)
        elapsed_s = (time.monotonic_ns() - child.started_ns) / 1e9
        if not first:
            raise child.explain("nothing came on stdout")
        # Also of one that has ended: its clock stays until it is waited for.
        return elapsed_s, child.cpu_s


ROW: Final = Row("startup", "first metric after exec, and --version", measure, needs_broker=False)
