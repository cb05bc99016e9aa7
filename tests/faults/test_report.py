"""The list of rows, and the check of a run against it."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest import skipUnless

from attrs import asdict
from twisted.trial.unittest import SynchronousTestCase

from tests.faults.expected import ROWS, SECTIONS
from tests.faults.ledger import Account
from tests.faults.report import expected_cells, main, table
from tests.faults.row import Measured, Row

PAGE = Path(__file__).parents[2] / "docs" / "robustness.md"
RUN_TESTS = PAGE.resolve().parents[1] / "run-tests"
COMMANDS = """\
./run-tests tests.faults tests.hostile
.test/latest/venv/bin/python -m tests.faults.report .test/latest/faults docs/robustness.md"""

FEWEST = {"inside": 95, "next layer": 5}
ONE = Account(sent=90, delivered=80, duplicates=3, counted=1, at_broker=9)
ZERO = Account(sent=70, delivered=50, not_passed=11, cut=5, killed=3)
ACCOUNTS = "90 + 70 | 80 + 50 | 3 + 0 | 1 + 0 | 9 + 0 | 0 + 11 | 0 + 5 | 0 + 3 | 0 + 1"
NONE = "0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0"
EXACT = {"outside": 41, "https": 24, "websocket": 27, "database": 12, "hostile": 36}
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


class ResultsCase(SynchronousTestCase):
    """Writes the results of a run."""

    def setUp(self) -> None:
        self.results = Path(self.mktemp())

    def shown(self, rows: Iterable[Row], **measured: Any) -> None:
        """Write the results of a run."""
        values = asdict(Measured(**measured))
        lines = [json.dumps({"name": row.name, **values}) for row in rows]
        self.results.write_text("".join(f"{line}\n" for line in lines))


class ReportTests(ResultsCase):
    """A run against the list."""

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
        """A result that no row expects counts for none."""
        self.shown([*ROWS[1:], Row("other", "", "", "")])
        code, text = self.run_main()
        self.assertEqual(code, 1)
        self.assertIn(f"not shown: {ROWS[0].name}\n", text)

    def test_page(self) -> None:
        """The page gets a line for each row, with the figures; what is around it stays."""
        self.shown(ROWS, recovered_ms=1234.0, gap_ms=5.6, others_lost=7, qos1=ONE, qos0=ZERO)
        page = self.page()
        code, _text = self.run_main(str(page))
        text = page.read_text()
        self.assertEqual(code, 0)
        self.assertEqual(text.count(f"| 1.2 s | 6 ms | 7 | {ACCOUNTS} |\n"), len(ROWS))
        self.assertNotIn("of the last run", text)
        for name in SECTIONS:
            self.assertIn(f"# {name}\n", text)

    def test_page_of_a_run_that_is_not_whole(self) -> None:
        """The page keeps the figures it has, and the run is not good."""
        self.shown(ROWS[1:])
        page = self.page()
        before = page.read_text()
        code, text = self.run_main(str(page))
        self.assertEqual(code, 1)
        self.assertIn(f"{page} is left as it is\n", text)
        self.assertEqual(page.read_text(), before)

    def test_table(self) -> None:
        """What has no value is a dash; the next layer is named."""
        rows = (Row("a", "here", "this", "that"), Row("b", "there", "dies", "back", "Telegraf"))
        lines = table(rows, dict.fromkeys("ab", Measured(None, 3.0))).splitlines()
        self.assertEqual(lines[2], f"| here | this | that | - | 3 ms | 0 | {NONE} |")
        self.assertEqual(
            lines[3],
            f"| there | dies | *next layer*: back; healed by Telegraf | - | 3 ms | 0 | {NONE} |",
        )

    def test_the_last_result_counts(self) -> None:
        """A row that ran twice has the figures of the second time."""
        self.shown(ROWS, gap_ms=1.0)
        with self.results.open("a") as file:
            file.write(json.dumps({"name": ROWS[0].name, **asdict(Measured(gap_ms=9.0))}) + "\n")
        page = self.page()
        self.run_main(str(page))
        self.assertIn(f"| - | 9 ms | 0 | {NONE} |", page.read_text())


@skipUnless(PAGE.exists(), "the tests run without the documentation")
class PageTests(ResultsCase):
    """docs/robustness.md."""

    def test_every_row_is_on_the_page(self) -> None:
        """The page has the rows of the list, in its order, and no others."""
        text = PAGE.read_text("utf-8")
        for name, rows in SECTIONS.items():
            block = text.partition(f"<!-- generated: {name} -->")[2].partition("<!-- end: ")[0]
            shown = [line.split(" | ")[:3] for line in block.splitlines()[3:]]
            expected = [f"| {' | '.join(expected_cells(row))}".split(" | ") for row in rows]
            self.assertTrue(
                shown == expected,
                f"section {name} of docs/robustness.md is out of date; regenerate it:\n{COMMANDS}",
            )

    def test_the_commands_to_repeat_it(self) -> None:
        """The second one, run as it is there, writes what the first one leaves behind."""
        text = PAGE.read_text("utf-8")
        self.assertIn(f"```sh\n{COMMANDS}\n```", text)
        run, *report = map(shlex.split, COMMANDS.splitlines())
        self.assertEqual(run, ["./run-tests", "tests.faults", "tests.hostile"])
        results = report[0][3]
        name = results.removeprefix(".test/latest/")
        self.assertIn(f"\nfaults=$room/{name}\n", RUN_TESTS.read_text("utf-8"))
        directory = Path(self.mktemp()).absolute()
        for path in (directory / "docs", (directory / results).parent):
            path.mkdir(parents=True)
        page = directory / "docs" / "robustness.md"
        page.write_text(text, "utf-8")
        self.results = directory / results
        self.shown(ROWS, recovered_ms=1234.0, gap_ms=5.6, others_lost=7, qos1=ONE, qos0=ZERO)
        root = str(Path(__file__).absolute().parents[2])
        subprocess.run(
            [sys.executable, *report[0][1:]],
            cwd=directory,
            env={"PYTHONPATH": ":".join([root, *filter(None, sys.path)])},
            stdout=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )
        self.assertEqual(
            page.read_text("utf-8").count(f"| 1.2 s | 6 ms | 7 | {ACCOUNTS} |\n"), len(ROWS)
        )
