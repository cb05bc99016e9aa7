"""What the last lines of a run are made of."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.summary import counts, failed_tests, skip_reasons

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
