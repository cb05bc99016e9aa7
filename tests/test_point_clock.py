"""The time of points, with clocks that the test sets."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.clock import END_NS
from metrics_agent.line_protocol import UNSET_BEFORE_NS, Encoder
from metrics_agent.logs.logger import make_logger
from metrics_agent.metric import metric
from metrics_agent.point_clock import EARLIEST_NS, HOLD_S, LATEST_NS, PointClock, steady_ns

SECOND_NS = 1_000_000_000
RIGHT_NS = EARLIEST_NS + 1000 * SECOND_NS
UNSET_NS = 10 * SECOND_NS


class PointClockTests(SynchronousTestCase):
    """What it says in each state."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wall = RIGHT_NS
        self.steady = 77 * SECOND_NS
        self.events: list[dict[str, Any]] = []
        self.calls: list[str] = []

    def make(self) -> PointClock:
        """Make and start one."""
        made = PointClock(
            self.clock,
            make_logger(observer=self.events.append),
            hold=lambda: self.calls.append("hold"),
            release=lambda: self.calls.append("release"),
            wall_ns=lambda: self.wall,
            steady_ns=lambda: self.steady,
        )
        made.startService()
        self.addCleanup(self.assertEqual, self.clock.getDelayedCalls(), [])
        self.addCleanup(made.stopService)
        self.line = Encoder(unset_stamp=made.stamp).encode
        return made

    def pass_time(self, seconds: int) -> None:
        """Let all clocks go on."""
        for _ in range(seconds):
            self.wall += SECOND_NS
            self.steady += SECOND_NS
            self.clock.advance(1)

    def texts(self) -> list[str]:
        """Return the log."""
        return [f"{event['log_level'].name}: {formatEvent(event)}" for event in self.events]

    def test_right_clock_is_followed(self) -> None:
        """Also by hours, forwards and backwards; and no timer is set."""
        made = self.make()
        for jump_ns in (0, 5 * 3600 * SECOND_NS, -7 * 60 * SECOND_NS):
            self.wall += jump_ns
            self.assertEqual(made.now_ns(), self.wall)
        self.assertEqual((self.calls, self.events), ([], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_old_time_of_a_module_stays(self) -> None:
        """Where the clock was always right an old time is what the module means."""
        self.make()
        self.assertEqual(self.line(metric("m", {}, {"a": 1.0}, 5)), b"m a=1.0 5\n")

    def test_unset_clock_is_held_and_corrected(self) -> None:
        """One line when it is noticed, one when it is set; each point has its own time."""
        self.wall = UNSET_NS
        made = self.make()
        self.pass_time(2)
        self.assertEqual(made.now_ns(), 79 * SECOND_NS)
        text = "x 123\ny"
        held = self.line(metric("m", {}, {"a": text}, made.now_ns()))
        left_over = metric("m", {}, {"a": 2.0}, made.now_ns())
        own = self.line(metric("m", {}, {"a": 1.0}, RIGHT_NS))
        self.pass_time(3)
        self.assertEqual(self.calls, ["hold"])
        self.wall = RIGHT_NS - SECOND_NS
        self.pass_time(1)
        self.assertEqual(self.calls, ["hold", "release"])
        taken_ns = RIGHT_NS - 4 * SECOND_NS
        self.assertEqual(
            made.finish(held + own), b'm a="x 123\ny" %d\nm a=1.0 %d\n' % (taken_ns, RIGHT_NS)
        )
        # A generator may hold metrics that were made before.
        self.assertEqual(self.line(left_over), b"m a=2.0 %d\n" % taken_ns)
        self.assertEqual(made.now_ns(), RIGHT_NS)
        warned, logged = self.texts()
        self.assertIn("warn: The clock of this machine says 1970-01-01 00:00:10 UTC", warned)
        self.assertIn("info: The clock of this machine is set", logged)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_clock_that_is_never_set(self) -> None:
        """After a while metrics go out without a time; with one, once it is set after all."""
        self.wall = UNSET_NS
        made = self.make()
        held = self.line(metric("m", {}, {"a": 1.0}, made.now_ns()))
        self.pass_time(int(HOLD_S) + 1)
        self.assertEqual(self.calls, ["hold", "release"])
        self.assertEqual(made.finish(held), b"m a=1.0\n")
        self.assertEqual(self.line(metric("m", {}, {"a": 1.0}, made.now_ns())), b"m a=1.0\n")
        self.wall = RIGHT_NS
        self.pass_time(1)
        line = self.line(metric("m", {}, {"a": 1.0}, made.now_ns()))
        self.assertEqual(line, b"m a=1.0 %d\n" % self.wall)
        self.assertEqual(len(self.texts()), 3)

    def test_stop_before_the_clock_is_set(self) -> None:
        """What was held is written without a time."""
        self.wall = UNSET_NS
        made = self.make()
        held = self.line(metric("m", {}, {"a": 1.0}, made.now_ns()))
        self.assertEqual(made.finish(held), b"m a=1.0\n")

    def test_jump_out_of_the_range(self) -> None:
        """The time goes on as before the jump: one line down, one up."""
        made = self.make()
        made.now_ns()
        for wrong_ns in (0, END_NS, LATEST_NS, EARLIEST_NS - 1):
            self.wall = wrong_ns
            self.steady += SECOND_NS
            self.assertEqual(made.now_ns() - RIGHT_NS, self.steady - 77 * SECOND_NS)
        self.wall = RIGHT_NS + 3600 * SECOND_NS
        self.assertEqual(made.now_ns(), self.wall)
        warned, logged = self.texts()
        self.assertIn("warn: The clock of this machine jumped to 1970-01-01 00:00:00 UTC", warned)
        self.assertEqual(logged, "info: The clock of this machine is right again.")
        self.assertEqual(self.calls, [])

    def test_jump_before_the_first_reading(self) -> None:
        """There is a time from before the jump all the same."""
        made = self.make()
        self.wall = 0
        self.assertEqual(made.now_ns(), RIGHT_NS)

    def test_machine_runs_less_than_thirty_years(self) -> None:
        """So its uptime is never taken for a time of the epoch."""
        self.assertLess(steady_ns(), UNSET_BEFORE_NS)
        self.assertLess(UNSET_BEFORE_NS, EARLIEST_NS)
