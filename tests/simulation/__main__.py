"""Simulates new seeds for a time, or one seed again."""

from __future__ import annotations

import argparse
import gc
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import SystemRandom

from twisted.logger import globalLogBeginner

from tests.simulation.shrink import shrink
from tests.simulation.world import Violation, World

RUN_S = 60.0
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
    options = parser.parse_args()
    gc.freeze()  # each run collects its own garbage
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if options.seed is not None:
            return _repeat(options.seed, directory, options.without)
        clock = time.monotonic if options.cpu_seconds is None else time.process_time
        seconds = options.cpu_seconds or options.seconds
        return _search(seconds, clock, directory, options.without, first_only=options.first)


def _search(
    seconds: float,
    clock: Callable[[], float],
    directory: Path,
    without: Sequence[str],
    *,
    first_only: bool,
) -> int:
    first = SystemRandom().randrange(10**9)
    began_s = clock()
    episodes: Counter[str] = Counter()
    runs = messages = violations = 0
    simulated_s = 0.0
    while clock() - began_s < seconds:
        world = World(first + runs, directory, without)
        runs += 1
        try:
            world.run(RUN_S)
        except Violation as violation:
            violations += 1
            print(f"seed {world.seed}: {violation}", flush=True)
            if first_only:
                break
        episodes += world.episodes
        messages += len(world.ledger.sent)
        simulated_s += world.clock.now_s - 1000
    minutes = (clock() - began_s) / 60
    count = sum(episodes.values())
    print(
        f"{runs} runs from seed {first}: {count} fault episodes ({count / minutes:.0f} a minute), "
        f"{messages} messages, {simulated_s / 3600:.2f} simulated hours, {violations} violations"
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


sys.exit(main())
