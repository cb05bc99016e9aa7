"""Runs cases of a target, the same for the same seed, in portions that fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.oracle import Target

__all__ = ["explore"]

PORTION: Final = 2_000


def explore(
    target: Target,
    cases: int,
    first_seed: int,
    progress: Callable[[int], object] = bool,
) -> int:
    """Run at least so many cases; return how many it were.

    Args:
        target: what is fuzzed.
        cases: how many.
        first_seed: of the first portion; the next ones count on.
        progress: called after each portion.

    Raises:
        Exception: of the smallest case that failed, with the case in its notes.
    """
    done = 0
    portion_seed = first_seed
    while done < cases:
        done += _portion(target, min(PORTION, cases - done), portion_seed)
        portion_seed += 1
        progress(done)
    return done


def _portion(target: Target, cases: int, portion_seed: int) -> int:
    ran = 0

    @seed(portion_seed)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(target.cases)
    def each(case: Any) -> None:
        nonlocal ran
        ran += 1
        target.check(case)

    each()
    return max(ran, 1)
