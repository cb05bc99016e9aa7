"""Figures as a table, as JSON, and as a block of a document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from attrs import asdict, evolve, fields_dict, frozen

from benchmarks.figures import Figure, Note
from metrics_agent.describe import update as replace_block

__all__ = ["FIGURES", "Report", "has_block", "read"]

FIGURES: Final = "figures"
"""The block of a document for all rows that have no block of their own, named as the row."""

BUSY: Final = 0.5
"""A load average before the run above which it is said that something else was running."""

_Block: TypeAlias = tuple[str, str]
"""The name of a row, and the broker that it was measured with."""

_Cells: TypeAlias = tuple[str, ...]
"""A line of a table."""

_HEAD: Final = ("what", "subject", "median", "smallest to largest", "n", "target", "")


@frozen
class Report:
    """All that a run has found.

    Attributes:
        taken: when, ISO 8601.
        machine: names and values of what it was taken on.
        load_average: of the machine before and after the run.
        figures: in the order of the rows.
        notes: what a reader must know.
        about: of each row, by its name.
        quick: the loads were small, so the figures are rough.
    """

    taken: str
    machine: Mapping[str, str]
    load_average: tuple[float, float]
    figures: Sequence[Figure]
    notes: Sequence[Note]
    about: Mapping[str, str]
    quick: bool = False

    def as_json(self) -> str:
        """Return all of it as a JSON document."""
        document = {
            "taken": self.taken,
            "machine": dict(self.machine),
            "load_average": self.load_average,
            "quick": self.quick,
            "figures": [figure.as_json() for figure in self.figures],
            "notes": [asdict(note) for note in self.notes],
            "about": dict(self.about),
        }
        return json.dumps(document, indent=1) + "\n"

    def as_text(self) -> str:
        """Return it as a table for a terminal."""
        parts = [*self._head(), ""]
        for block in self._blocks():
            parts.append(self._title(block))
            for cells in _tables(self._figures(block)):
                widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
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
        parts = [f"Taken on {self.taken[:10]} UTC.", ""]
        parts += [f"- {line}" for line in self._head()]
        for block in self._blocks():
            parts += ["", f"### {self._title(block)}"]
            for head, *lines in _tables(self._figures(block)):
                parts += ["", _markdown(head), _alignment(head)]
                parts += map(_markdown, lines)
            notes = self._notes(block)
            parts += ["", *[f"- {text}" for text in notes]] if notes else []
        return "\n".join(parts) + "\n"

    def update(self, path: Path) -> None:
        """Replace the generated blocks of a document for which there is something.

        Raises:
            ValueError: the document has no block for a row.
        """
        document = path.read_text("utf-8")
        for name, rows in _by_block(document, self.about).items():
            part = evolve(
                self,
                figures=[each for each in self.figures if each.row in rows],
                notes=[each for each in self.notes if each.row in rows],
            )
            try:
                document = replace_block(document, name, part.as_markdown().rstrip())
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
        path.write_text(document, "utf-8")

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


def read(text: str) -> Report:
    """Read what `Report.as_json` has written.

    Raises:
        ValueError: it is not that.
    """
    try:
        document = json.loads(text)
        return Report(
            taken=document["taken"],
            machine=document["machine"],
            load_average=tuple(document["load_average"]),
            figures=[_figure(values) for values in document["figures"]],
            notes=[Note(**values) for values in document["notes"]],
            about=document["about"],
            quick=document["quick"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"got no result of a run: {error!r}") from error


def _figure(values: Mapping[str, Any]) -> Figure:
    known = {name: values[name] for name in fields_dict(Figure) if name != "values"}
    return Figure(**known, values=tuple(values["values"]))


def has_block(document: str, name: str) -> bool:
    """Return whether a document has a generated block of that name."""
    return f"<!-- generated: {name} -->" in document


def _by_block(document: str, rows: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Return the rows of each block: that of their name, or the one for all others."""
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row if has_block(document, row) else FIGURES, []).append(row)
    return found


def _tables(figures: Sequence[Figure]) -> Iterator[Sequence[_Cells]]:
    """Yield the tables of a row with their heads: single figures, then those in columns."""
    alone = [_cells(figure) for figure in figures if not figure.column]
    if alone:
        yield [_HEAD, *alone]
    in_columns = [figure for figure in figures if figure.column]
    columns = list(dict.fromkeys(figure.column for figure in in_columns))
    lines: dict[str, dict[str, dict[str, str]]] = {}
    for figure in in_columns:
        what = f"{figure.what}, {figure.unit}" if figure.unit else figure.what
        subjects = lines.setdefault(what, {})
        subjects.setdefault(figure.subject, {})[figure.column] = _number(figure.median)
    if columns:
        yield [
            ("what, medians", "subject", *columns),
            *(
                (what, subject, *(cells.get(column, "") for column in columns))
                for what, subjects in lines.items()
                for subject, cells in subjects.items()
            ),
        ]


def _markdown(cells: _Cells) -> str:
    return f"| {' | '.join(cells)} |"


def _alignment(head: _Cells) -> str:
    """Return the line below a head: what is named is at the left, numbers are at the right."""
    at_left = {*_HEAD[:2], _HEAD[-1], head[0]}
    return f"|{'|'.join('---' if name in at_left else '---:' for name in head)}|"


def _cells(figure: Figure) -> _Cells:
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
