"""Values over time, and their integrals."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.demo.curves import Curve, swing, switched, wave

NOW_S = 1_770_000_000.0
SWITCHED = switched(on=2000, off=100, on_s=20, period_s=150)
SWING = swing(mean=-210, amplitude=480, period_s=180)
CURVES = {
    "wave": wave(Random(5), 240, 90),
    "switched": SWITCHED,
    "swing": SWING,
}
STEP_S = 0.05


def summed_up(curve: Curve, start_s: float, seconds: int) -> float:
    """Integrate the plain way, by many small steps."""
    count = round(seconds / STEP_S)
    return sum(curve.at(start_s + (n + 0.5) * STEP_S) for n in range(count)) * STEP_S


class Integrals(SynchronousTestCase):
    """A counter is the integral of its power."""

    def test_they_are_the_sums_of_the_values(self) -> None:
        for name, curve in CURVES.items():
            for seconds in (7, 150, 1000):
                found = curve.integral(NOW_S, NOW_S + seconds)
                expected = summed_up(curve, NOW_S, seconds)
                self.assertAlmostEqual(found / expected, 1, places=2, msg=f"{name}, {seconds} s")

    def test_what_is_drawn_and_what_is_fed_are_the_sums_of_each_direction(self) -> None:
        values = [SWING.at(NOW_S + (n + 0.5) * STEP_S) for n in range(round(400 / STEP_S))]
        drawn = sum(value for value in values if value > 0) * STEP_S
        fed = -sum(value for value in values if value < 0) * STEP_S
        self.assertAlmostEqual(SWING.drawn.integral(NOW_S, NOW_S + 400) / drawn, 1, places=3)
        self.assertAlmostEqual(SWING.fed.integral(NOW_S, NOW_S + 400) / fed, 1, places=3)

    @given(st.floats(0, 1e6), st.floats(0, 1000))
    def test_counters_never_run_backwards(self, start_s: float, seconds: float) -> None:
        for counted in (SWITCHED, SWING.drawn, SWING.fed, CURVES["wave"]):
            self.assertGreaterEqual(
                counted.integral(NOW_S + start_s, NOW_S + start_s + seconds), -1e-3
            )


class Values(SynchronousTestCase):
    """What a value may be."""

    def test_a_wave_varies_and_stays_within_its_swing(self) -> None:
        curve = wave(Random(1), 50, 4)
        values = [curve.at(NOW_S + second) for second in range(2000)]
        self.assertTrue(all(46 <= value <= 54 for value in values))
        self.assertGreater(max(values) - min(values), 4)
        self.assertNotEqual(round(values[0], 2), round(values[3], 2))

    def test_a_switch_has_two_values_for_its_times(self) -> None:
        values = [SWITCHED.at(NOW_S + second) for second in range(1500)]
        self.assertEqual(values.count(2000), 200)
        self.assertEqual(values.count(100), 1300)

    def test_a_swing_changes_its_direction(self) -> None:
        values = [SWING.at(NOW_S + second) for second in range(180)]
        self.assertApproximates(max(values), 270, 1)
        self.assertApproximates(min(values), -690, 1)
