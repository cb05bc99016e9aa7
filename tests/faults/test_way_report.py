"""The table of ways to a database."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock, skipUnless

from twisted.trial.unittest import SynchronousTestCase

from tests.faults.database import DATABASE, ON_REQUEST
from tests.faults.ledger import Account
from tests.faults.row import RESULTS_VARIABLE, Measured, record, results
from tests.faults.way_report import Outcome, cells, main, record_ways

PAGE = Path(__file__).parents[2] / "docs" / "deployment.md"
ROWS = (*DATABASE, *ON_REQUEST)
GOOD = Outcome(Account(sent=1000, delivered=1000), Account(sent=900, delivered=900))
BAD = Outcome(
    Account(sent=1000, delivered=400, duplicates=7, at_broker=100),
    Account(sent=900, delivered=899, counted=1),
)


class WayReportTests(SynchronousTestCase):
    """A run with all rows becomes a table."""

    def setUp(self) -> None:
        self.results = Path(self.mktemp())
        self.page = Path(self.mktemp())
        self.page.write_text("before\n<!-- generated: ways -->\nold\n<!-- end: ways -->\n")
        environ = mock.patch.dict(os.environ, {RESULTS_VARIABLE: str(self.results)})
        environ.start()
        self.addCleanup(environ.stop)

    def run_main(self) -> tuple[int, str]:
        written = io.StringIO()
        with redirect_stdout(written):
            return main(str(self.results), str(self.page)), written.getvalue()

    def test_table(self) -> None:
        """Lost and duplicates of each way; the last result of a row counts."""
        record_ways(ROWS[0], {"http": BAD})
        for row in ROWS:
            record(row, Measured())
            record_ways(row, {"consumer": BAD, "http": GOOD})
        self.assertEqual(self.run_main(), (0, ""))
        lines = self.page.read_text().splitlines()
        self.assertEqual(len(lines), 5 + len(ROWS))
        self.assertEqual(
            lines[4],
            f"| {ROWS[0].place} | {ROWS[0].fault} | 1,000 + 900 | 0 + 0 | 500 + 0; twice 7 + 0 |",
        )
        self.assertEqual(set(results(self.results)), {row.name for row in ROWS})

    def test_row_is_missing(self) -> None:
        """The page stays as it is."""
        for row in ROWS[1:]:
            record_ways(row, {"http": GOOD})
        self.assertEqual(self.run_main(), (1, f"not shown: {ROWS[0].name}\n"))
        self.assertIn("old", self.page.read_text())


@skipUnless(PAGE.exists(), "the tests run without the documentation")
class PageTests(SynchronousTestCase):
    """docs/deployment.md."""

    def test_every_row_is_on_the_page(self) -> None:
        """The page has the rows of the list, in its order, and no others."""
        text = PAGE.read_text("utf-8")
        block = text.partition("<!-- generated: ways -->")[2].partition("<!-- end: ways -->")[0]
        shown = [line.strip("| ").split(" | ")[:2] for line in block.splitlines()[3:]]
        self.assertEqual(shown, [cells(row) for row in ROWS])
