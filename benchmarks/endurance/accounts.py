"""What became of every number: written, or where it was last seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, final

from attrs import define, field

from benchmarks.endurance.ledger import Series
from benchmarks.endurance.tap import Notes
from tests.integration.watching import pause

__all__ = ["Fate", "account", "complete", "missing", "ranges"]

_LOOK_EVERY_S: Final = 0.5

Numbers = dict[str, list[int]]


@final
@define
class Fate:
    """The numbers that a subject should have written and has not, by where they were last seen.

    Attributes:
        by_subject: it has acknowledged them: its own loss.
        by_broker: the broker has never delivered them, or not again to a subject that had not
            acknowledged them.
        delivered: how many of those it had delivered once.
        again: how many it has written more than once.
    """

    by_subject: Numbers = field(factory=dict)
    by_broker: Numbers = field(factory=dict)
    delivered: int = 0
    again: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not (self.by_subject or self.by_broker)

    @property
    def lost_by_subject(self) -> int:
        """How many numbers."""
        return sum(map(len, self.by_subject.values()))

    @property
    def lost_by_broker(self) -> int:
        """How many numbers."""
        return sum(map(len, self.by_broker.values()))


def account(sent: Mapping[str, int], notes: Notes, written: Mapping[str, Series]) -> Fate:
    """Say what became of each number.

    Args:
        sent: by device, its last number; the broker has accepted all up to it.
        notes: of the subject's connections.
        written: what the subject's reader has taken.
    """
    fate = Fate()
    for device, last in sent.items():
        lost = missing(written.get(device), last)
        unacknowledged = missing(notes.acknowledged.get(device), last)
        if own := sorted(lost - unacknowledged):
            fate.by_subject[device] = own
        if others := sorted(lost & unacknowledged):
            fate.by_broker[device] = others
            fate.delivered += len(set(others) - missing(notes.delivered.get(device), last))
        if device in written:
            fate.again += written[device].again
    return fate


async def complete(look: Callable[[], Iterable[Fate]], limit_s: float) -> None:
    """Look again and again until nothing is missing, or for so long; a look takes its time."""
    deadline_s = time.monotonic() + limit_s
    while not all(fate.complete for fate in look()) and time.monotonic() < deadline_s:
        await pause(_LOOK_EVERY_S)


def missing(series: Series | None, last: int) -> set[int]:
    """Return the numbers from 1 to the last that have not come."""
    if series is None:
        return set(range(1, last + 1))
    return series.missing | set(range(series.highest + 1, last + 1))


def ranges(numbers: Numbers) -> str:
    """Return numbers for people: ``plug00 3-7 12, plug01 5``."""
    return ", ".join(f"{device} {_ranges_of(each)}" for device, each in numbers.items()) or "none"


def _ranges_of(numbers: list[int]) -> str:
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)
