"""Seeds that once found a fault; the suite runs them again."""

from __future__ import annotations

from typing import Final

__all__ = ["SEEDS"]

SEEDS: Final[dict[int, str]] = {}
"""Seed, and what it found."""
