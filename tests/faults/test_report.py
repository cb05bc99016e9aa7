"""The list of rows, and the check of a run against it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from attrs import asdict
from twisted.trial.unittest import SynchronousTestCase

from tests.faults.expected import ROWS, SECTIONS
from tests.faults.report import main, table
from tests.faults.row import Measured, Row

FEWEST = {"inside": 95, "next layer": 5}
EXACT = {"outside": 30, "https": 24, "websocket": 27}
"""A row that is deleted, with its test or its place, has to be deleted here too."""


class ExpectedTests(SynchronousTestCase):
    """What must be shown."""

    def test_number(self) -> None:
        """Each section has its rows; none can be lost by the way."""
        numbers = {name: len(rows) for name, rows in SECTIONS.items()}
        self.assertEqual(set(numbers), {*FEWEST, *EXACT})
        self.assertEqual({name: numbers[name] for name in EXACT}, EXACT)
        for name, fewest in FEWEST.items():
            self.assertGreaterEqual(numbers[name], fewest, name)
        self.assertGreaterEqual(len(ROWS), 60)

    def test_names(self) -> None:
        """No name is there twice, so that no row is shown by another's test."""
        names = [row.name for row in ROWS]
        self.assertEqual(sorted(set(names)), sorted(names))

    def test_texts(self) -> None:
        """Each row says where, what, and what must happen, in cells of a table."""
        for row in ROWS:
            for text in (row.place, row.fault, row.must):
                self.assertTrue(text, row.name)
                self.assertNotIn("|", text, row.name)


class ReportTests(SynchronousTestCase):
    """A run against the list."""

    def setUp(self) -> None:
        self.results = Path(self.mktemp())

    def shown(self, rows: Iterable[Row], **measured: Any) -> None:
        """Write the results of a run."""
        values = asdict(Measured(**measured))
        lines = [json.dumps({"name": row.name, **values}) for row in rows]
        self.results.write_text("".join(f"{line}\n" for line in lines))

    def run_main(self, *more: str) -> tuple[int, str]:
        """Return the exit code, and what was written."""
        written = io.StringIO()
        with redirect_stdout(written):
            code = main(str(self.results), *more)
        return code, written.getvalue()

    def page(self) -> Path:
        """Return a page with a place for each section."""
        path = Path(self.mktemp())
        sections = [
            f"# {name}\n\n<!-- generated: {name} -->\nof the last run\n<!-- end: {name} -->\n"
            for name in SECTIONS
        ]
        path.write_text("\n".join(sections))
        return path

    def test_all_shown(self) -> None:
        """A run that shows every row is good."""
        self.shown(ROWS)
        code, text = self.run_main()
        self.assertEqual(code, 0)
        self.assertEqual(text, f"fault matrix: {len(ROWS)} of {len(ROWS)} rows shown\n")

    def test_a_row_is_missing(self) -> None:
        """A row that did not run, was skipped or failed has no result: named, and an error."""
        missing = ROWS[7]
        self.shown(row for row in ROWS if row is not missing)
        code, text = self.run_main()
        self.assertEqual(code, 1)
        self.assertIn(f"{len(ROWS) - 1} of {len(ROWS)} rows shown", text)
        self.assertEqual(text.count("not shown"), 1)
        self.assertIn(f"  not shown: {missing.name}\n", text)

    def test_nothing_ran(self) -> None:
        """No file of results at all: every row is missing."""
        code, text = self.run_main()
        self.assertEqual(code, 1)
        self.assertEqual(text.count("not shown"), len(ROWS))

    def test_a_row_of_nobody(self) -> None:
        """A result that no row expects stands for none."""
        self.shown([*ROWS[1:], Row("other", "", "", "")])
        code, text = self.run_main()
        self.assertEqual(code, 1)
        self.assertIn(f"not shown: {ROWS[0].name}\n", text)

    def test_page(self) -> None:
        """The page gets a line for each row, with the figures; what is around it stays."""
        self.shown(ROWS, recovered_ms=1234.0, gap_ms=5.6, others_lost=7, lost=8)
        page = self.page()
        code, _text = self.run_main(str(page))
        text = page.read_text()
        self.assertEqual(code, 0)
        self.assertEqual(text.count("| 1.2 s | 6 ms | 7 | 8 |\n"), len(ROWS))
        self.assertNotIn("of the last run", text)
        for name in SECTIONS:
            self.assertIn(f"# {name}\n", text)

    def test_page_of_a_run_that_is_not_whole(self) -> None:
        """It says so, and the run is not good either."""
        self.shown(ROWS[1:])
        page = self.page()
        code, _text = self.run_main(str(page))
        self.assertEqual(code, 1)
        self.assertEqual(page.read_text().count("| not measured |"), 1)

    def test_table(self) -> None:
        """What nobody measured is a dash; the next layer is named."""
        rows = (Row("a", "here", "this", "that"), Row("b", "there", "dies", "back", "Telegraf"))
        lines = table(rows, {"a": Measured(None, 3.0)}).splitlines()
        self.assertEqual(lines[2], "| here | this | that | - | 3 ms | 0 | 0 |")
        self.assertEqual(
            lines[3],
            "| there | dies | *next layer*: back; healed by Telegraf | not measured |  |  |  |",
        )

    def test_the_last_result_counts(self) -> None:
        """A row that ran twice has the figures of the second time."""
        self.shown([ROWS[0], ROWS[0]], gap_ms=1.0)
        with self.results.open("a") as file:
            file.write(json.dumps({"name": ROWS[0].name, **asdict(Measured(gap_ms=9.0))}) + "\n")
        page = self.page()
        self.run_main(str(page))
        self.assertIn("| - | 9 ms | 0 | 0 |", page.read_text())
