"""Each target for a moment, the same cases every time; and that the oracle sees what is wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import hypothesis.strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config.secret import Secret
from metrics_agent.metric import Metric, Series
from metrics_agent.testing import FakeContext
from metrics_agent.transports.mqtt.topics import Route, SubscriptionTable
from tests.fuzz import oracle
from tests.fuzz.explore import explore
from tests.fuzz.files import LITERAL, FileCase, run_config
from tests.fuzz.mqtt_streams import run_topics
from tests.fuzz.oracle import Hang, Target, check_context, check_metrics, judge_line
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

    def test_hangs_that_are_swallowed(self) -> None:
        """Where even that is caught, as in a callback of a Deferred, the case is wrong after."""

        def run(_number: int) -> None:
            swallowed: Deferred[None] = Deferred()
            swallowed.addCallback(lambda _result: self.spin())
            swallowed.addErrback(lambda _failure: None)
            swallowed.callback(None)

        self.patch(oracle, "CPU_LIMIT_S", 0.1)
        self.assertRaises(AssertionError, self.target(run).check, 1)

        def raise_another(_number: int) -> None:
            try:
                self.spin()
            except Hang:
                raise KeyError from None

        self.assertRaises(AssertionError, self.target(raise_another).check, 1)

    def spin(self) -> None:
        while True:
            sum(range(1000))

    def test_lines(self) -> None:
        """What an independent parser does not take is an error; so is a fault of the agent."""
        for line in (
            b"a,b= value=1",
            b"#a v=1",
            b"a v=1,v=2",
            b'a v="x,y=1",z=1,v="\\"" 1',
            b"a v=1i,v=2i 1",
        ):
            self.assertRaises(AssertionError, judge_line, line)
        for line in (
            b'a v="v=1,v=2",w=1 1',
            b'a\\ b,c=d v\\,\\ \\==1i,"=t,x="\\"" 5',
            b"a,v=1 v=1",
        ):
            judge_line(line)
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

    def test_secrets_of_files(self) -> None:
        """A secret that shows itself in what hears of a configuration is an error."""
        head = '[modules.tasmota]\nenabled = true\nusername = "somebody"\n'
        forms = (f'"{LITERAL}"', '{ env = "HOME" }')
        cases = [FileCase(".toml", f"{head}password = {form}\n".encode()) for form in forms]
        for case in cases:
            run_config(case)
        self.patch(Secret, "__repr__", Secret.reveal)
        for case in cases:
            self.assertRaises(AssertionError, run_config, case)
        # Where it is in the place of something else it may be shown.
        elsewhere = f'[modules.tasmota]\nenabled = true\npublish_interval = "{LITERAL}"\n'
        run_config(FileCase(".toml", elsewhere.encode()))

    def test_topics(self) -> None:
        """The wrong handlers, their wrong order, and a wrong judgement of a topic are errors."""
        case = (["a/+", "a/b", "#"], [b"a/b", b"a/c", b"$SYS", b"a\0", b"\xed\xa0\x80", b"+", b""])
        run_topics(case)
        match = SubscriptionTable.match

        def backwards(table: SubscriptionTable, topic: bytes) -> Route:
            text, receivers, copies = match(table, topic)
            return Route(text, receivers[::-1], copies)

        def one_twice(table: SubscriptionTable, topic: bytes) -> Route:
            text, receivers, copies = match(table, topic)
            return Route(text, receivers[:1] * len(receivers), copies)

        def all_invalid(_table: SubscriptionTable, _topic: bytes) -> Route:
            return Route(None, ())

        def all_valid(table: SubscriptionTable, topic: bytes) -> Route:
            text, receivers, copies = match(table, topic)
            return Route(text if text is not None else topic.decode("latin-1"), receivers, copies)

        for broken in (backwards, one_twice, all_invalid, all_valid):
            self.patch(SubscriptionTable, "match", broken)
            self.assertRaises(AssertionError, run_topics, case)
