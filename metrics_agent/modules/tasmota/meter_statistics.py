"""Keys of smart meters that are left out on purpose: statistics and limits, not present readings.

They repeat what a database computes from the readings, or what the meter is set to. The log names
them with a reason of their own, and ``[modules.tasmota.meters.NAME]`` can map each of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from metrics_agent.limits import TASMOTA_NAME_CHARS

__all__ = ["KINDS", "is_statistic"]

_BEGINS = r"(?:^|[^A-Za-z])"
# Of an OBIS code: 2 and 6 are maxima, 3 minima, 4 and 5 averages or limits (IEC 62056-61, group D).
_CODE = r"(?:[0-9]{1,3}-[0-9]{1,3}:)?[1-9][0-9]{0,2}[._-]"

KINDS: Final[Mapping[str, str]] = {
    "sums of 1, 7, 30 or 365 days": r"[^0-9](?:1|7|30|365)[ _-]?(?:d|days?|tage?)$",
    "averages": rf"{_BEGINS}(?:avg|average|mean|mittel)|(?:avg|average)$",
    "maxima and minima": rf"{_BEGINS}(?:max|min|peak)(?:$|[^a-z]|imum)|(?-i:(?:Max|Min)[A-Z])",
    "averages and extremes by their code": rf"^{_CODE}[2-6][._-][0-9]{{1,3}}(?:\*[0-9]{{1,3}})?$",
    "limits": rf"{_BEGINS}(?:limit|threshold)",
    "counters since a reset": rf"{_BEGINS}(?:reset|partial|par)(?:$|[^a-z])",
    "values of a date that has passed": (
        r"stichtag|T[1-4]-[1-9]$|^[0-9:-]+[._-][0-9]{1,2}[._-][0-9]{1,3}\*[0-9]"
    ),
}
"""Kind -> the expression that finds its keys, in any case of letters."""

_ANY = re.compile("|".join(KINDS.values()), re.IGNORECASE)


def is_statistic(key: str) -> bool:
    """Say whether a key names a statistic or a limit."""
    return len(key) <= TASMOTA_NAME_CHARS and _is_statistic(key)


# A device sends the same keys each time.
@lru_cache(maxsize=256)
def _is_statistic(key: str) -> bool:
    return _ANY.search(key) is not None
