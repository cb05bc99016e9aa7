"""Values over time and their counters: pure functions of the time.

A counter is the integral of its power from a fixed origin: it fits the power at any time and never
runs backwards, also across restarts of the demo. Times are seconds since the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from itertools import accumulate
from random import Random
from typing import Final

from attrs import frozen

__all__ = ["ORIGIN", "Counter", "Curve", "swing", "switched", "wave"]

ORIGIN: Final = "2024-01-01T00:00:00"
"""When all counters began to count."""
_ORIGIN_S: Final = 1_704_067_200.0

_DAY_S: Final = 24 * 60 * 60
_JOULES_PER_KWH: Final = 3_600_000

# The shares of a wave's swing, and the periods in seconds that repeat together.
_SHARES: Final = ((0.6, 600), (0.3, 120), (0.1, 15))


class Curve:
    """A value that repeats.

    Args:
        period_s: after which it repeats.
        value: its value at a time from 0 to ``period_s``.
    """

    def __init__(self, period_s: int, value: Callable[[float], float]) -> None:
        self._period_s = period_s
        self._value = value

    def at(self, time_s: float) -> float:
        """Return the value at a time."""
        return self._value(time_s % self._period_s)

    def integral(self, start_s: float, end_s: float) -> float:
        """Return the value times seconds, summed up between two times."""
        return self._until(end_s) - self._until(start_s)

    @cached_property
    def drawn(self) -> Curve:
        """What is above 0, of a power what is drawn from the grid."""
        return Curve(self._period_s, lambda time_s: max(self._value(time_s), 0.0))

    @cached_property
    def fed(self) -> Curve:
        """What is below 0, as a positive value."""
        return Curve(self._period_s, lambda time_s: max(-self._value(time_s), 0.0))

    @cached_property
    def _sums(self) -> list[float]:
        return [0.0, *accumulate(self._value(second + 0.5) for second in range(self._period_s))]

    def _until(self, time_s: float) -> float:
        periods, rest_s = divmod(time_s, self._period_s)
        second = int(rest_s)
        begun = (rest_s - second) * self._value(second + 0.5)
        return periods * self._sums[-1] + self._sums[second] + begun


def wave(random: Random, mean: float, amplitude: float) -> Curve:
    """Return a curve that varies slowly and quickly, at most by the amplitude."""
    sines = [(amplitude * share, period, random.random()) for share, period in _SHARES]

    def value(time_s: float) -> float:
        turns = [(height, time_s / period + phase) for height, period, phase in sines]
        return mean + sum(height * math.sin(math.tau * turn) for height, turn in turns)

    return Curve(_SHARES[0][1], value)


def switched(on: float, off: float, on_s: float, period_s: int) -> Curve:
    """Return a curve with two values: on from the start of each period for ``on_s``."""
    return Curve(period_s, lambda time_s: on if time_s < on_s else off)


def swing(mean: float, amplitude: float, period_s: int) -> Curve:
    """Return one sine around a mean."""
    return Curve(period_s, lambda time_s: mean + amplitude * math.sin(math.tau * time_s / period_s))


@frozen
class Counter:
    """A counter of energy in kWh.

    Attributes:
        power: in W; not negative.
        start: what it showed at the origin, in kWh.
    """

    power: Curve
    start: float = 0.0

    def total(self, now_s: float) -> float:
        """Return what it shows."""
        return self.start + self._between(_ORIGIN_S, now_s)

    def today(self, now_s: float) -> float:
        """Return what came since midnight (UTC)."""
        return self._between(now_s - now_s % _DAY_S, now_s)

    def yesterday(self, now_s: float) -> float:
        """Return what came on the day before."""
        midnight_s = now_s - now_s % _DAY_S
        return self._between(midnight_s - _DAY_S, midnight_s)

    def _between(self, start_s: float, end_s: float) -> float:
        return self.power.integral(start_s, end_s) / _JOULES_PER_KWH
