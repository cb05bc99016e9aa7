"""A rate that one process can hold: no loss, nothing that grows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

from benchmarks.bench import Bench
from benchmarks.rows.base import Notebook, Row

__all__ = ["ROW"]

_DEVICES: Final = 500
_WANTED: Final = 40_000
_PACE: Final = 42_000.0
"""A little more than is wanted, so that what is handed on can reach it."""
_BACKLOG: Final = 20_000


def measure(bench: Bench, notebook: Notebook) -> None:
    """Send at a pace for a while, then as fast as the agent takes it."""
    name = bench.agent.name
    for repetition in range(bench.repeat(3)):
        bench.say(f"sustained: repetition {repetition + 1}")
        with bench.running(bench.agent, devices=_DEVICES) as running:
            running.send(running.load(bench.size(200, 100), backlog=_BACKLOG))
            paced = running.send(running.load(bench.size(1600, 320), rate=_PACE))
            full = running.send(running.load(bench.size(800, 200), backlog=_BACKLOG))
        found = paced.tally()
        notebook.add(
            f"handed on of {_PACE:,.0f} msg/s",
            name,
            paced.rate,
            "msg/s",
            target=_WANTED,
            floor=_WANTED,
            more_is_better=True,
        )
        notebook.add("lost", name, paced.sent.messages - found.distinct, target=0, floor=0)
        notebook.add("out of order", name, found.misplaced, target=0, floor=0)
        second, last = quarters(found.latencies_us)
        notebook.add(
            "delay in the last quarter more than in the second",
            name,
            (last - second) / 1000,
            "ms",
            target=50,
            floor=50,
        )
        growth = (paced.after.rss - paced.before.rss) / 1e6
        notebook.add("growth of RSS under load", name, growth, "MB", target=1, floor=1)
        notebook.add("CPU at that rate", name, 100 * paced.cpu_s / paced.seconds, "%")
        notebook.add(f"rate at full speed, at most {_BACKLOG:,} ahead", name, full.rate, "msg/s")
        if paced.sent.rate < _WANTED:
            notebook.note(
                f"Only {paced.sent.rate:,.0f} msg/s were sent in a repetition: the machine was "
                "busy with something else."
            )


def quarters(latencies_us: Sequence[float]) -> tuple[float, float]:
    """Return the median of the second and of the last quarter."""
    quarter = len(latencies_us) // 4
    second = latencies_us[quarter : 2 * quarter]
    last = latencies_us[-quarter:]
    return statistics.median(second), statistics.median(last)


ROW: Final = Row("sustained", "40,000 msg/s without loss or growth, one process", measure)
