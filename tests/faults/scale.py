"""How much of the faults of a database is run: a short form with the other tests, or all of it."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["ALL", "VARIABLE", "count"]

VARIABLE: Final = "METRICS_AGENT_DATABASES"
"""``all`` for every row, with outages as long as the issue's and ten times the messages."""

ALL: Final = os.environ.get(VARIABLE) == "all"


def count(whole: float, short: float) -> float:
    """Return how much of something a row uses."""
    return whole if ALL else short
