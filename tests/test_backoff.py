"""Delays that double, half of each left to chance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.backoff import Backoff


def backoff(minimum_s: float, maximum_s: float, chance: float = 0.0) -> Backoff:
    """Make one whose chance is given: 0 for the shortest delays."""
    return Backoff(minimum_s, maximum_s, lambda: chance)


class BackoffTests(SynchronousTestCase):
    """What comes after what."""

    def test_doubles_up_to_the_limit(self) -> None:
        """Each delay is twice the one before, until the longest."""
        delays = backoff(1, 10, chance=1.0)
        self.assertEqual([delays.next_delay_s() for _ in range(6)], [1, 2, 4, 8, 10, 10])

    def test_half_is_chance(self) -> None:
        """A delay is between half and the whole."""
        self.assertEqual(backoff(4, 60, chance=0.0).next_delay_s(), 2)
        self.assertEqual(backoff(4, 60, chance=0.5).next_delay_s(), 3)

    def test_reset(self) -> None:
        """After a time of health it begins with the shortest again."""
        delays = backoff(1, 60, chance=1.0)
        for _ in range(4):
            delays.next_delay_s()
        delays.reset()
        self.assertEqual(delays.next_delay_s(), 1)

    def test_first_and_longest(self) -> None:
        """Both can be asked for without counting as a failure."""
        delays = backoff(1, 60, chance=1.0)
        self.assertEqual((delays.first_delay_s(), delays.longest_delay_s()), (1, 60))
        self.assertEqual(delays.next_delay_s(), 1)

    def test_limits_the_wrong_way_round(self) -> None:
        """A limit below the first delay is raised to it."""
        self.assertEqual(backoff(5, 1, chance=1.0).next_delay_s(), 5)

    def test_for_ever(self) -> None:
        """A broker that is away for years does not overflow a float."""
        delays = backoff(0.5, 300, chance=1.0)
        for _ in range(5000):
            last_s = delays.next_delay_s()
        self.assertEqual(last_s, 300)

    @given(
        st.floats(0.001, 1e4),
        st.floats(0.001, 1e6),
        st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=40),
    )
    def test_bounds(self, minimum_s: float, maximum_s: float, chances: list[float]) -> None:
        """Whatever the settings: never below half the first delay, never above the limit."""
        delays = Backoff(minimum_s, maximum_s, iter(chances).__next__)
        for _ in chances:
            delay_s = delays.next_delay_s()
            self.assertGreaterEqual(delay_s, minimum_s / 2)
            self.assertLessEqual(delay_s, max(minimum_s, maximum_s))
