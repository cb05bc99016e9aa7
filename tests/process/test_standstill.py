"""The clock of a stop."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process.standstill import LONGEST_STEP_S, STEP_S, RunningClock


class RunningClockTests(SynchronousTestCase):
    """Which time counts."""

    def setUp(self) -> None:
        self.now_s = 1000.0
        self.clock = RunningClock(lambda: self.now_s)

    def after(self, seconds: float) -> float:
        self.now_s += seconds
        return round(self.clock.seconds() - 1000, 3)

    def test_steps_count(self) -> None:
        """A process that runs reads it often, and then it is the clock that it has."""
        self.assertEqual([self.after(0.1), self.after(0.01), self.after(0.2)], [0.1, 0.11, 0.31])

    def test_a_gap_counts_as_a_step(self) -> None:
        """Between two readings the process was stopped."""
        self.assertEqual(self.after(3600), LONGEST_STEP_S)
        self.assertEqual(self.after(0.1), round(LONGEST_STEP_S + 0.1, 3))

    def test_a_clock_that_is_set_back(self) -> None:
        """It stops for a moment, and never goes back."""
        self.assertEqual([self.after(-50), self.after(0.1)], [0.0, 0.1])

    def test_drives_a_reactor(self) -> None:
        """Its timers follow, and it is read each step, so that nothing else has to be due."""
        reactor = Clock()
        self.clock.drive(reactor)
        self.assertEqual(reactor.seconds(), 1000.0)
        call = reactor.callLater(1.0, list)
        step, last = sorted(each.getTime() for each in reactor.getDelayedCalls())
        self.assertAlmostEqual(step, 1000 + STEP_S)
        self.assertAlmostEqual(last, 1001.0)
        call.cancel()
