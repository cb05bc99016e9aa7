"""How often a device sends, learned from the gaps between its messages.

Theory of operation. Three kinds of devices have to be distinguished. One that sends at a fixed
interval is overdue when three messages in a row are missing. One that sends on events as well has
shorter gaps too, and the interval is the edge that none exceeds. One that sends on events alone is
never overdue, however long it sends nothing.

What distinguishes them is where their *time* goes, not their messages: a device with an interval
spends most of its time in gaps of that length, whereas a third of a motion detector's day is the
night, though that is one gap in a hundred. So each gap counts by its length, and

* the interval is that of three gaps in a row that are alike: of events that is rare, and two lost
  messages in a row do not make it. A shorter one replaces it only after days without a long gap;
* half of the time has to be in such gaps, and nearly all while there are few. Of events at random
  it is a fifth at most;
* a device is watched once it has gone a day, and six intervals, without a gap in which it would
  have been overdue. What depends on people or the sun shows within a day; where the interval is
  longer than two hours it takes a week, since people use a switch at the same hours each workday.

A device that was overdue and is back is watched as before. If that happens three times, it counts
as one that sends on events until it has kept its interval for a week.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

__all__ = ["FLOOR_S", "MISSED", "MOST_STRIKES", "Rhythm"]

MISSED: Final = 3.25
"""Intervals after which a device is overdue: three messages are missing, and the last of them is
later than it ever was."""
FLOOR_S: Final = 60.0
"""No device is overdue sooner: a reboot, or a Wi-Fi that connects again, takes half of it."""
_FASTEST_S: Final = FLOOR_S / MISSED
_ALL_ALIKE_S: Final = 1.001 * _FASTEST_S
"""More than it can be after it was packed."""
_ALIKE: Final = 0.12
"""The part by which gaps of one interval differ at most."""
_RUN: Final = 3
_DAY_S: Final = 24 * 3600.0
_PROOF_GAPS: Final = 6
_OFTEN_S: Final = 2 * 3600.0
_RARE_PROOF_S: Final = 8 * _DAY_S
_RARE_SHARE: Final = 0.6
_SHARE: Final = 0.45
_KEPT_SHARE: Final = 0.35
_MOST_GAPS: Final = 100
"""The share is that of so many intervals, or of two days."""
MOST_STRIKES: Final = 3
_WEEK_S: Final = 7 * _DAY_S
_STRIKE_GAPS: Final = 20


_PACKED: Final = Struct("<6f2B?")
_NOTHING: Final = bytes(_PACKED.size)
_unpack: Final = _PACKED.unpack
_pack: Final = _PACKED.pack
_MOST_S: Final = 1e9
_MOST_RUN: Final = 255


class Rhythm:
    """The interval of one device. A book keeps it packed, in 60 bytes instead of 250.

    Args:
        packed: what `packed` has returned; empty for a device that is new.

    Attributes:
        interval_s: seconds from one message to the next; 0 while that is unknown.
        is_regular: whether it keeps it, so that a device that is silent for longer is overdue.
        strikes: how often it was overdue and came back, lately.
    """

    interval_s: float
    strikes: int

    __slots__ = (
        "clean_s",
        "gap_s",
        "interval_s",
        "is_regular",
        "long_ago_s",
        "run",
        "strikes",
        "support_s",
        "total_s",
    )

    def __init__(self, packed: bytes = b"") -> None:
        (
            self.interval_s,
            self.gap_s,
            self.support_s,
            self.total_s,
            self.clean_s,
            self.long_ago_s,
            self.run,
            self.strikes,
            self.is_regular,
        ) = _unpack(packed or _NOTHING)

    def packed(self) -> bytes:
        """Return all of it."""
        return _pack(
            self.interval_s,
            self.gap_s,
            self.support_s,
            self.total_s,
            min(_MOST_S, self.clean_s),
            min(_MOST_S, self.long_ago_s),
            min(_MOST_RUN, self.run),
            self.strikes,
            self.is_regular,
        )

    @property
    def known_interval_s(self) -> float:
        """Seconds from one message to the next; 0 if it is unknown, or too short to be learned."""
        return self.interval_s if self.interval_s > _ALL_ALIKE_S else 0.0

    @property
    def overdue_s(self) -> float:
        """The silence after which the device is overdue; 0 if it never is."""
        if not self.is_regular or self.strikes >= MOST_STRIKES:
            return 0.0
        return max(FLOOR_S, MISSED * self.interval_s)

    def learn(self, gap_s: float) -> None:
        """Take the time between two messages.

        Args:
            gap_s: more than 0; not one in which the agent could not hear the device.
        """
        # Faster ones are all alike: none of them is overdue before the others.
        shown_s = max(gap_s, _FASTEST_S)
        self.run = self.run + 1 if _are_alike(shown_s, self.gap_s) else 1
        self.gap_s = shown_s
        if not self.interval_s:
            self._adopt(shown_s)
            return
        interval_s = self.interval_s
        limit_s = max(FLOOR_S, MISSED * interval_s)
        self.clean_s = 0.0 if gap_s > limit_s else self.clean_s + gap_s
        weight_s = min(gap_s, limit_s)
        self.total_s += weight_s
        self.long_ago_s += weight_s
        is_usual = _are_alike(shown_s, interval_s)
        if is_usual:
            self.interval_s += 0.1 * (shown_s - interval_s)
            self.support_s += weight_s
        if shown_s >= interval_s * (1 - _ALIKE):
            self.long_ago_s = 0.0
        if self.total_s > max(2 * _DAY_S, _MOST_GAPS * interval_s):
            self.total_s /= 2
            self.support_s /= 2
        if self.run >= _RUN and not is_usual:
            self._consider(shown_s)
        self._judge()

    def pause(self) -> None:
        """Forget the last gap: the next one does not follow it."""
        self.gap_s = 0.0
        self.run = 0

    def came_back(self) -> None:
        """Note that the device was overdue and is back; its gap is not learned."""
        self.pause()
        self.clean_s = 0.0
        self.strikes = min(self.strikes + 1, MOST_STRIKES)

    def _consider(self, gap_s: float) -> None:
        """Take another interval where a run of gaps speaks for it."""
        is_longer = gap_s > self.interval_s
        unconfirmed = self.support_s == 0.0
        if is_longer or unconfirmed or self.long_ago_s > max(2 * _DAY_S, 20 * self.interval_s):
            self._adopt(gap_s)

    def _adopt(self, gap_s: float) -> None:
        self.interval_s = gap_s
        self.is_regular = False
        self.support_s = self.total_s = self.clean_s = self.long_ago_s = 0.0

    def _judge(self) -> None:
        interval_s = self.interval_s
        if self.strikes and self.clean_s > max(_WEEK_S, _STRIKE_GAPS * interval_s):
            self.strikes = 0
        if not self.total_s:
            return
        share = self.support_s / self.total_s
        if self.is_regular:
            self.is_regular = share >= _KEPT_SHARE
            return
        often = interval_s < _OFTEN_S
        proof_s = max(_DAY_S if often else _RARE_PROOF_S, _PROOF_GAPS * interval_s)
        if self.clean_s >= proof_s:
            doubt = (self.total_s / interval_s) ** -0.5
            self.is_regular = share >= (_SHARE if often else _RARE_SHARE) + doubt


def _are_alike(one_s: float, other_s: float) -> bool:
    more_s, less_s = (one_s, other_s) if one_s > other_s else (other_s, one_s)
    return more_s - less_s <= _ALIKE * more_s
