"""What is said about ups and downs: nothing is reported as back that was not reported as lost."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.cause import Cause
from metrics_agent.transports.outage import OutageReport

CLOSED = Cause("closed", "the broker closed the connection")
OTHER = Cause("other", "something else")


class OutageTests(SynchronousTestCase):
    """One line down, one line up."""

    def setUp(self) -> None:
        self.levels: list[str] = []
        self.clock = clock = Clock()
        log = Logger(namespace="outage", observer=self.take)  # type: ignore[arg-type]  # a method
        self.report = OutageReport(log, clock.seconds)

    def take(self, event: dict[str, LogLevel]) -> None:
        self.levels.append(event["log_level"].name)

    def test_lost_again_before_it_has_lasted(self) -> None:
        """The same outage goes on: neither the loss nor the return is reported again."""
        self.report.up("there")
        for _ in range(3):
            self.report.lost("there", CLOSED)
            self.report.up("there")
        self.assertEqual(self.levels, ["info", "warn", "info", *["debug"] * 4])

    def test_another_cause(self) -> None:
        """It is reported, and so is the return that follows."""
        self.report.up("there")
        self.report.lost("there", CLOSED)
        self.report.up("there")
        self.report.lost("there", OTHER)
        self.report.up("there")
        self.assertEqual(self.levels, ["info", "warn", "info", "warn", "info"])

    def test_proven(self) -> None:
        """A connection that has lasted ends the outage: its loss and return are news."""
        for _ in range(2):
            self.report.up("there")
            self.report.proven()
            self.report.lost("there", CLOSED)
        self.report.up("there")
        self.assertEqual(self.levels, ["info", "warn", "info", "warn", "info"])

    def test_never_there(self) -> None:
        """What could not be had at first is reported once, and its being there."""
        self.report.failed("there", CLOSED)
        self.report.failed("there", CLOSED)
        self.report.up("there")
        self.assertEqual(self.levels, ["warn", "debug", "info"])

    def test_told_as_up_and_down_for_long(self) -> None:
        """The last word must not be that it is up."""
        self.report.up("there")
        self.report.lost("there", CLOSED)
        self.report.up("there")
        self.report.lost("there", CLOSED)
        for _ in range(3):
            self.clock.advance(20)
            self.report.failed("there", CLOSED)
        self.report.up("there")
        self.assertEqual(
            self.levels, ["info", "warn", "info", "debug", "debug", "warn", "debug", "info"]
        )
