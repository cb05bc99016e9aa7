"""The last hour of each module."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.status.web.history import POINTS, STEP_S, History
from metrics_agent.supervision.counters import Counters


class HistoryTests(SynchronousTestCase):
    """Two modules on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1003)  # 17 s before a multiple of the step
        self.counters = {"demo": Counters(), "tasmota": Counters()}
        self.faults: list[BaseException] = []
        self.history = History(self.clock, self.counters.items, self.faults.append)
        self.addCleanup(self.end)

    def end(self) -> None:
        self.history.stop()
        self.history.stop()
        self.assertEqual((self.clock.getDelayedCalls(), self.faults), ([], []))

    def points(self, module: str = "demo") -> list[tuple[float, int]]:
        found: list[tuple[float, int]] = self.history.values()["modules"][module]
        return found

    def test_rates_and_errors(self) -> None:
        """A point each step, at whole multiples of it."""
        demo = self.counters["demo"]
        demo.metrics = 1000
        self.history.start()
        self.assertEqual(self.points(), [])
        demo.metrics += 34
        self.clock.advance(17)
        demo.error("tick")
        demo.error("message")
        self.clock.advance(STEP_S)
        self.assertEqual(self.points(), [(2.0, 0), (0.0, 2)])
        self.assertEqual(self.points("tasmota"), [(0.0, 0), (0.0, 0)])

    def test_how_old_they_are(self) -> None:
        self.history.start()
        self.clock.advance(17)
        self.clock.advance(5)
        values = self.history.values()
        self.assertEqual((values["step"], values["since"]), (STEP_S, 5.0))

    def test_an_hour(self) -> None:
        """The oldest are forgotten."""
        self.history.start()
        for number in range(POINTS + 10):
            self.counters["demo"].metrics += int(number * STEP_S)
            self.clock.advance(STEP_S)
        self.assertEqual(len(self.points()), POINTS)
        self.assertEqual(POINTS * STEP_S, 3600)
        self.assertEqual(self.points()[-1], (POINTS + 9, 0))

    def test_no_point_of_an_instant(self) -> None:
        """A rate over some milliseconds would say nothing."""
        self.clock.advance(16.999)
        self.history.start()
        self.counters["demo"].metrics = 1000
        self.clock.advance(0.1)
        self.assertEqual(self.points(), [])
        self.clock.advance(STEP_S)
        self.assertEqual(len(self.points()), 1)

    def test_a_standstill(self) -> None:
        """After a stop of the process there is one point for all of it."""
        self.history.start()
        self.clock.advance(17)
        self.counters["demo"].metrics = 600
        calls = self.clock.getDelayedCalls()
        calls[0].reset(600)
        self.clock.advance(600)
        self.assertEqual(self.points()[-1], (1.0, 0))

    def test_reloads(self) -> None:
        """What stays has its past, what is new has none, what is gone is forgotten."""
        self.history.start()
        self.clock.advance(17)
        del self.counters["tasmota"]
        self.counters["new"] = Counters()
        self.history.start()
        self.assertEqual(
            {name: len(each) for name, each in self.history.values()["modules"].items()},
            {"demo": 1, "new": 0},
        )
        self.counters["new"].metrics = 60
        self.clock.advance(STEP_S)
        self.assertEqual(self.points("new"), [(3.0, 0)])

    def test_stop(self) -> None:
        self.history.start()
        self.clock.advance(17)
        self.history.stop()
        self.assertEqual(self.history.values()["modules"], {})
