"""Home Assistant's functions of time, without those that ask a clock.

Its time zone is the one of this process: an agent beside Home Assistant has the same.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, Final

from metrics_agent.modules.hadiscovery.templates.faults import TemplateError
from metrics_agent.modules.hadiscovery.templates.plain import NO_DEFAULT, refuse

__all__ = [
    "as_datetime",
    "as_local",
    "as_timestamp",
    "parse_datetime",
    "strftime",
    "timestamp_custom",
    "timestamp_local",
    "timestamp_utc",
]

_MAX_FORMAT: Final = 100
_FORMAT: Final = re.compile(r"(?:[^%]|%[A-Za-z%])*")  # a width would be the C library's
_ISO: Final = re.compile(
    r"(?P<year>\d{4})-?(?P<month>\d{2})-?(?P<day>\d{2})"
    r"(?:[T ](?P<hour>\d{1,2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2})"
    r"(?:[.,](?P<fraction>\d{1,6})\d*)?)?)?)?"
    r"(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?",
    re.ASCII,
)


def parse_datetime(text: Any) -> datetime:
    """Read a time in ISO 8601; without a zone it is naive.

    Raises:
        ValueError: it is none.
        TypeError: it is no text.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError("not a time in ISO 8601")
    zone = match["zone"]
    offset: timezone | None = None
    if zone == "Z":
        offset = timezone.utc
    elif zone:
        minutes = int(zone[1:3]) * 60 + int(zone[3:].lstrip(":") or 0)
        offset = timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes))
        if not minutes:
            offset = timezone.utc
    return datetime(
        int(match["year"]),
        int(match["month"]),
        int(match["day"]),
        int(match["hour"] or 0),
        int(match["minute"] or 0),
        int(match["second"] or 0),
        int((match["fraction"] or "").ljust(6, "0")),
        offset,
    )


def _utc(timestamp: Any) -> datetime:
    return datetime.fromtimestamp(timestamp, timezone.utc)


def as_local(value: datetime) -> datetime:
    """Return the time in the time zone of this process."""
    return value.astimezone()


def as_datetime(value: Any, default: Any = NO_DEFAULT) -> Any:
    """Return the time of a text or of seconds since 1970."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time(0, 0, 0))
    try:
        return _utc(float(value))
    except (ValueError, TypeError):
        try:
            return parse_datetime(value)
        except (ValueError, TypeError):
            if default is NO_DEFAULT and isinstance(value, str):
                return None
            return refuse("as_datetime", value, default)


def as_timestamp(value: Any, default: Any = NO_DEFAULT) -> Any:
    """Return the seconds since 1970 of a time."""
    try:
        when = value if isinstance(value, datetime) else parse_datetime(value)
        return when.timestamp()
    except (ValueError, TypeError):
        return refuse("as_timestamp", value, default)


def timestamp_utc(value: Any, default: Any = NO_DEFAULT) -> Any:
    """Return seconds since 1970 as a text in ISO 8601, in UTC."""
    try:
        return _utc(value).isoformat()
    except (ValueError, TypeError):
        return refuse("timestamp_utc", value, default)


def timestamp_local(value: Any, default: Any = NO_DEFAULT) -> Any:
    """Return seconds since 1970 as a text in ISO 8601."""
    try:
        return as_local(_utc(value)).isoformat()
    except (ValueError, TypeError):
        return refuse("timestamp_local", value, default)


def timestamp_custom(
    value: Any,
    date_format: str = "%Y-%m-%d %H:%M:%S",
    local: Any = True,
    default: Any = NO_DEFAULT,
) -> Any:
    """Return seconds since 1970 in a format of strftime."""
    try:
        when = _utc(value)
        return strftime(as_local(when) if local else when, date_format)
    except (ValueError, TypeError):
        return refuse("timestamp_custom", value, default)


def strftime(when: datetime, date_format: Any) -> str:
    """Return a time in a format without widths."""
    if len(date_format) > _MAX_FORMAT or _FORMAT.fullmatch(date_format) is None:
        raise TemplateError("it has a date format that is not allowed")
    return when.strftime(date_format)
