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
_ZONE: Final = r"(?P<zone>[Zz]|[+-]\d{2}(?::?\d{2})?)?"
_ISO: Final = (
    re.compile(
        r"(?P<year>\d{4})-(?:(?P<month>\d{2})(?:-(?P<day>\d{2}))?"
        r"|W(?P<week>\d{2})(?:-(?P<weekday>\d))?|(?P<ordinal>\d{3}))"
        r"(?:[Tt ](?P<hour>\d{2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})"
        rf"(?:[.,](?P<fraction>\d+))?)?)?{_ZONE})?",
        re.ASCII,
    ),
    re.compile(
        r"(?P<year>\d{4})(?:(?P<month>\d{2})(?P<day>\d{2})"
        r"|W(?P<week>\d{2})(?P<weekday>\d)?|(?P<ordinal>\d{3}))"
        r"(?:[Tt ](?P<hour>\d{2})(?:(?P<minute>\d{2})(?:(?P<second>\d{2})"
        rf"(?:[.,](?P<fraction>\d+))?)?)?{_ZONE})?",
        re.ASCII,
    ),
)
"""With marks between the parts, and without."""
_LENIENT: Final = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    r"[T ](?P<hour>\d{1,2}):(?P<minute>\d{1,2})"
    r"(?::(?P<second>\d{1,2})(?:\.(?P<fraction>\d{1,12}))?)?"
    r"(?P<zone>Z|[+-]\d{2}(?::?\d{2}(?::?\d{2})?)?)?",
    re.ASCII,
)
"""What is taken besides."""
_MIDNIGHT: Final = 24


def parse_datetime(text: Any) -> datetime:
    """Read a time as Home Assistant does: ISO 8601, and a little more; without a zone it is naive.

    Raises:
        ValueError: it is none.
        TypeError: it is no text.
    """
    for form in _ISO:
        match = form.fullmatch(text)
        if match is not None:
            try:
                return _of_iso(match)
            except ValueError:
                break
    match = _LENIENT.fullmatch(text)
    if match is None:
        raise ValueError("not a time in ISO 8601")
    day = date(int(match["year"]), int(match["month"]), int(match["day"]))
    return datetime.combine(day, _clock(match, int(match["hour"])))


def _of_iso(match: re.Match[str]) -> datetime:
    year, hour = int(match["year"]), int(match["hour"] or 0)
    if match["week"]:
        day = date.fromisocalendar(year, int(match["week"]), int(match["weekday"] or 1))
    elif match["ordinal"]:
        number = int(match["ordinal"])
        day = date(year, 1, 1) + timedelta(days=number - 1)
        if day.year != year:
            raise ValueError("no such day of the year")
    else:
        day = date(year, int(match["month"]), int(match["day"] or 1))
    if hour != _MIDNIGHT:
        return datetime.combine(day, _clock(match, hour))
    clock = _clock(match, 0)
    if clock.replace(tzinfo=None) != time(0, 0, 0):
        raise ValueError("a time after midnight at the end of the day")
    return datetime.combine(day, clock) + timedelta(days=1)


def _clock(match: re.Match[str], hour: int) -> time:
    micros = int((match["fraction"] or "").ljust(6, "0")[:6])
    zone = _zone(match["zone"])
    return time(hour, int(match["minute"] or 0), int(match["second"] or 0), micros, zone)


def _zone(zone: str | None) -> timezone | None:
    if zone is None:
        return None
    digits = zone[1:].replace(":", "")
    if not digits.strip("0"):
        return timezone.utc
    offset = timedelta(
        hours=int(digits[:2]), minutes=int(digits[2:4] or 0), seconds=int(digits[4:] or 0)
    )
    return timezone(-offset if zone[0] == "-" else offset)


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
