"""Writing one line, without anything around it."""

from __future__ import annotations

from typing import Final

from benchmarks.bench import Bench
from benchmarks.probe import run_probe
from benchmarks.rows.base import Notebook, Row

__all__ = ["ROW"]

_WHAT: Final = "one line of 5 floats, known device"


def measure(bench: Bench, notebook: Notebook) -> None:
    """Time the encoders in a process of their own."""
    name = bench.agent.name
    for repetition in range(bench.repeat(5)):
        bench.say(f"encoding: repetition {repetition + 1}")
        found = run_probe("encoding_probe")
        for subject, each_us in found.items():
            notebook.add(_WHAT, subject, each_us, "us", target=1.5 if subject == name else None)
        if "influxdb-client" not in found:
            notebook.note("influxdb-client was left out: it is not installed.")
    notebook.ratio(
        "faster than Point",
        (_WHAT, "influxdb-client"),
        (_WHAT, name),
        target=8,
        more_is_better=True,
    )
    notebook.ratio("faster than a sorted loop", (_WHAT, "sorted loop"), (_WHAT, name))


ROW: Final = Row("encoding", "encode one line", measure, needs_broker=False)
