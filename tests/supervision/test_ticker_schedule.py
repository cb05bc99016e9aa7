"""When a timer ticks: never early, never twice, never another time than it should."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from metrics_agent.supervision.ticker import Ticker, TickerLimits
from tests.supervision.test_ticker import TickerCase


class ScheduleTests(TickerCase):
    """Over any delay of the reactor and any length of ticks."""

    @example(interval_s=0.01, turns=[2.0, 1.0], works=[0.0])  # 3.0 is 98.99999 intervals after 2.01
    @example(interval_s=0.01, turns=[2.0, 0.9999999, 1e-6], works=[0.0])
    @given(
        interval_s=st.floats(0.01, 100),
        turns=st.lists(st.floats(0.001, 500), min_size=1, max_size=30),
        works=st.lists(st.floats(0, 60), min_size=1, max_size=10),
    )
    def test_schedule(self, interval_s: float, turns: list[float], works: list[float]) -> None:
        """Never early, at most one an interval, always another; on round times when on time."""
        clock = self.clock = Clock()
        ticks: list[float] = []
        lengths = iter(works * 1000)

        def collect() -> Deferred[Any]:
            ticks.append(clock.seconds() / interval_s)
            work: Deferred[Any] = Deferred()
            clock.callLater(next(lengths), work.callback, None)
            return work

        ticker = Ticker(
            clock,
            interval_s,
            collect,
            emit=self.emitted.extend,
            guard=self.guard,
            place="tick",
            limits=TickerLimits(failed_in_row=3, timeout_s=1000.0),
            on_hopeless=self.hopeless.append,
        )
        ticker.start(now=True)
        for turn_s in turns:
            # A whole turn at once: timers that are due in it come late.
            clock.rightNow += turn_s
            clock.advance(0)
            due_s = [call.getTime() for call in clock.getDelayedCalls()]
            self.assertTrue(due_s, "there is no next tick")
        slot = -1
        for sooner, later in pairwise([-1.0, *ticks]):
            self.assertGreater(later - sooner, 0.0005, "two ticks at the same moment")
            # One just before a multiple of the interval may be that of either side.
            slot = max(slot + 1, math.floor(later - 0.002))
            self.assertLessEqual(slot, later + 0.002, "two ticks in one interval")
        ticker.cancel()
        for call in clock.getDelayedCalls():  # what represents the work
            call.cancel()
        self.assertEqual(self.hopeless, [])

    @given(interval_s=st.floats(0.01, 1000), count=st.integers(1, 200))
    def test_no_drift(self, interval_s: float, count: int) -> None:
        """A reactor that is on time ticks at multiples of the interval, after any number."""
        clock = Clock()
        ticks: list[float] = []
        ticker = Ticker(
            clock,
            interval_s,
            lambda: ticks.append(clock.seconds()),
            emit=self.emitted.extend,
            guard=self.guard,
            place="tick",
            limits=TickerLimits(failed_in_row=3, timeout_s=60.0),
            on_hopeless=self.hopeless.append,
        )
        ticker.start(now=False)
        while len(ticks) < count:
            (call,) = clock.getDelayedCalls()
            clock.advance(call.getTime() - clock.seconds())
        ticker.cancel()
        self.assertAlmostEqual(ticks[-1], count * interval_s, delta=interval_s * 1e-6 * count)
        self.assertEqual(self.counters.errors, {})
