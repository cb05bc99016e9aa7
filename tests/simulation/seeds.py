"""Seeds that once found a fault; the suite runs them again."""

from __future__ import annotations

from typing import Final

__all__ = ["SEEDS"]

SEEDS: Final[dict[int, str]] = {
    3: "QoS 0 that was set aside, lost when the broker said why it ended the connection",
}
"""Seed, and what it found."""
