"""What a row measures: numbers by repetition, and what is said about them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from attrs import frozen

__all__ = ["Figure", "Note", "percentile", "ratios"]


@frozen
class Figure:
    """One quantity of one subject, a value for each repetition.

    Attributes:
        row: the row's name.
        what: the quantity.
        subject: whose.
        unit: of the values: us, ms, s, msg/s, MB, KB, %, x, or empty for a count.
        values: one for each repetition, in order.
        target: the largest (or with ``more_is_better`` smallest) value aimed at; None: no target.
        floor: what must hold whatever happens; None: nothing beside the target.
        more_is_better: the target is the smallest value.
        broker: with which it was measured, and its version; empty where there was none.
        column: of a table with a line for each subject; empty: it has a line by itself.
    """

    row: str
    what: str
    subject: str
    unit: str
    values: tuple[float, ...]
    target: float | None = None
    floor: float | None = None
    more_is_better: bool = False
    broker: str = ""
    column: str = ""

    @property
    def median(self) -> float:
        """The value in the middle."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return min(self.values), max(self.values)

    @property
    def verdict(self) -> str:
        """Return ``met``, ``floor`` (only that), ``missed``, or nothing without a target."""
        if self.target is None:
            return ""
        if self._reaches(self.target):
            return "met"
        if self.floor is not None and self._reaches(self.floor):
            return "floor"
        return "missed"

    def as_json(self) -> Mapping[str, object]:
        """Return it as values for a JSON document."""
        low, high = self.spread
        return {
            "row": self.row,
            "broker": self.broker,
            "what": self.what,
            "subject": self.subject,
            "column": self.column,
            "unit": self.unit,
            "median": self.median,
            "smallest": low,
            "largest": high,
            "values": list(self.values),
            "target": self.target,
            "floor": self.floor,
            "more_is_better": self.more_is_better,
            "verdict": self.verdict,
        }

    def _reaches(self, mark: float) -> bool:
        return self.median >= mark if self.more_is_better else self.median <= mark


@frozen
class Note:
    """Something a reader of a row must know: what was left out, what went wrong.

    Attributes:
        row: the row's name.
        text: a sentence.
        broker: see `Figure`.
    """

    row: str
    text: str
    broker: str = ""


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all values does not exceed.

    Args:
        values: in any order, at least one.
        share: from 0 to 1.

    Raises:
        ValueError: there are no values, or the share is out of range.
    """
    if not values:
        raise ValueError("a percentile of no values")
    if not 0 <= share <= 1:
        raise ValueError(f"a share of {share}, expected 0 to 1")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Divide values taken in the same repetition, side by side.

    What slows one repetition down slows both sides, so the ratio is steadier than either.

    Raises:
        ValueError: there are not as many on one side as on the other.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} values against {len(theirs)}")
    return tuple(one / other for one, other in zip(ours, theirs, strict=True))
