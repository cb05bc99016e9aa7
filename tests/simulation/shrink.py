"""Finds which faults of a run are needed for its violation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["shrink"]


def shrink(numbers: Sequence[int], fails: Callable[[Sequence[int]], bool]) -> list[int]:
    """Return as few of the numbers as still fail, by leaving out ever smaller pieces.

    Args:
        numbers: which fail together.
        fails: says whether some of them still do.
    """
    kept = list(numbers)
    size = max(1, len(kept) // 2)
    while True:
        start = 0
        while start < len(kept):
            fewer = kept[:start] + kept[start + size :]
            if fails(fewer):
                kept = fewer
            else:
                start += size
        if size == 1:
            return kept
        size = max(1, size // 2)
