"""What an agent costs whose devices say nothing."""

from __future__ import annotations

from typing import Final

from benchmarks.bench import Bench
from benchmarks.rows.base import Notebook, Row

__all__ = ["ROW"]

_DEVICES: Final = 10_000
_SETTLE_S: Final = 3.0


def measure(bench: Bench, notebook: Notebook) -> None:
    """Make 10,000 devices known, then be silent."""
    name = bench.agent.name
    seconds = bench.size(60.0, 10.0)
    for repetition in range(bench.repeat(2)):
        bench.say(f"idle: repetition {repetition + 1}, {seconds:.0f} s")
        with bench.running(bench.agent, devices=_DEVICES) as running:
            running.collector.drain(_SETTLE_S)
            share, wakeups = running.idle(seconds)
            devices = f"{_DEVICES:,} silent devices"
            notebook.add(f"CPU with {devices}", name, 100 * share, "%", target=0.05)
            notebook.add(f"wake-ups a second with {devices}", name, wakeups, target=2)


ROW: Final = Row("idle", "CPU and wake-ups with 10,000 silent devices", measure)
