"""The header ``Retry-After``: for how long a server wants to be left alone. Pure."""

from __future__ import annotations

from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["LONGEST_WAIT_S", "retry_after_s"]

LONGEST_WAIT_S: Final = 3600.0
"""A server that names more is asked again after this."""


def retry_after_s(text: str, now_s: float, date: str = "") -> float:
    """Return the seconds that a header names, 0 if it names none that can be read.

    Args:
        text: the header's value: seconds or a date.
        now_s: the wall clock, for a date.
        date: the header ``Date`` of the same answer: the time by the server's own clock, which
            counts where there is one, since ours may be wrong.
    """
    text = text.strip()
    if not text:
        return 0.0
    if text.isascii() and text.isdigit():
        seconds = float(text.lstrip("0")[:9] or 0)
    else:
        try:
            seconds = _time_s(text) - _time_of(date, now_s)
        except (ValueError, OverflowError):
            return 0.0
    return min(max(0.0, seconds), LONGEST_WAIT_S)


def _time_of(date: str, now_s: float) -> float:
    try:
        return _time_s(date)
    except (ValueError, OverflowError):
        return now_s


def _time_s(date: str) -> float:
    """Return seconds since the epoch; without a zone it is GMT (RFC 9110, 5.6.7)."""
    time = parsedate_to_datetime(date)
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
