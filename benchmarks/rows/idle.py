"""What an agent costs whose devices say nothing."""

from __future__ import annotations

import time
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
            wakeups = running.child.wakeups
            cpu_s, started_s = running.child.cpu_s, time.monotonic()
            while time.monotonic() < started_s + seconds:
                running.collector.read(1.0)
            used_s = running.child.cpu_s - cpu_s
            passed_s = time.monotonic() - started_s
            each_s = (running.child.wakeups - wakeups) / passed_s
            devices = f"{_DEVICES:,} silent devices"
            notebook.add(f"CPU with {devices}", name, 100 * used_s / passed_s, "%", target=0.05)
            notebook.add(f"wake-ups a second with {devices}", name, each_s, target=2)


ROW: Final = Row("idle", "CPU and wake-ups with 10,000 silent devices", measure)
