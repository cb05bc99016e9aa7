"""Figures as a table, as JSON, and as a block of a document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, TypeAlias

from attrs import asdict, frozen

from benchmarks.figures import Figure, Note

__all__ = ["BEGIN", "END", "Report", "update"]

BEGIN: Final = "<!-- generated: figures -->"
END: Final = "<!-- end: figures -->"

BUSY: Final = 0.5
"""A load average before the run above which it is said that something else was running."""

_Block: TypeAlias = tuple[str, str]
"""The name of a row, and the broker that it was measured with."""

_HEAD: Final = ("what", "subject", "median", "smallest to largest", "n", "target", "")


@frozen
class Report:
    """All that a run has found.

    Attributes:
        machine: names and values of what it was taken on.
        load_average: of the machine before and after the run.
        figures: in the order of the rows.
        notes: what a reader must know.
        about: of each row, by its name.
        quick: the loads were small, so the figures are rough.
    """

    machine: Mapping[str, str]
    load_average: tuple[float, float]
    figures: Sequence[Figure]
    notes: Sequence[Note]
    about: Mapping[str, str]
    quick: bool = False

    def as_json(self) -> str:
        """Return all of it as a JSON document."""
        document = {
            "taken": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "machine": dict(self.machine),
            "load_average": self.load_average,
            "quick": self.quick,
            "figures": [figure.as_json() for figure in self.figures],
            "notes": [asdict(note) for note in self.notes],
        }
        return json.dumps(document, indent=1) + "\n"

    def as_text(self) -> str:
        """Return it as a table for a terminal."""
        parts = [*self._head(), ""]
        for block in self._blocks():
            parts.append(self._title(block))
            cells = [_HEAD, *map(_cells, self._figures(block))]
            widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
            parts += [
                "  "
                + "  ".join(
                    cell.ljust(width) if column < 2 else cell.rjust(width)
                    for column, (cell, width) in enumerate(zip(line, widths, strict=True))
                ).rstrip()
                for line in cells
            ]
            parts += [f"  note: {text}" for text in self._notes(block)]
            parts.append("")
        return "\n".join(parts)

    def as_markdown(self) -> str:
        """Return it as tables of a document."""
        parts = [f"Taken on {datetime.now(timezone.utc):%Y-%m-%d} UTC.", ""]
        parts += [f"- {line}" for line in self._head()]
        for block in self._blocks():
            parts += ["", f"### {self._title(block)}", ""]
            parts.append("| " + " | ".join(_HEAD) + " |")
            parts.append("|---|---|---:|---:|---:|---:|---|")
            parts += ["| " + " | ".join(_cells(figure)) + " |" for figure in self._figures(block)]
            notes = self._notes(block)
            parts += ["", *[f"- {text}" for text in notes]] if notes else []
        return "\n".join(parts) + "\n"

    def _head(self) -> list[str]:
        lines = [f"{name}: {value}" for name, value in self.machine.items()]
        before, after = self.load_average
        lines.append(f"load average before and after the run: {before:.2f}, {after:.2f}")
        if before > BUSY:
            lines.append(
                "the machine was busy with something else: times of day and rates say little, CPU "
                "times and ratios suffer less"
            )
        if self.quick:
            lines.append("quick run: small loads and few repetitions, the figures are rough")
        return lines

    def _blocks(self) -> list[_Block]:
        found = dict.fromkeys((each.row, each.broker) for each in (*self.figures, *self.notes))
        rows = list(dict.fromkeys(row for row, _broker in found))
        # A row of which nothing but a note is left has its place beside that of the other broker.
        return sorted(found, key=lambda block: rows.index(block[0]))

    def _title(self, block: _Block) -> str:
        row, broker = block
        return f"{row}{broker and f', {broker}'}: {self.about.get(row, '')}"

    def _figures(self, block: _Block) -> list[Figure]:
        return [each for each in self.figures if (each.row, each.broker) == block]

    def _notes(self, block: _Block) -> list[str]:
        return [each.text for each in self.notes if (each.row, each.broker) == block]


def update(path: Path, text: str) -> None:
    """Replace the generated block of a document.

    Raises:
        ValueError: the document has no such block.
    """
    document = path.read_text("utf-8")
    head, begin, rest = document.partition(BEGIN)
    _old, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no block between {BEGIN!r} and {END!r}")
    path.write_text(f"{head}{BEGIN}\n{text}{END}{tail}", "utf-8")


def _cells(figure: Figure) -> tuple[str, ...]:
    low, high = figure.spread
    target = ""
    if figure.target is not None:
        sign = ">=" if figure.more_is_better else "<="
        target = f"{sign} {_number(figure.target)} {figure.unit}".rstrip()
    return (
        figure.what,
        figure.subject,
        f"{_number(figure.median)} {figure.unit}".rstrip(),
        f"{_number(low)} to {_number(high)}",
        str(len(figure.values)),
        target,
        figure.verdict,
    )


def _number(value: float) -> str:
    if (float(value).is_integer() and abs(value) >= 100) or value == 0:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.3g}"
