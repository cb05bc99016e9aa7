"""What a row of the table is, and the notebook it writes into."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from attrs import define, field, frozen

from benchmarks.bench import Bench
from benchmarks.figures import Figure, Note, ratios
from benchmarks.subjects import Subject

__all__ = ["Notebook", "Row", "present"]


@define
class _Entry:
    """A figure under construction."""

    column: str
    unit: str
    target: float | None
    floor: float | None
    more_is_better: bool
    values: list[float] = field(factory=list)


class Notebook:
    """Gathers the values of a row over its repetitions.

    Args:
        row: the row's name.
        broker: with which it is measured; empty where it needs none.
    """

    def __init__(self, row: str, broker: str = "") -> None:
        self._row = row
        self._broker = broker
        self._entries: dict[tuple[str, str, str], _Entry] = {}
        self._notes: list[Note] = []

    def add(
        self,
        what: str,
        subject: str,
        value: float,
        unit: str = "",
        *,
        column: str = "",
        target: float | None = None,
        floor: float | None = None,
        more_is_better: bool = False,
    ) -> None:
        """Write down the value of one repetition."""
        entry = self._entries.setdefault(
            (what, subject, column), _Entry(column, unit, target, floor, more_is_better)
        )
        entry.values.append(value)

    def ratio(
        self,
        what: str,
        ours: tuple[str, str],
        theirs: tuple[str, str],
        *,
        column: str = "",
        target: float | None = None,
        floor: float | None = None,
        more_is_better: bool = False,
    ) -> None:
        """Add a figure of ratios, repetition by repetition.

        Args:
            what: its name.
            ours: quantity and subject of the numerators.
            theirs: of the denominators; nothing is added where it was not measured.
            column: of both; the ratio itself is in none.
            target: see `Figure`.
            floor: see `Figure`.
            more_is_better: see `Figure`.
        """
        above, below = self._entries.get((*ours, column)), self._entries.get((*theirs, column))
        if above is None or below is None or len(above.values) != len(below.values):
            return
        subject = ours[1] if ours[1] == theirs[1] else f"{ours[1]} / {theirs[1]}"
        for value in ratios(above.values, below.values):
            self.add(
                what, subject, value, "x", target=target, floor=floor, more_is_better=more_is_better
            )

    def note(self, text: str) -> None:
        """Write down what a reader must know; the same text once."""
        note = Note(self._row, text, self._broker)
        if note not in self._notes:
            self._notes.append(note)

    def results(self) -> Iterator[Figure | Note]:
        """Give out the figures, then the notes."""
        for (what, subject, _column), entry in self._entries.items():
            yield Figure(
                row=self._row,
                what=what,
                subject=subject,
                column=entry.column,
                unit=entry.unit,
                values=tuple(entry.values),
                target=entry.target,
                floor=entry.floor,
                more_is_better=entry.more_is_better,
                broker=self._broker,
            )
        yield from self._notes


@frozen
class Row:
    """One row, which is also one command.

    Attributes:
        name: of the command.
        about: what it measures, in a few words.
        measure: does it.
        needs_broker: it is measured with each broker.
    """

    name: str
    about: str
    measure: Callable[[Bench, Notebook], None]
    needs_broker: bool = True


def present(
    bench: Bench, notebook: Notebook, peers: Iterable[Subject] | None = None
) -> list[Subject]:
    """Return the agent and the peers that can be measured here; note the others.

    Args:
        bench: of the row.
        notebook: of the row.
        peers: those of the options without any.
    """
    subjects: list[Subject] = [bench.agent]
    for peer in bench.options.peers if peers is None else peers:
        reason = peer.missing()
        if reason:
            notebook.note(f"{peer.name} was left out: {reason}.")
        else:
            subjects.append(peer)
    return subjects
