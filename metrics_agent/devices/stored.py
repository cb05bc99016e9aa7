"""What is kept of devices over a restart: a row of JSON for each, read back with mistrust.

A row is as short as it can be, since the file is written to an SD card: numbers without names, in
the order below. Whoever can write the file can do no more than make devices known or unknown.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator
from math import inf, isfinite
from typing import Final

from metrics_agent.devices.book import DeviceBook
from metrics_agent.devices.device import LONGEST_NAME, Device
from metrics_agent.devices.rhythm import MOST_STRIKES
from metrics_agent.limits import STATE_FILE_BYTES

__all__ = ["restore", "rows", "whole"]

_VERSION: Final = 1
_LONGEST_S: Final = 10 * 365 * 24 * 3600.0
_ROWS_A_TURN: Final = 200
_STALE: Final = 1
_OFFLINE: Final = 2
_REGULAR: Final = 4
_LEARNED: Final = ("interval_s", "support_s", "total_s", "clean_s", "long_ago_s")
_NUMBERS: Final = 4 + len(_LEARNED)
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def rows(book: DeviceBook, now_s: float, now_ns: int) -> Iterator[bytes]:
    """Yield the rows of all devices that were heard, the latest first.

    Args:
        book: theirs; may change while this is used.
        now_s: the monotonic clock of its sweeps.
        now_ns: the wall clock.
    """
    for device in sorted(book.devices.values(), key=lambda each: -each.heard_s):
        if device.heard_s == -inf:
            return
        yield _encode(_row(device, book.listened_s, now_s, now_ns)).encode("ascii")


def whole(some_rows: Iterable[bytes]) -> bytes:
    """Return the content of the file: as many rows as it may have."""
    kept = []
    size_bytes = 100
    for row in some_rows:
        size_bytes += len(row) + 1
        if size_bytes > STATE_FILE_BYTES:
            break
        kept.append(row)
    return b'{"version":%d,"devices":[%b]}' % (_VERSION, b",".join(kept))


def restore(
    book: DeviceBook, document: object, now_s: float, now_ns: int
) -> Generator[None, None, int]:
    """Make known what was kept; yields where other work may be done.

    Devices that were heard since then stay as they are, but for what they had learned.

    Returns:
        How many rows could not be used.
    """
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        return int(document is not None)
    found = document.get("devices")
    if not isinstance(found, list):
        return 1
    faults = 0
    for number, row in enumerate(found, 1):
        faults += not _restore_one(book, row, now_s, now_ns)
        if not number % _ROWS_A_TURN:
            yield
    return faults


def _row(device: Device, listened_s: float, now_s: float, now_ns: int) -> list[object]:
    rhythm = device.rhythm
    flags = (
        _STALE * device.is_stale
        + _OFFLINE * (device.online is False)
        + _REGULAR * rhythm.is_regular
    )
    heard_at_s = now_ns / 1e9 - (now_s - device.heard_s)
    numbers = [heard_at_s, listened_s - device.listened_s, flags, rhythm.strikes]
    numbers += [getattr(rhythm, name) for name in _LEARNED]
    return [device.name, device.vendor, device.friendly, *(round(each) for each in numbers)]


def _restore_one(book: DeviceBook, row: object, now_s: float, now_ns: int) -> bool:
    if not isinstance(row, list) or len(row) != 3 + _NUMBERS:
        return False
    names, numbers = row[:3], row[3:]
    if not all(isinstance(each, str) and len(each) <= LONGEST_NAME for each in names):
        return False
    if not all(_is_number(each) for each in numbers) or not names[0]:
        return False
    heard_at_s, silent_s, flags, strikes, *learned = numbers
    if silent_s > _LONGEST_S or max(learned) > _LONGEST_S or strikes > MOST_STRIKES:
        return False
    device = book.restore(*names)
    if device is None:
        return True
    if device.heard_s == -inf and not device.heard_ns:
        # A wall clock that is not set yet says that it was heard in the future.
        ago_s = min(max(now_ns / 1e9 - heard_at_s, silent_s), _LONGEST_S)
        device.heard_s = now_s - ago_s
        device.listened_s = book.listened_s - silent_s
    device.is_stale = bool(int(flags) & _STALE)
    if device.online is None and int(flags) & _OFFLINE:
        device.online = False
    rhythm = device.rhythm
    rhythm.strikes = int(strikes)
    for name, value in zip(_LEARNED, learned, strict=True):
        setattr(rhythm, name, float(value))
    rhythm.is_regular = bool(int(flags) & _REGULAR) and rhythm.interval_s > 0
    device.learned = rhythm.packed()
    device.schedule()
    return True


def _is_number(value: object) -> bool:
    # JSON has numbers of any size.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value < 2**53 and isfinite(value)
