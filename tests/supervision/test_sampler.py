"""The reactor's lag, and since when modules have had no metric and no error."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.supervision.counters import CountersByModule
from metrics_agent.supervision.sampler import LONGEST_S, SAMPLE_S, Sampler


class SamplerTests(SynchronousTestCase):
    """On a clock of the test; a reactor that hangs is a clock that jumps."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.counters = CountersByModule()
        self.failures: list[BaseException] = []
        self.looks: list[float] = []
        self.sampler = Sampler(
            self.clock,
            self.counters,
            self.failures.append,
            lambda: self.looks.append(self.clock.seconds()),
        )
        self.sampler.startService()

    def tearDown(self) -> None:
        self.sampler.stopService()
        self.sampler.stopService()
        self.assertEqual((self.clock.getDelayedCalls(), self.failures), ([], []))

    def run_for(self, seconds: float) -> None:
        self.clock.pump([SAMPLE_S] * round(seconds / SAMPLE_S))

    def work_for(self, seconds: float) -> None:
        """Let messages come all the time."""
        for _ in range(round(seconds / SAMPLE_S)):
            self.counters.of("demo").metrics += 1
            self.clock.advance(SAMPLE_S)

    def test_looks(self) -> None:
        """Rarely while nothing happens; each is a sign of life for the watchdog."""
        self.work_for(1.5)
        self.run_for(5)
        self.assertEqual(self.looks, [0.5, 1.0, 1.5, 2.0, 3.5, 5.0, 6.5])
        self.counters.of("demo").metrics += 1
        self.run_for(2)
        self.assertEqual(self.looks[7:], [8.0, 8.5])

    def test_lag_while_nothing_happens(self) -> None:
        """Seen too, among the looks that there were: 40 a minute."""
        self.run_for(61)
        self.clock.advance(3)
        self.assertEqual(self.sampler.reactor_lag_s(60), (2.0, 2.0))
        self.assertEqual(self.sampler.reactor_lag_s(600), (2.0, 2.0))
        self.clock.advance(1)
        self.assertEqual(
            self.sampler.reactor_lag_s(0.5), (2.0, 2.0), "there was no other look since"
        )
        self.run_for(60)
        self.assertEqual(self.sampler.reactor_lag_s(60), (0.0, 0.0))

    def test_no_sample(self) -> None:
        """Before the first sample there is no lag."""
        self.assertEqual(self.sampler.reactor_lag_s(60), (0.0, 0.0))

    def test_lag(self) -> None:
        """One hang is the maximum, and no part of the 99th percentile of a minute."""
        self.work_for(30)
        self.clock.advance(SAMPLE_S + 3)
        self.work_for(29)
        self.assertEqual(self.sampler.reactor_lag_s(60), (0.0, 3.0))
        self.assertEqual(self.sampler.reactor_lag_s(20), (0.0, 0.0))

    def test_a_lasting_lag(self) -> None:
        """Two in a hundred are in the percentile."""
        for _ in range(50):
            self.counters.of("demo").metrics += 1
            self.clock.advance(SAMPLE_S + 0.25)
        self.run_for(50)
        self.assertEqual(self.sampler.reactor_lag_s(600), (0.25, 0.25))

    def test_bounded(self) -> None:
        """Ten minutes are kept."""
        self.clock.advance(SAMPLE_S + 9)
        self.run_for(LONGEST_S)
        self.assertEqual(self.sampler.reactor_lag_s(1e9), (0.0, 0.0))

    def test_last_metric(self) -> None:
        """None at first; then the time since the look that has seen the number grow."""
        demo = self.counters.of("demo")
        self.run_for(5)
        self.assertEqual(self.sampler.since_metric_s("demo"), None)
        self.assertEqual(self.sampler.since_metric_s("unknown"), None)
        demo.metrics += 3
        self.run_for(2)
        self.assertEqual(self.sampler.since_metric_s("demo"), 0.5)
        demo.metrics += 1
        self.run_for(1.5)
        self.assertEqual(self.sampler.since_metric_s("demo"), 0.0)
        self.assertEqual(self.sampler.since_error_s("demo"), None)

    def test_last_error(self) -> None:
        """Likewise, wherever it was."""
        demo = self.counters.of("demo")
        demo.error("tick")
        self.run_for(10)
        self.assertEqual(self.sampler.since_error_s("demo"), 9.5)
        demo.error("message")
        self.run_for(2)
        self.assertEqual(self.sampler.since_error_s("demo"), 0.5)
        self.assertEqual(self.sampler.since_error_s("unknown"), None)
