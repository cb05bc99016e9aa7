"""Looks twice a second at what only a look shows: the reactor's lag, and which modules have news.

That a module has emitted a metric is a number that grows. To write the time beside it would cost
each message something; to look whether it has grown costs next to nothing. But each look wakes
the process up: while no module has anything new, it looks a third as often.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice, takewhile
from math import ceil
from typing import Any, Final

from attrs import define
from twisted.application.service import Service

from metrics_agent.supervision.counters import CountersByModule
from metrics_agent.timer import Timer

__all__ = ["SAMPLE_S", "Sampler"]

SAMPLE_S: Final = 0.5
IDLE_SAMPLE_S: Final = 1.5
LONGEST_S: Final = 600.0
"""Samples of the lag are kept for so long: 120 KB."""


@define
class _Seen:
    """What was counted for a module at the last look, and when that had grown."""

    metrics: int = 0
    errors: int = 0
    metric_s: float | None = None
    error_s: float | None = None


class Sampler(Service):
    """Takes the samples.

    Args:
        clock: provides seconds and callLater.
        counters: of all modules.
        failed: called with a fault of our own.
        looked: called at each look.
    """

    def __init__(
        self,
        clock: Any,
        counters: CountersByModule,
        failed: Callable[[BaseException], object],
        looked: Callable[[], object] = lambda: None,
    ) -> None:
        self._clock = clock
        self._counters = counters
        self._looked = looked
        # When, and by how much.
        self._lags: deque[tuple[float, float]] = deque(maxlen=round(LONGEST_S / SAMPLE_S))
        self._seen: dict[str, _Seen] = {}
        self._due_s = 0.0
        self._timer = Timer(clock, self._sample, failed)

    def startService(self) -> None:
        """Look from now on."""
        super().startService()
        self._due_s = self._clock.seconds() + SAMPLE_S
        self._timer.start(SAMPLE_S)

    def stopService(self) -> None:
        """Look no more; safe before start and twice."""
        super().stopService()
        self._timer.stop()

    def reactor_lag_s(self, over_s: float) -> tuple[float, float]:
        """Return by how much timers were late: the 99th percentile and the maximum.

        Args:
            over_s: of the last so many seconds, `LONGEST_S` at most, and of the last look always.
        """
        from_s = self._clock.seconds() - min(over_s, LONGEST_S)
        newest = reversed(self._lags)
        recent = [*islice(newest, 1), *takewhile(lambda sample: sample[0] > from_s, newest)]
        lags = sorted(lag_s for _at_s, lag_s in recent) or [0.0]
        return lags[ceil(0.99 * len(lags)) - 1], lags[-1]

    def since_metric_s(self, module: str) -> float | None:
        """Return how long ago a module's last metric was; None if it has had none."""
        seen = self._seen.get(module)
        return None if seen is None else self._since_s(seen.metric_s)

    def since_error_s(self, module: str) -> float | None:
        """Return how long ago a module's last error was; None if it has had none."""
        seen = self._seen.get(module)
        return None if seen is None else self._since_s(seen.error_s)

    def _since_s(self, at_s: float | None) -> float | None:
        return None if at_s is None else max(0.0, self._clock.seconds() - at_s)

    def _sample(self) -> float:
        self._looked()
        now_s = self._clock.seconds()
        self._lags.append((now_s, max(0.0, now_s - self._due_s)))
        news = False
        for module, counters in self._counters.all():
            seen = self._seen.get(module)
            if seen is None:
                seen = self._seen[module] = _Seen()
            if counters.metrics != seen.metrics:
                seen.metrics, seen.metric_s = counters.metrics, now_s
                news = True
            errors = sum(counters.errors.values())
            if errors != seen.errors:
                seen.errors, seen.error_s = errors, now_s
                news = True
        delay_s = SAMPLE_S if news else IDLE_SAMPLE_S
        self._due_s = now_s + delay_s
        return delay_s
