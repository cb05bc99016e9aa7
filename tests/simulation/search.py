"""Tries new seeds for a time."""

from __future__ import annotations

import gc
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom
from typing import Final

from attrs import Factory, define, frozen
from twisted.logger import globalLogBeginner

from tests.simulation.world import Violation, World

__all__ = ["RUN_S", "Found", "Search", "begin"]

RUN_S: Final = 60.0
"""How long a run lasts in simulated time, until all is healed."""


def begin() -> None:
    """Prepare this process: the log goes only into the trace of each run."""
    gc.freeze()  # each run collects its own garbage
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)


@define
class Found:
    """The results of some runs."""

    first: int
    runs: int = 0
    messages: int = 0
    simulated_s: float = 0.0
    seconds: float = 0.0
    violations: int = 0
    episodes: int = 0
    pairs: Counter[tuple[str, str]] = Factory(Counter)


@frozen
class Search:
    """Tries new seeds for a time.

    Attributes:
        seconds: for so long.
        in_cpu_time: in processor time.
        without: kinds of faults that do not happen.
        first_only: end at the first violation.
    """

    seconds: float
    in_cpu_time: bool
    without: Sequence[str]
    first_only: bool

    def run(self) -> Found:
        """Try them, and print each violation."""
        begin()
        with tempfile.TemporaryDirectory() as name:
            return self._run(Path(name))

    def _run(self, directory: Path) -> Found:
        clock = time.process_time if self.in_cpu_time else time.monotonic
        found = Found(SystemRandom().randrange(10**9))
        print(f"new seeds from {found.first}", flush=True)
        began_s = clock()
        while clock() - began_s < self.seconds:
            world = World(found.first + found.runs, directory, self.without)
            found.runs += 1
            try:
                world.run(RUN_S)
            except Violation as violation:
                found.violations += 1
                print(f"seed {world.seed}: {violation}", flush=True)
                without = "".join(f" --without {kind}" for kind in self.without)
                print(f"  python -m tests.simulation --seed {world.seed}{without}", flush=True)
                if self.first_only:
                    break
            found.episodes += sum(world.episodes.values())
            found.pairs += world.pairs
            found.messages += len(world.ledger.sent)
            found.simulated_s += world.clock.now_s - 1000
        found.seconds = clock() - began_s
        return found
