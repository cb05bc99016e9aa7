"""Each target for a moment, the same cases every time; and that the oracle sees what is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import hypothesis.strategies as st
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.metric import Metric, Series
from metrics_agent.testing import FakeContext
from tests.fuzz import oracle
from tests.fuzz.explore import explore
from tests.fuzz.oracle import Target, check_context, check_metrics, judge_line
from tests.fuzz.targets import TARGETS

CASES_OF_ALL: Final = 4_000
SEED: Final = 0
"""The long run counts from 1."""


class FuzzTests(SynchronousTestCase):
    """A test for each target, see below."""


def _test_of(target: Target) -> Callable[[FuzzTests], None]:
    cases = CASES_OF_ALL * target.share // sum(each.share for each in TARGETS)

    def test(case: FuzzTests) -> None:
        case.assertGreaterEqual(explore(target, cases, SEED), cases)

    test.__doc__ = f"Nothing is wrong after {cases} cases: {target.about}."
    return test


for _target in TARGETS:
    setattr(FuzzTests, f"test_{_target.name}", _test_of(_target))


class OracleTests(SynchronousTestCase):
    """A fuzzer that finds nothing proves nothing unless it would."""

    def target(self, run: Callable[[int], None]) -> Target:
        return Target("broken", "numbers", st.integers(0, 1000), run, 1)

    def test_exceptions(self) -> None:
        """One that leaves the code is raised, with the smallest case that shows it."""

        def run(number: int) -> None:
            if number > 100:
                raise KeyError(number)

        error = self.assertRaises(KeyError, explore, self.target(run), 500, SEED)
        self.assertEqual(error.args, (101,))

    def test_exits(self) -> None:
        """Ending the process is an error like others."""

        def run(_number: int) -> None:
            raise SystemExit

        self.assertRaises(AssertionError, explore, self.target(run), 1, SEED)

    def test_hangs(self) -> None:
        """A case that takes too long is ended, also where everything is caught."""

        def run(_number: int) -> None:
            while True:
                with contextlib.suppress(Exception):
                    sum(range(1000))

        self.patch(oracle, "CPU_LIMIT_S", 0.1)
        self.assertRaises(AssertionError, self.target(run).check, 1)

    def test_lines(self) -> None:
        """What an independent parser does not take is an error; so is a fault of the agent."""
        self.assertRaises(AssertionError, judge_line, b"a,b= value=1")
        check_metrics([Metric(Series("a", {}), {"value": 1.0}, 1), Metric(Series("", {}), {}, 1)])
        context = FakeContext()
        context.fail(RuntimeError("it is over"))
        self.assertRaises(AssertionError, check_context, context)
        context = FakeContext()
        context.every(1.0, lambda: ())
        check_context(context)
        context.reactor.callLater(1.0, int)
        self.assertRaises(AssertionError, check_context, context)
        context = FakeContext()
        context.log.failure("while working", Failure(ValueError("not handled")))
        self.assertRaises(AssertionError, check_context, context)
