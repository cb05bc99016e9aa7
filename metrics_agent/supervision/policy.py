"""When a failed module is tried again. Pure: time is handed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from attrs import frozen

from metrics_agent.backoff import Backoff

__all__ = ["RestartDecision", "RestartPolicy"]


@frozen
class RestartDecision:
    """What happens to a module that failed.

    Attributes:
        delay_s: until it is started again.
        parked: it was restarted too often; the delay is then the long one.
        restart: which restart within the window this is, from 1; 0 when parked.
    """

    delay_s: float
    parked: bool
    restart: int


class RestartPolicy:
    """Restart intensity as in OTP: so many restarts within a window, then the module is parked.

    A parked module is tried again after a long while. If that attempt fails within a window, it is
    parked again at once; if it does not, the count starts from zero. Restarts before the window
    do not count either.

    Args:
        limit: restarts within the window that are allowed; 0 = any number.
        window_s: the time over which they are counted.
        backoff_min_s: the wait before the first restart,
        backoff_max_s: and the longest; in between it doubles, half of it by chance.
        park_s: how long a module is parked.
        random: gives floats from 0 to below 1.
    """

    def __init__(
        self,
        *,
        limit: int,
        window_s: float,
        backoff_min_s: float,
        backoff_max_s: float,
        park_s: float,
        random: Callable[[], float],
    ) -> None:
        self._limit = limit
        self._window_s = window_s
        self._park_s = park_s
        self._backoff = Backoff(backoff_min_s, backoff_max_s, random)
        self._restarts: deque[float] = deque()
        self._proven_at_s: float | None = None

    def recent(self, now_s: float) -> int:
        """Return how many restarts within the window there were."""
        return sum(restart_s > now_s - self._window_s for restart_s in self._restarts)

    def failed(self, now_s: float) -> RestartDecision:
        """Record a failure and return what comes next.

        Args:
            now_s: of a clock that does not jump.
        """
        restarts = self._restarts
        while restarts and restarts[0] <= now_s - self._window_s:
            restarts.popleft()
        if not restarts:
            self._backoff.reset()
        on_probation = self._proven_at_s is not None and now_s < self._proven_at_s
        if on_probation or (self._limit and len(restarts) >= self._limit):
            self._proven_at_s = now_s + self._park_s + self._window_s
            return RestartDecision(self._park_s, parked=True, restart=0)
        restarts.append(now_s)
        return RestartDecision(self._backoff.next_delay_s(), parked=False, restart=len(restarts))
