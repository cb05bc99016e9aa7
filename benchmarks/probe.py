"""Programs that time pieces of the agent, each in a process of its own, run by a row.

A probe writes JSON: microseconds by the name of what was timed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Mapping

from benchmarks.bench import environment

__all__ = ["run_probe", "times", "write_times"]

REPEATS = 5


def run_probe(name: str) -> dict[str, float]:
    """Run a probe of this package and return what it has timed.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}"],
        capture_output=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment()},
    )
    if done.returncode:
        raise RuntimeError(f"the probe failed:\n{done.stderr.decode(errors='replace')}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def write_times(ways: Mapping[str, Callable[[], object]]) -> None:
    """Write what `times` finds."""
    json.dump(times(ways), sys.stdout)


def times(ways: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Time each way in turn by its CPU time, several times; returns the best of each."""
    timed = {name: timeit.Timer(way, timer=time.process_time) for name, way in ways.items()}
    loops = {name: max(1, timer.autorange()[0] // 4) for name, timer in timed.items()}
    best: dict[str, float] = {}
    for _ in range(REPEATS):
        for name, timer in timed.items():
            each_us = timer.timeit(loops[name]) / loops[name] * 1e6
            best[name] = min(best.get(name, each_us), each_us)
    return best
