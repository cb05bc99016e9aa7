"""How many series each device has: a database's memory grows with them, and so does ours.

A device that makes up a sensor, or a name, in each message is defective or hostile. Series beyond
the limit are refused; those that it had before go on.

What is counted is what the encoder writes for the first time for a `Series`. A module may make a
new `Series` of the same tags for each point, so the count remembers which it has seen: four bytes
of a hash for each, in one piece of memory a device. Two series that have these in common, one
in four billion, count as one. The hashes are seeded for each process, so a device cannot choose
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from metrics_agent.limits import COUNTED_SERIES_BYTES

__all__ = ["Cardinality"]

_MARK_BYTES: Final = 4
# A dictionary's slot, the number that is its key, and an empty bytearray.
_DEVICE_BYTES: Final = 220


class Cardinality:
    """Counts series by device, in memory that is bounded: when it is full all is forgotten.

    A device is known by its tags ``vendor`` and ``device``. Series without the latter count
    together, as those of one device.

    Args:
        limit: series a device; 0: no limit.

    Attributes:
        limit: may be changed.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._marks: dict[int, bytearray] = {}
        self._size_bytes = 0
        self._refused: set[int] = set()

    def admit(self, tags: Mapping[str, str], prefix: bytes) -> bool:
        """Say whether a series may be written; one that was seen before always may.

        Args:
            tags: of the series.
            prefix: what distinguishes it from others, encoded.
        """
        if not self.limit:
            return True
        device = _key(tags)
        mark = (hash(prefix) & 0xFFFF_FFFF).to_bytes(_MARK_BYTES, "little")
        marks = self._marks.get(device, b"")
        if mark in marks:
            return True
        if len(marks) >= self.limit * _MARK_BYTES:
            return False
        if self._size_bytes >= COUNTED_SERIES_BYTES:
            self._forget()
        self._add(device, mark)
        return True

    def knows(self, vendor: str | None, device: str) -> bool:
        """Say whether a device of that name has series, as far as that is remembered."""
        return hash((vendor, device)) in self._marks

    def is_first_refusal(self, tags: Mapping[str, str]) -> bool:
        """Say whether a refusal is the device's first, which is worth a line in the log."""
        device = _key(tags)
        if device in self._refused:
            return False
        self._refused.add(device)
        return True

    def _add(self, device: int, mark: bytes) -> None:
        marks = self._marks.get(device)
        if marks is None:
            marks = self._marks[device] = bytearray()
            self._size_bytes += _DEVICE_BYTES
        marks += mark
        self._size_bytes += _MARK_BYTES

    def _forget(self) -> None:
        self._marks.clear()
        self._refused.clear()
        self._size_bytes = 0


def _key(tags: Mapping[str, str]) -> int:
    return hash((tags.get("vendor"), tags.get("device")))
