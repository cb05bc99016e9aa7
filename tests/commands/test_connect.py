"""`metrics-agent check --connect`: which brokers are tried, and what the lines say."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.task import Clock

from metrics_agent.commands.connect import _Trial, each_address
from metrics_agent.commands.loading import load_from
from metrics_agent.diagnosis import Diagnosis
from metrics_agent.plan import Plan, build
from metrics_agent.process.exit import ExitCode
from tests.commands.case import GOOD, CommandCase

LIST = '["tcp://one:1", "tcp://two:2"]'
TASMOTA = f"[modules.tasmota]\nenabled = true\nbroker = {LIST}\n"
OPENDTU = f"[modules.opendtu]\nenabled = true\n[modules.opendtu.mqtt]\nbroker = {LIST}\n"


class ConnectCase(CommandCase):
    """Makes plans."""

    def plan(self, text: str) -> Plan:
        plan = build(load_from(Path(self.write(text))))
        self.assertEqual(plan.faults, ())
        return plan


class EachAddressTests(ConnectCase):
    """A module with a list of brokers."""

    def test_split(self) -> None:
        """Is there once for each, also where the broker is in a table of its own."""
        for text, name in ((TASMOTA, "tasmota"), (OPENDTU, "opendtu")):
            plan = each_address(self.plan(text))
            self.assertEqual([module.name for module in plan.modules], [name, name])
            addresses = [module.brokers[0].broker for module in plan.modules]
            self.assertEqual(addresses, [("tcp://one:1",), ("tcp://two:2",)])
            for module in plan.modules:
                self.assertEqual(tuple(module.kind.brokers(module.settings)), module.brokers)

    def test_nothing_to_split(self) -> None:
        """All others are as they were."""
        plan = self.plan(GOOD)
        self.assertEqual(each_address(plan), plan)


class FakeAgent:
    """Is still starting."""

    supervisors = ()


class LineTests(ConnectCase):
    """What is said of each connection."""

    def setUp(self) -> None:
        super().setUp()
        self.rule = Diagnosis(self.directory, "/dev/null")

    def judge(self) -> tuple[list[str], ExitCode]:
        trial = _Trial()
        code = trial.judge(self.plan(GOOD), self.rule)
        return trial.lines, code

    def test_lines(self) -> None:
        """One for each; one that failed, or has no answer, makes it 1."""
        self.rule.problems.note("demo", "tcp://one", "")
        self.assertEqual(self.judge(), (["ok: demo: tcp://one"], ExitCode.STOPPED))
        self.rule.problems.note("demo", "tcp://two", "cannot connect: refused")
        self.rule.problems.note("demo", "tcp://three", None)
        self.assertEqual(
            self.judge(),
            (
                [
                    "ok: demo: tcp://one",
                    "error: demo: tcp://two: cannot connect: refused",
                    "error: demo: tcp://three: no answer in 10 s",
                ],
                ExitCode.FAILED,
            ),
        )

    def test_a_signal_ends_it_early(self) -> None:
        """The time is the one that passed."""
        clock, trial = Clock(), _Trial()
        trial.begin(clock, FakeAgent(), self.plan(GOOD), self.rule)
        self.rule.problems.note("demo", "tcp://one", None)
        clock.pump([0.05] * 40)
        trial.judge(self.plan(GOOD), self.rule)
        self.assertIn("error: demo: tcp://one: no answer in 2 s", trial.lines)
        for call in clock.getDelayedCalls():
            call.cancel()

    def test_no_connection(self) -> None:
        """A module that connects to nothing is all right, one that does not start is not."""
        self.assertEqual(
            self.judge(), (["ok: demo: started, it connects to nothing"], ExitCode.STOPPED)
        )
        self.rule.counters.of("demo").error("start")
        self.rule.problems.note("demo", "tcp://one", "")
        self.rule.problems.note("demo", "tcp://two", None)  # unread, since it does not run
        self.assertEqual(
            self.judge(),
            (
                [
                    "ok: demo: tcp://one",
                    "error: demo: it does not start, `metrics-agent once` logs why",
                ],
                ExitCode.FAILED,
            ),
        )
