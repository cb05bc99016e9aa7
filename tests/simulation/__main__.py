"""Simulates new seeds for a time, or one seed again."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.simulation.faults import KINDS
from tests.simulation.search import RUN_S, Found, Search, begin
from tests.simulation.shrink import shrink
from tests.simulation.states import STATES
from tests.simulation.world import Violation, World

_NUMBERS = re.compile(r"[0-9.]+")


def main() -> int:
    """Run from the command line."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="simulate this one, and show what led to it")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to try new seeds")
    parser.add_argument("--cpu-seconds", type=float, help="the same in processor time")
    parser.add_argument("--first", action="store_true", help="end at the first violation")
    parser.add_argument("--without", action="append", default=[], metavar="KIND")
    parser.add_argument("--jobs", type=int, default=1, help="processes that try new seeds")
    parser.add_argument("--pairs", action="store_true", help="list what was hit in which state")
    options = parser.parse_args()
    if options.seed is not None:
        begin()
        with tempfile.TemporaryDirectory() as name:
            return _repeat(options.seed, Path(name), options.without)
    search = Search(
        options.cpu_seconds or options.seconds,
        in_cpu_time=options.cpu_seconds is not None,
        without=options.without,
        first_only=options.first,
    )
    if options.jobs == 1:
        found = [search.run()]
    else:
        # Not forked: each has an interpreter of its own.
        with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
            jobs = [pool.submit(search.run) for _ in range(options.jobs)]
            found = [job.result() for job in jobs]
    return _report(found, list_pairs=options.pairs)


def _report(found: Sequence[Found], *, list_pairs: bool) -> int:
    """Print what became of all runs; return the exit status."""
    pairs: Counter[tuple[str, str]] = Counter()
    for each in found:
        pairs += each.pairs
    possible = [(kind, state) for kind in KINDS for state in STATES]
    if list_pairs:
        for kind, state in possible:
            print(f"{pairs[kind, state]:6} {kind}, {state}")
    episodes = sum(each.episodes for each in found)
    minutes = max(each.seconds for each in found) / 60
    violations = sum(each.violations for each in found)
    print(
        f"{sum(each.runs for each in found)} runs from seed "
        f"{' and '.join(str(each.first) for each in found)}: "
        f"{episodes} fault episodes ({episodes / minutes:.0f} a minute), "
        f"{sum(each.messages for each in found)} messages, "
        f"{sum(each.simulated_s for each in found) / 3600:.2f} simulated hours, "
        f"{len(pairs)} of {len(possible)} pairs of fault and state, {violations} violations"
    )
    return 1 if violations else 0


def _repeat(seed: int, directory: Path, without: Sequence[str]) -> int:
    world = World(seed, directory, without)
    try:
        world.run(RUN_S)
    except Violation as violation:
        found = _NUMBERS.sub("#", str(violation))
    else:
        print(f"seed {seed}: nothing")
        return 0

    def fails(numbers: Sequence[int]) -> bool:
        nonlocal world
        again = World(seed, directory, without, numbers)
        try:
            again.run(RUN_S)
        except Violation as violation:
            if _NUMBERS.sub("#", str(violation)) == found:
                world = again
                return True
        return False

    needed = shrink([number for number, _time_s, _kind in world.plan], fails)
    print("\n".join(world.trace))
    print(f"seed {seed}: {world.violations[0]}")
    kinds = ", ".join(f"{number} {kind}" for number, _time_s, kind in world.plan)
    print(f"needed of its faults: {len(needed)}, {kinds}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
