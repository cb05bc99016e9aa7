"""Values that vary as real ones do: pure functions of time, whose integrals are known.

A counter is the integral of its power from a fixed origin, so it fits the power at any time, never
runs backwards, and is the same for everybody who asks: nothing is summed up while time goes by.

Times are seconds since the epoch, periods and phases seconds.
"""

from __future__ import annotations

import math
from random import Random
from typing import Final, Protocol

from attrs import frozen

__all__ = ["Curve", "Swing", "Switched", "Wave", "make_wave"]

_TURN: Final = 2 * math.pi

# What a wave is made of: shares of its swing and their periods, from slow to fast.
_SHARES: Final = ((0.6, 600.0), (0.3, 90.0), (0.1, 14.0))


class Curve(Protocol):
    """A value over time."""

    def at(self, time_s: float) -> float:
        """Return the value at a time."""
        ...

    def integral(self, start_s: float, end_s: float) -> float:
        """Return the value times seconds, summed up between two times."""
        ...


@frozen
class Wave:
    """A mean with sines on it.

    Attributes:
        mean: the value it varies around.
        sines: of each the amplitude, period and phase.
    """

    mean: float
    sines: tuple[tuple[float, float, float], ...]

    def at(self, time_s: float) -> float:
        """Return the value at a time."""
        return self.mean + sum(
            amplitude * math.sin(_TURN * ((time_s + phase_s) % period_s) / period_s)
            for amplitude, period_s, phase_s in self.sines
        )

    def integral(self, start_s: float, end_s: float) -> float:
        """Return the value times seconds, summed up between two times."""
        result = self.mean * (end_s - start_s)
        for amplitude, period_s, phase_s in self.sines:
            start, end = (
                math.cos(_TURN * ((time_s + phase_s) % period_s) / period_s)
                for time_s in (start_s, end_s)
            )
            result += amplitude * period_s / _TURN * (start - end)
        return result


def make_wave(random: Random, mean: float, swing: float) -> Wave:
    """Make a wave that stays within mean - swing and mean + swing."""
    return Wave(
        mean,
        tuple(
            (swing * share, period_s * random.uniform(0.8, 1.2), random.uniform(0, period_s))
            for share, period_s in _SHARES
        ),
    )


@frozen
class Switched:
    """A value that is switched: a compressor, a heating element, a door.

    Attributes:
        on, off: the two values.
        on_s: how long it is on in each period, from the period's start.
        period_s: after which it repeats.
        phase_s: how far it was in its period at the epoch.
    """

    on: float
    off: float
    on_s: float
    period_s: float
    phase_s: float = 0.0

    def is_on(self, time_s: float) -> bool:
        """Say whether it is on at a time."""
        return (time_s + self.phase_s) % self.period_s < self.on_s

    def at(self, time_s: float) -> float:
        """Return the value at a time."""
        return self.on if self.is_on(time_s) else self.off

    def integral(self, start_s: float, end_s: float) -> float:
        """Return the value times seconds, summed up between two times."""
        on_s = self._on_until(end_s) - self._on_until(start_s)
        return self.on * on_s + self.off * (end_s - start_s - on_s)

    def _on_until(self, time_s: float) -> float:
        periods, rest_s = divmod(time_s + self.phase_s, self.period_s)
        return periods * self.on_s + min(rest_s, self.on_s)


@frozen
class Swing:
    """A power that changes its direction: drawn from the grid above 0, fed into it below.

    Attributes:
        mean: the middle; nearer to 0 than the amplitude.
        amplitude: of the one sine.
        period_s, phase_s: of the sine.
    """

    mean: float
    amplitude: float
    period_s: float
    phase_s: float = 0.0

    def at(self, time_s: float) -> float:
        """Return the value at a time."""
        return self.mean + self.amplitude * math.sin(_TURN * self._turns(time_s))

    def integral(self, start_s: float, end_s: float) -> float:
        """Return the value times seconds, summed up between two times."""
        return self.drawn(start_s, end_s) - self.fed(start_s, end_s)

    def drawn(self, start_s: float, end_s: float) -> float:
        """Return what is above 0, times seconds, summed up between two times."""
        return self._above(end_s) - self._above(start_s)

    def fed(self, start_s: float, end_s: float) -> float:
        """Return what is below 0, times seconds, summed up between two times; not negative."""
        mirrored = Swing(
            -self.mean, self.amplitude, self.period_s, self.phase_s + self.period_s / 2
        )
        return mirrored.drawn(start_s, end_s)

    def _turns(self, time_s: float) -> float:
        return (time_s + self.phase_s) / self.period_s

    def _above(self, time_s: float) -> float:
        """Integrate what is above 0 from an upward crossing of 0 long ago."""
        crossing = math.asin(-self.mean / self.amplitude)
        turns, part = divmod(self._turns(time_s) - crossing / _TURN, 1.0)
        # In each turn it is above 0 from one crossing to the next.
        length = math.pi - 2 * crossing
        whole, begun = (
            self.mean * angle + self.amplitude * (math.cos(crossing) - math.cos(crossing + angle))
            for angle in (length, min(part * _TURN, length))
        )
        return (turns * whole + begun) * self.period_s / _TURN
