"""`metrics-agent once`: when it ends, what it says at the end, and its exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent import assembly
from metrics_agent.commands import diagnosing
from metrics_agent.commands import once as once_module
from metrics_agent.commands import reactor as reactor_of_plan
from metrics_agent.commands.loading import load_from
from metrics_agent.commands.once import collected, once, summary
from metrics_agent.diagnosis import Diagnosis
from metrics_agent.plan import build
from metrics_agent.process.boot import Process
from metrics_agent.process.exit import ExitCode
from tests.commands.case import FAULTY, GOOD, NOTHING, CommandCase

TASMOTA = "[modules.tasmota]\nenabled = true\n"


class FakeAgent:
    """Collects a number of metrics, and records what it is asked for."""

    def __init__(self) -> None:
        self.stops: list[str] = []

    def startService(self) -> None:
        """Start."""

    def stopService(self) -> None:
        """Stop."""

    def request_stop(self, reason: str) -> None:
        """Record a request."""
        self.stops.append(reason)


class OnceTests(CommandCase):
    """With a fake agent in a fake reactor."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = MemoryReactorClock()
        self.process = Process()
        self.agent = FakeAgent()
        self.metrics = 0
        self.rules: list[Diagnosis] = []
        self.use_reactor(self.reactor)
        self.patch(reactor_of_plan, "use_monotonic_clock", lambda _reactor: None)
        self.patch(reactor_of_plan, "leave_out_openssl", lambda: None)
        self.patch(once_module, "logged", lambda _observer, work: work(None))
        self.patch(assembly, "assemble", self.assemble)

    def assemble(self, *_args: object, diagnosis: Diagnosis) -> Any:
        self.rules.append(diagnosis)
        diagnosis.counters.of("demo").metrics = self.metrics
        return self.agent

    def test_time(self) -> None:
        """It asks itself to stop when the time is over."""
        once(self.process, self.write(GOOD), 2.5)
        self.reactor.advance(2.4)
        self.assertEqual(self.agent.stops, [])
        self.reactor.advance(0.1)
        self.assertEqual(self.agent.stops, ["2.5 s are over"])

    def test_nothing_is_enabled(self) -> None:
        """There is nothing to wait for."""
        once(self.process, self.write(NOTHING), 2.5)
        self.reactor.advance(0)
        self.assertEqual(self.agent.stops, ["no module is enabled"])

    def test_codes(self) -> None:
        """0 with metrics of a module, 1 without, 78 where nothing can run."""
        for text, metrics, expected in (
            (GOOD, 3, 0),
            (GOOD, 0, 1),
            (NOTHING, 0, 1),
            (FAULTY, 0, 78),
        ):
            self.metrics = metrics
            self.process = Process()
            self.assertEqual(once(self.process, self.write(text), 1.0), expected)
            self.assertEqual(self.process.exit_status.code, expected)
        self.flushLoggedErrors()

    def test_the_agent_gave_up(self) -> None:
        """What came before counts all the same."""
        self.metrics = 3
        self.process.exit_status.set(ExitCode.FAILED)
        self.assertEqual(once(self.process, self.write(GOOD), 1.0), 0)
        self.assertEqual(self.process.exit_status.code, 0)

    def test_summary_on_stderr(self) -> None:
        """Stdout is for metrics alone."""
        self.metrics = 1
        once(self.process, self.write(GOOD), 1.0)
        self.assertEqual(self.said(), [])
        self.assertEqual(self.stderr.getvalue(), "Collected in 1 s:\n  demo: 1 metric\n")

    def test_summary_of_a_run_that_was_interrupted(self) -> None:
        """It names the time that passed."""

        def run() -> None:
            self.reactor.advance(2.04)
            for function, *_ in self.reactor.triggers["before"]["shutdown"]:
                function()

        self.patch(self.reactor, "run", run)
        once(self.process, self.write(GOOD), 10.0)
        self.assertEqual(self.stderr.getvalue(), "Collected in 2 s:\n  demo: 0 metrics\n")

    def test_rule(self) -> None:
        """The agent runs by the rule, and the copy of the state is gone."""
        once(self.process, self.write(GOOD), 1.0)
        [rule] = self.rules
        self.assertEqual(rule.output, "stdout")
        self.assertFalse(rule.state_dir.exists())

    def test_no_temporary_directory(self) -> None:
        """One line, and 1: nothing could be tried."""

        def fail(*_args: object) -> Any:
            raise OSError(30, "Read-only file system")

        self.patch(diagnosing, "copied_state", fail)
        self.assertEqual(once(self.process, self.write(GOOD), 1.0), 1)
        self.assertEqual(self.rules, [])


class SummaryTests(CommandCase):
    """What is said of each module."""

    def lines(self, text: str, rule: Diagnosis, seconds: float = 10.0) -> list[str]:
        plan = build(load_from(Path(self.write(text))))
        return list(summary(plan, rule, seconds))

    def rule(self) -> Diagnosis:
        return Diagnosis(self.directory, "stdout")

    def test_problems(self) -> None:
        """Each connection that does not work, also one that has not answered, and faults."""
        rule = self.rule()
        rule.problems.note("demo", "tcp://a", "cannot connect: refused")
        rule.problems.note("demo", "tcp://b", "")
        rule.problems.note("demo", "tcp://c", None)
        rule.counters.of("demo").error("tick")
        self.assertEqual(
            self.lines(GOOD, rule)[1],
            "  demo: 0 metrics; tcp://a: cannot connect: refused; tcp://c: no answer yet; "
            "1 error, see the log above",
        )

    def test_hint(self) -> None:
        """How long to wait, where the run was shorter and there is a connection."""
        rule = self.rule()
        rule.problems.note("tasmota", "tcp://a", "")
        self.assertIn("TelePeriod, 300 s", self.lines(TASMOTA, rule)[1])
        self.assertNotIn("TelePeriod", self.lines(TASMOTA, rule, 310.0)[1])
        rule.problems.note("tasmota", "tcp://a", "cannot connect: refused")
        self.assertNotIn("TelePeriod", self.lines(TASMOTA, rule)[1])

    def test_wrong_settings(self) -> None:
        """A module that cannot run is named with its faults."""
        [_head, line] = self.lines(FAULTY, self.rule())
        self.assertTrue(line.startswith("  demo: not started, wrong settings: "), line)

    def test_nothing_enabled(self) -> None:
        """One line says so."""
        self.assertEqual(self.lines(NOTHING, self.rule()), ["No module is enabled."])


class CollectedTests(SynchronousTestCase):
    """What counts as collected."""

    def test_report_that_a_device_is_offline_is_nothing_collected(self) -> None:
        """OpenDTU's module emits one when it cannot connect; the exit status is 1 all the same."""
        rule = Diagnosis(Path("/copy"), "stdout")
        rule.counters.of("opendtu").metrics = 1
        self.assertTrue(collected("opendtu", rule), "a module without connections")
        rule.problems.note("opendtu", "ws://dtu/livedata", "cannot connect: refused")
        self.assertFalse(collected("opendtu", rule))
        rule.problems.note("opendtu", "ws://dtu/livedata", "")
        self.assertTrue(collected("opendtu", rule))
