"""The last hour of each module: metrics a second and errors, from counters that exist anyway."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from metrics_agent.supervision.counters import Counters
from metrics_agent.timer import Timer

__all__ = ["POINTS", "STEP_S", "History"]

STEP_S: Final = 20.0
POINTS: Final = 180
"""An hour of them."""


class _Course:
    """How the counters of one module have grown."""

    __slots__ = ("_at_s", "_counters", "_errors", "_metrics", "points")

    def __init__(self, counters: Counters, now_s: float) -> None:
        self._counters = counters
        self._at_s = now_s
        self._metrics, self._errors = self._counted()
        self.points: deque[tuple[float, int]] = deque(maxlen=POINTS)

    def look(self, now_s: float) -> None:
        metrics, errors = self._counted()
        if now_s > self._at_s:
            rate = round((metrics - self._metrics) / (now_s - self._at_s), 3)
            self.points.append((rate, errors - self._errors))
        self._at_s, self._metrics, self._errors = now_s, metrics, errors

    def _counted(self) -> tuple[int, int]:
        return self._counters.metrics, sum(self._counters.errors.values())


class History:
    """Looks at the counters from its start to its stop.

    Args:
        clock: provides seconds and callLater.
        modules: gives the names and counters of the modules there are.
        caught: called with a fault of our own.
    """

    def __init__(
        self,
        clock: Any,
        modules: Callable[[], Iterable[tuple[str, Counters]]],
        caught: Callable[[BaseException], object],
    ) -> None:
        self._clock = clock
        self._modules = modules
        self._courses: dict[str, _Course] = {}
        self._at_s = 0.0
        self._timer = Timer(clock, self._look, caught)

    def start(self) -> None:
        """Look from now on; where that is so already, at the modules there are now."""
        self._follow()
        if not self._timer.active:
            self._at_s = float(self._clock.seconds())
            self._timer.start(self._until_next_s())

    def stop(self) -> None:
        """Look no more, and forget."""
        self._timer.stop()
        self._courses.clear()

    def values(self) -> dict[str, Any]:
        """Return the points.

        Returns:
            ``step``, the seconds from one to the next; ``since``, how many have passed since the
            last; ``modules``: by name a list, the oldest first, of metrics a second and errors.
        """
        return {
            "step": STEP_S,
            "since": round(self._clock.seconds() - self._at_s, 1),
            "modules": {name: list(each.points) for name, each in self._courses.items()},
        }

    def _look(self) -> float:
        self._at_s = float(self._clock.seconds())
        for each in self._courses.values():
            each.look(self._at_s)
        return self._until_next_s()

    def _follow(self) -> None:
        """Keep the courses of the modules that there are."""
        now_s = float(self._clock.seconds())
        self._courses = {
            name: self._courses.get(name) or _Course(counters, now_s)
            for name, counters in self._modules()
        }

    def _until_next_s(self) -> float:
        """Return the time to a whole multiple of the step, half a step at least."""
        wait_s = STEP_S - float(self._clock.seconds()) % STEP_S
        return wait_s if wait_s >= STEP_S / 2 else wait_s + STEP_S
