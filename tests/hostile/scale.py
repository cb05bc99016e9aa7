"""How much of the attacks is run: a short form with the other tests, all of it on request."""

from __future__ import annotations

import os
from typing import Final, TypeVar

__all__ = ["ALL", "ATTACK_S", "VARIABLE", "count"]

VARIABLE: Final = "METRICS_AGENT_HOSTILE"
"""``all`` for the long form, which ``python -m tests.hostile --all`` sets."""

_T = TypeVar("_T", int, float)

ALL: Final = os.environ.get(VARIABLE) == "all"

ATTACK_S: Final = 60.0 if ALL else 3.0
"""How long an attack lasts that could go on without end."""


def count(whole: _T, short: _T) -> _T:
    """Return how many of something an attack uses."""
    return whole if ALL else short
