"""What is known of one device."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from sys import getsizeof
from typing import TYPE_CHECKING, Final

from metrics_agent.devices.rhythm import FLOOR_S, Rhythm

if TYPE_CHECKING:
    from metrics_agent.devices.book import DeviceBook

__all__ = ["LONGEST_NAME", "Device", "KeptLine"]

DEVICE_BYTES: Final = 400
"""What a device takes beside its names."""
LONGEST_NAME: Final = 256
_NEVER_NS: Final = 0
_NOTHING_ANNOUNCED: Final = (0.0, 0.0)
_SHOWN: Final = 80


class KeptLine:
    """The last line of a series.

    Args:
        prefix: what begins it.

    Attributes:
        line: itself.
        room: bytes that it may have; they are accounted for.
    """

    __slots__ = ("line", "prefix", "room")

    line: bytes
    room: int

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix


_NO_LINES: Final[dict[bytes, KeptLine]] = {}


class Device:
    """A device, as its points name it; in some 400 bytes.

    Attributes:
        book: where it belongs; None once that has forgotten it.
        name: the tag `device`.
        vendor: the tag of that name, empty for none.
        friendly: likewise.
        heard_ns: marks its last message; written for each line, see `DeviceBook`.
        noted_ns: the one that the last sweep has seen.
        heard_s: when it was last heard, on the clock of the sweeps; may lie before its start;
            minus infinity if it never was.
        listened_s: the same on the clock of the module, see `listening`.
        overdue_at_s: when it is overdue, on that clock.
        learned: how often it sends, see `Rhythm.packed`.
        announced_s: the shortest silence that may be too long and the longest that is not, as it
            has announced them; zeros for none.
        online: what its last will or its availability says; None if nothing does.
        is_stale: it is overdue.
    """

    __slots__ = (
        *("book", "name", "vendor", "friendly", "heard_ns", "noted_ns", "heard_s", "listened_s"),
        *("overdue_at_s", "learned", "announced_s", "online", "is_stale", "_lines"),
    )

    def __init__(self, name: str, book: DeviceBook | None) -> None:
        self.book = book
        self.name = name
        self.vendor = ""
        self.friendly = ""
        self.heard_ns = self.noted_ns = _NEVER_NS
        self.heard_s = -inf
        self.listened_s = 0.0
        self.overdue_at_s = inf
        self.learned = b""
        self.announced_s = _NOTHING_ANNOUNCED
        self.online: bool | None = None
        self.is_stale = False
        # Most devices have one series: a dictionary for it would take more than its line.
        self._lines: KeptLine | dict[bytes, KeptLine] = _NO_LINES

    @property
    def lines(self) -> list[KeptLine]:
        """Its last line of each series; none while they are not kept."""
        lines = self._lines
        return [lines] if isinstance(lines, KeptLine) else [*lines.values()]

    def line_of(self, prefix: bytes) -> KeptLine | None:
        """Return the last line of a series, by what begins it; None if there is none yet."""
        lines = self._lines
        if isinstance(lines, KeptLine):
            return lines if lines.prefix == prefix else None
        return lines.get(prefix)

    def add_line(self, kept: KeptLine) -> None:
        """Add the first line of a series."""
        lines = self._lines
        if isinstance(lines, KeptLine):
            self._lines = {lines.prefix: lines, kept.prefix: kept}
        elif lines:
            lines[kept.prefix] = kept
        else:
            self._lines = kept

    @property
    def rhythm(self) -> Rhythm:
        """How often it sends: a copy."""
        return Rhythm(self.learned)

    def overdue_s(self, rhythm: Rhythm) -> float:
        """Return the silence after which it is overdue; 0 if it never is.

        What it has announced counts before what was learned.

        Args:
            rhythm: its own.
        """
        shortest_s, longest_s = self.announced_s
        overdue_s = rhythm.overdue_s or longest_s
        return max(FLOOR_S, shortest_s, overdue_s) if overdue_s else 0.0

    def schedule(self, rhythm: Rhythm | None = None) -> None:
        """Set when it is overdue.

        Never if it has not been heard, or is known to be offline, or overdue already.
        """
        self.overdue_at_s = inf
        if self.heard_s > -inf and not self.is_stale and self.online is not False:
            overdue_s = self.overdue_s(rhythm or self.rhythm)
            if overdue_s:
                self.overdue_at_s = self.listened_s + overdue_s

    def take_names(self, tags: Mapping[str, str]) -> None:
        """Take the names that a series has; those of a part of it only where it has none."""
        is_part = "channel" in tags or "sensor" in tags
        vendor = (tags.get("vendor") or "")[:LONGEST_NAME]
        friendly = (tags.get("friendly") or "")[:LONGEST_NAME]
        if not is_part or not self.vendor:
            self.vendor = vendor
        if not is_part or not self.friendly:
            self.friendly = friendly

    @property
    def size_bytes(self) -> int:
        """The memory that it takes, without its lines."""
        return DEVICE_BYTES + sum(map(getsizeof, (self.name, self.vendor, self.friendly)))

    def describe(self) -> str:
        """Name it for a log line; bounded."""
        name = f"{self.name:.{_SHOWN}}"
        return f"{self.friendly:.{_SHOWN}} ({name})" if self.friendly else name
