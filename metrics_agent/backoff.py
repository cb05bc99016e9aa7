"""When to try again: for connections, restarts and polls alike."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Backoff"]

MAX_DOUBLINGS = 30
"""Beyond that the limit holds anyway and a float could overflow."""


class Backoff:
    """Exponential delays with jitter.

    Args:
        minimum_s: the first delay.
        maximum_s: the limit of all delays.
        random: gives floats from 0 to below 1.
    """

    def __init__(self, minimum_s: float, maximum_s: float, random: Callable[[], float]) -> None:
        self._minimum_s = minimum_s
        self._maximum_s = max(minimum_s, maximum_s)
        self._random = random
        self._rounds = 0

    def reset(self) -> None:
        """Forget the failures: things have been well for a while."""
        self._rounds = 0

    def next_delay_s(self) -> float:
        """Return a delay; each is longer than the one before until the limit is reached."""
        delay_s = self._minimum_s * 2 ** min(self._rounds, MAX_DOUBLINGS)
        self._rounds += 1
        return self._spread(min(delay_s, self._maximum_s))

    def first_delay_s(self) -> float:
        """Return the delay before the next of several addresses; counts as no failure."""
        return self._spread(self._minimum_s)

    def longest_delay_s(self) -> float:
        """Return the delay for a fault that needs user action."""
        return self._spread(self._maximum_s)

    def _spread(self, delay_s: float) -> float:
        # Half of it is left to chance, so that many clients do not come back together.
        return delay_s * (0.5 + 0.5 * self._random())
