"""Readings of the wall clock that never raise.

Python's ``time.time()`` raises OverflowError beyond the year 2262. Twisted's and Python's loggers
call it for each line, and where a log line raises, so does the code that wanted to log, up to the
reactor. So `use_safe_clock` replaces it once, for everything that runs in this process.
"""

from __future__ import annotations

import sys
import time
from typing import Final

__all__ = ["END_NS", "use_safe_clock", "wall_ns", "wall_s"]

END_NS: Final = 2**63 - 2
"""The last nanosecond that line protocol can carry, in April 2262."""

_time_ns = time.time_ns


def wall_ns() -> int:
    """Return the wall clock in nanoseconds since the epoch; `END_NS` if it is beyond its range."""
    try:
        return _time_ns()
    except OverflowError:
        return END_NS


def wall_s() -> float:
    """Return the wall clock in seconds since the epoch, as ``time.time()`` does; never raises."""
    return wall_ns() / 1e9


def use_safe_clock() -> None:
    """Make ``time.time`` and ``time.time_ns`` these functions; call it before importing Twisted."""
    time.time, time.time_ns = wall_s, wall_ns
    # twistd has imported its logger before us, and with it the name.
    logger = sys.modules.get("twisted.logger._logger")
    if logger is not None:
        logger.time = wall_s  # type: ignore[attr-defined]  # private
