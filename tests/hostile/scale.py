"""How much of the attacks is run: a short form with the other tests, all of it on request."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["ALL", "ATTACK_S", "VARIABLE", "count"]

VARIABLE: Final = "METRICS_AGENT_HOSTILE"
"""``all`` for the long form, which ``python -m tests.hostile --all`` sets."""

ALL: Final = os.environ.get(VARIABLE) == "all"

ATTACK_S: Final = 60.0 if ALL else 3.0
"""How long an attack lasts that could go on without end."""


def count(whole: int, short: int) -> int:
    """Return how many of something an attack uses."""
    return whole if ALL else short
