"""From metrics to batches of lines, a flood spread over many turns of the reactor.

A module may hand over a hundred thousand metrics in one call. Encoding them takes a second, and
a second in which nothing else runs is what other modules must never see: so after some hundred
metrics the rest waits for the next turn. What comes later from the same module waits behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import length_hint
from typing import Any, Final

from twisted.logger import Logger

from metrics_agent.batch import Batch
from metrics_agent.clock import wall_ns
from metrics_agent.errors import MetricRefused
from metrics_agent.metric import Metric, Series
from metrics_agent.supervision.counters import Counters
from metrics_agent.supervision.guard import Caught, Guard
from metrics_agent.timer import Timer

__all__ = ["Emitter"]

METRICS_A_TURN: Final = 500
METRICS_AT_ONCE: Final = 200_000
"""What a flush writes at most: a generator without end must not hold up the end of a module."""

MAX_WAITING: Final = 1000
"""Calls of ``emit`` that may wait behind a flood; a module that floods without end is cut there."""

PLACE: Final = "emit"


class Emitter:
    """Encodes what one module emits and hands it to the sink; never raises.

    Args:
        clock: provides callLater.
        encode: see `line_protocol.Encoder.encode`.
        write: takes a batch.
        guard: contains what an iterable raises.
        counters: of the module.
        log: of the module.
        note: called with each metric, its line and the wall clock, see `DeviceBook.note`.
        now_ns: the wall clock.
    """

    def __init__(
        self,
        clock: Any,
        *,
        encode: Callable[[Metric], bytes],
        write: Callable[[Batch], None],
        guard: Guard,
        counters: Counters,
        log: Logger,
        note: Callable[[Metric, bytes, int], object] = lambda _metric, _line, _heard_ns: None,
        now_ns: Callable[[], int] = wall_ns,
    ) -> None:
        self._note = note
        self._now_ns = now_ns
        self._encode = encode
        self._write = write
        self._guard = guard
        self._counters = counters
        self._log = log
        self._waiting: deque[Iterator[Metric]] = deque()
        self._lines: list[bytes] = []
        self._timer = Timer(clock, self._go_on, lambda error: guard.caught(PLACE, error))
        self._budget = 0
        self._busy = False

    def emit(self, metrics: Iterable[Metric]) -> None:
        """Queue metrics; what cannot be encoded is counted, the rest goes on."""
        iterator = self._guard.run(PLACE, iter, metrics)
        if isinstance(iterator, Caught):
            return
        if len(self._waiting) >= MAX_WAITING:
            self._drop(iterator)
            return
        self._waiting.append(iterator)
        # Busy: the generator that is being read has called emit; these metrics come after its own.
        if not self._timer.active and not self._busy:
            self._work(METRICS_A_TURN)

    def flush(self) -> None:
        """Queue all that waits, at once; what is beyond `METRICS_AT_ONCE` is dropped, counted."""
        if self._busy:
            return
        self._work(METRICS_AT_ONCE)
        self._timer.stop()
        while self._waiting:
            self._drop(self._waiting.popleft())

    def _go_on(self) -> float | None:
        self._work(METRICS_A_TURN)
        return 0 if self._waiting else None

    def _work(self, budget: int) -> None:
        """Take so many metrics; set a timer for what is left."""
        self._busy = True
        self._budget = budget
        try:
            while self._waiting and self._budget:
                self._guard.run(PLACE, self._encode_all, islice(self._waiting[0], self._budget))
                if self._budget:  # it has ended, or raised
                    self._waiting.popleft()
        finally:
            # Where the stack ran out, not even the guard can do its work: the next call goes on.
            self._busy = False
        if self._lines:
            lines, self._lines = self._lines, []
            self._counters.metrics += len(lines)
            self._write(Batch(b"".join(lines), len(lines)))
        if self._waiting and not self._timer.active:
            self._timer.start(0)

    def _encode_all(self, metrics: Iterable[Metric]) -> None:
        now_ns = self._now_ns()
        for metric in metrics:
            self._budget -= 1
            try:
                line = self._encode(metric)
                self._lines.append(line)
                self._note(metric, line, now_ns)
            except MetricRefused as refused:
                self.refused(refused, metric)
            except BaseException as error:
                # Its fields may be any mapping, with any code.
                self._guard.caught(PLACE, error)

    def _drop(self, iterator: Iterator[Metric]) -> None:
        # A generator cannot say how many there are.
        count = self._guard.run(PLACE, length_hint, iterator, 1)
        self._counters.drop("flood", count or 1)

    def refused(self, refused: MetricRefused, metric: object) -> None:
        """Count a metric that line protocol cannot carry, and log it by its series and reason."""
        self._counters.drop(refused.reason)
        if refused.known:
            return
        # It may be anything, as not_a_metric says.
        series = metric[0] if isinstance(metric, tuple) and metric else None
        self._log.warn(
            "Metric {series} refused: {error}",
            series=series.describe() if isinstance(series, Series) else "without a series",
            error=refused,
            reason=refused.reason,
            fold=("series", "reason"),
        )
