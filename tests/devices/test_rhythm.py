"""What is learned from gaps, and what it means for silence."""

from __future__ import annotations

from itertools import islice
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from metrics_agent.devices.rhythm import FLOOR_S, MISSED, MOST_STRIKES, Rhythm
from tests.devices import DevicesCase
from tests.devices.household import DAY_S, EVENTS, by_hand, periodic, with_events

GAPS = st.one_of(st.floats(0.001, 1e8), st.sampled_from([1.0, 10.0, 300.0, 301.0, 90_000.0]))


def learned(gaps: list[float], rhythm: Rhythm | None = None) -> Rhythm:
    """Return what is learned of gaps."""
    rhythm = rhythm or Rhythm()
    for gap_s in gaps:
        rhythm.learn(gap_s)
    return rhythm


def gaps_of(sends: object, seed: int, until_s: float) -> list[float]:
    """Return the gaps of a simulated device."""
    times = []
    for time_s in sends(Random(seed)):  # type: ignore[operator]  # as the household has them
        if time_s > until_s:
            break
        times.append(time_s)
    return [b - a for a, b in zip(times, islice(times, 1, None), strict=False) if b - a >= 1]


class IntervalTests(DevicesCase):
    """Devices with a timer."""

    def test_after_a_day(self) -> None:
        """A device that sends every five minutes is watched after a day, not before."""
        self.assertEqual(learned([300.0] * 280).overdue_s, 0)
        rhythm = learned([300.0] * 290)
        self.assert_near(rhythm.overdue_s, MISSED * 300)

    def test_fast_ones_have_a_minute(self) -> None:
        """None is overdue within a minute, whatever its gaps below twenty seconds are like."""
        for gaps in ([1.0], [10.0], [7.0, 14.0], [3.0, 9.0, 1.5]):
            rhythm = learned(gaps * 90_000)
            self.assertEqual(rhythm.overdue_s, FLOOR_S, gaps)

    def test_sleepers(self) -> None:
        """One that wakes every 25 h is watched after some nine days."""
        rhythm = learned([90_000.0 + number % 3 * 1000 for number in range(10)])
        self.assert_near(rhythm.overdue_s, MISSED * 91_000, delta=5000)

    def test_lost_messages(self) -> None:
        """Two gaps of twice the interval do not make it the interval."""
        rhythm = learned([*[300.0] * 300, 600.0, 600.0, 300.0, 600.0, 300.0])
        self.assert_near(rhythm.overdue_s, MISSED * 300)

    def test_events_beside_a_timer(self) -> None:
        """The interval is the edge that no gap exceeds, though most of them are shorter."""
        for seed in range(5):
            rhythm = learned(gaps_of(with_events(300.0, 20.0), seed, 3 * DAY_S))
            self.assert_near(rhythm.overdue_s, MISSED * 300, delta=40)

    def test_slower_and_faster(self) -> None:
        """A new interval is learned: a longer one at once, a shorter one after two days."""
        rhythm = learned([300.0] * 300)
        learned([900.0] * 3, rhythm)
        self.assertEqual((rhythm.interval_s, rhythm.is_regular), (900.0, False))
        learned([900.0] * 100, rhythm)
        self.assert_near(rhythm.overdue_s, MISSED * 900)
        learned([60.0] * 60, rhythm)
        self.assert_near(rhythm.interval_s, 900)
        learned([60.0] * 5000, rhythm)
        self.assert_near(rhythm.overdue_s, MISSED * 60)

    def test_first_gap_that_was_none(self) -> None:
        """What the first gap is like does not matter."""
        for first_s in (3.0, 9000.0):
            self.assert_near(learned([first_s, *[300.0] * 300]).overdue_s, MISSED * 300)

    def test_three_times_overdue(self) -> None:
        """A device that goes and comes back is watched until the third time, then after a week."""
        rhythm = learned([300.0] * 300)
        for _ in range(MOST_STRIKES - 1):
            rhythm.came_back()
            self.assertGreater(rhythm.overdue_s, 0)
            learned([300.0] * 100, rhythm)
        rhythm.came_back()
        self.assertEqual(learned([300.0] * 300, rhythm).overdue_s, 0)
        self.assert_near(learned([300.0] * 2016, rhythm).overdue_s, MISSED * 300)


class EventTests(DevicesCase):
    """Devices without a timer."""

    def test_never_overdue(self) -> None:
        """Whatever the pattern of events, no silence is too long in a month."""
        for number, sends in enumerate(EVENTS):
            rhythm = Rhythm()
            for gap_s in gaps_of(sends, number, 30 * DAY_S):
                self.assertFalse(rhythm.overdue_s and gap_s > rhythm.overdue_s, number)
                rhythm.learn(gap_s)

    def test_switch_that_is_used_each_eight_hours(self) -> None:
        """People who keep hours on workdays do not on the weekend: that takes a week to see."""
        rhythm = learned(gaps_of(by_hand(7, 15, 23), 1, 4.9 * DAY_S))
        self.assertEqual(rhythm.overdue_s, 0)


class BoundTests(DevicesCase):
    """Whatever comes."""

    @given(st.lists(st.one_of(GAPS, st.none(), st.just(0)), max_size=60))
    def test_never_raises(self, gaps: list[float | None]) -> None:
        """Any gaps, pauses and returns leave numbers that can be packed, and the same after it."""
        rhythm = Rhythm()
        for gap_s in gaps:
            if gap_s is None:
                rhythm.came_back()
            elif gap_s:
                rhythm.learn(gap_s)
            else:
                rhythm.pause()
            packed = rhythm.packed()
            again = Rhythm(packed)
            self.assertEqual((again.packed(), len(packed)), (packed, 27))
            self.assertGreaterEqual(rhythm.overdue_s, 0)
            rhythm = again

    def test_ten_years(self) -> None:
        """Sums stay within what they are packed in."""
        rhythm = learned([86_400.0] * 4000)
        self.assertEqual(Rhythm(rhythm.packed()).packed(), rhythm.packed())
        self.assertGreater(rhythm.overdue_s, 0)

    def test_jitter(self) -> None:
        """A timer that is two percent off each time is watched as one that is exact."""
        rhythm = learned(gaps_of(periodic(60.0), 3, 2 * DAY_S))
        self.assert_near(rhythm.overdue_s, MISSED * 60, delta=5)
