"""Seeds that once found a fault; the suite runs them again."""

from __future__ import annotations

from typing import Final

__all__ = ["SEEDS"]

SEEDS: Final[dict[int, str]] = {
    422978837: "two reloads close together ran two instances of a module",
    305647505: "bad lines that came together held up what followed for half a minute",
}
"""Seed, and what it finds where the fix of that fault is reverted.

A change of the simulation changes what a seed does: look for another seed with the mutant then.
"""
