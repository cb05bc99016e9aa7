"""What the last lines of a run are made of."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.summary import counts, failed_tests, main, skip_reasons

LOG = f"""\
tests.a
    test_one ...  [FAIL]
{"=" * 79}
[SKIPPED]
no chromium
here

tests.a.A.test_two
tests.a.A.test_three
{"=" * 79}
[FAIL]
Traceback (most recent call last):
  File "/x/tests/a.py", line 1, in test_one
tests.a.not_a_name but a line of a traceback
twisted.trial.unittest.FailTest: -11 != 0

tests.a.A.test_one
{"=" * 79}
[ERROR]
Traceback (most recent call last):
builtins.ValueError: no

tests.b.B.test_four
tests.a.A.test_one
{"-" * 79}
Ran 5 tests in 2.000s

FAILED (skips=2, failures=1, errors=2, successes=1)
"""


class SummaryTests(SynchronousTestCase):
    """A log of trial."""

    def test_each_failed_test_is_named_once(self) -> None:
        self.assertEqual(failed_tests(LOG), ["tests.a.A.test_one", "tests.b.B.test_four"])

    def test_skips_are_counted_by_reason(self) -> None:
        self.assertEqual(skip_reasons(LOG), {"no chromium here": 2})

    def test_counts(self) -> None:
        expected = {"tests": 5, "skips": 2, "failures": 1, "errors": 2, "successes": 1}
        self.assertEqual(counts(LOG), expected)
        self.assertEqual(counts("killed"), {})


WITHOUT_MOSQUITTO = f"""\
{"=" * 79}
[SKIPPED]
mosquitto is not installed

tests.a.A.test_one
tests.a.A.test_two
{"=" * 79}
[SKIPPED]
only root may

tests.a.A.test_three
{"-" * 79}
Ran 4 tests in 2.000s

PASSED (skips=3, successes=1)
"""
WITHOUT_MORE = f"""\
{"=" * 79}
[SKIPPED]
mosquitto is not installed

tests.b.B.test_one
{"=" * 79}
[SKIPPED]
telegraf is not installed

tests.b.B.test_two
{"-" * 79}
Ran 2 tests in 1.000s

PASSED (skips=2)
"""


class LastLinesTests(SynchronousTestCase):
    """What a run ends with, of one or more logs."""

    def summary(self, *logs: str, ci: bool = False) -> tuple[int, list[str]]:
        """Return the exit code and the lines; the reason "only root may" is allowed."""
        self.patch(os, "environ", {"CI": "true"} if ci else {})
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        allowed = Path(directory.name) / "allowed"
        allowed.write_text("# with a comment\nonly root .*\n")
        paths = [Path(directory.name) / f"{number}.log" for number in range(len(logs))]
        for path, log in zip(paths, logs, strict=True):
            path.write_text(log)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = main(str(allowed), *map(str, paths))
        return code, said.getvalue().splitlines()

    def test_skips_are_grouped_by_what_to_install(self) -> None:
        code, lines = self.summary(WITHOUT_MOSQUITTO, WITHOUT_MORE)
        expected = [
            "3 tests skipped: install mosquitto (apt install mosquitto mosquitto-clients)",
            "1 test skipped: only root may",
            "1 test skipped: install telegraf (https://docs.influxdata.com/telegraf/v1/install/)",
            "1 passed, 0 failed, 5 skipped",
        ]
        self.assertEqual((code, lines), (0, expected))

    def test_in_ci_a_skip_that_is_not_allowed_fails(self) -> None:
        code, lines = self.summary(WITHOUT_MOSQUITTO, ci=True)
        self.assertEqual(code, 1)
        self.assertIn("a failure here", lines[1])
        self.assertNotIn("a failure here", lines[3])
        only_root = WITHOUT_MOSQUITTO.replace("mosquitto is not installed", "only root can")
        self.assertEqual(self.summary(only_root, ci=True)[0], 0)

    def test_failures_of_all_logs_are_named_and_counted(self) -> None:
        code, lines = self.summary(WITHOUT_MOSQUITTO, LOG)
        self.assertEqual(code, 1)
        self.assertIn("failed: tests.b.B.test_four", lines)
        self.assertEqual(lines[-1], "2 passed, 3 failed, 5 skipped")

    def test_tests_that_pass_alone_are_named_and_count_as_passed(self) -> None:
        """Only if each of them passed; one that fails again is a failure with all others."""
        passed = f"{'-' * 79}\nRan 3 tests in 1.000s\n\nPASSED (successes=3)\n"
        failing = passed.replace("PASSED (successes=3)", "FAILED (failures=1, successes=2)")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        log, alone, allowed = (Path(directory.name) / name for name in ("log", "alone", "allowed"))
        log.write_text(LOG)
        allowed.write_text(".*\n")
        for text, code, words in ((passed, 0, "passed alone: "), (failing, 1, "failed: ")):
            alone.write_text(text)
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                self.assertEqual(main("--alone", str(alone), str(allowed), str(log)), code)
            self.assertIn(f"{words}tests.b.B.test_four", said.getvalue())
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            main("--failed", str(log))
        self.assertIn("tests.b.B.test_four", said.getvalue().splitlines())

    def test_a_log_without_a_result_fails(self) -> None:
        for log in ("killed", "Ran 0 tests in 0.000s\n\nPASSED\n"):
            self.assertEqual(self.summary(WITHOUT_MOSQUITTO, log)[0], 1)
        self.assertRegex(self.summary("killed")[1][0], r"^ended without a result: .*/0\.log$")
