"""A clock that stops while the agent cannot hear the devices of a module.

A broker that is away, a module that waits for its restart, a full output that stops the reading, a
process that stands still: none of that is the silence of a device. So silence is measured on a
clock of each module that goes on only while it hears. What devices sent meanwhile may be lost,
therefore the clock goes on only after as long again, for ten minutes at most: of a connection
that comes and goes every few minutes nothing can be concluded.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ListeningClock"]

SETTLE_S: Final = 600.0


class ListeningClock:
    """Seconds in which a module could hear its devices.

    Args:
        longest_s: more than that between two ticks, and the process has stood still.

    Attributes:
        now_s: the time on this clock.
    """

    __slots__ = ("_longest_s", "_settle_s", "_tick_s", "now_s")

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._tick_s: float | None = None
        self._settle_s = 0.0
        self.now_s = 0.0

    def tick(self, now_s: float, *, hears: bool) -> float:
        """Go on.

        Args:
            now_s: monotonic.
            hears: whether messages of devices come in, if they send any.

        Returns:
            The seconds since the last tick.
        """
        passed_s = 0.0 if self._tick_s is None else max(0.0, now_s - self._tick_s)
        self._tick_s = now_s
        if not hears or passed_s > self._longest_s:
            self._settle_s = min(SETTLE_S, self._settle_s + passed_s)
            return passed_s
        settled_s = min(self._settle_s, passed_s)
        self._settle_s -= settled_s
        self.now_s += passed_s - settled_s
        return passed_s
