"""A timer of a module: keeps ticking, whatever a tick does.

LoopingCall and TimerService stop for good after one exception; this one goes on, counts the ticks
in a row that failed, and stops waiting for a tick that never ends.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from metrics_agent.deferreds import as_deferred
from metrics_agent.interfaces import Collect
from metrics_agent.metric import Metric
from metrics_agent.supervision.guard import Caught, Guard

__all__ = ["Ticker", "TickerLimits"]

_NEARLY: Final = 0.001
"""A tick that comes this part of an interval before the next one, or less, is the next one: else
rounding decides whether two come at the same moment."""


class TickerLimits:
    """What bounds a ticker.

    Args:
        failed_in_row: ticks in a row that fail until ``on_hopeless`` is called.
        timeout_s: a tick that has not ended by then is cancelled and has failed.
    """

    __slots__ = ("failed_in_row", "timeout_s")

    def __init__(self, failed_in_row: int, timeout_s: float) -> None:
        self.failed_in_row = failed_in_row
        self.timeout_s = timeout_s


class Ticker:
    """Calls ``collect`` at each interval; a tick waits for the one before to end.

    Args:
        clock: provides seconds and callLater.
        interval_s: from tick to tick; a tick that comes late does not shift the next ones.
        collect: see `interfaces.Collect`.
        emit: takes the metrics; does not raise.
        guard: contains what a tick raises.
        place: what to call it in the log and the counters.
        limits: see there.
        on_hopeless: called with the last fault when too many ticks in a row failed.
    """

    def __init__(
        self,
        clock: Any,
        interval_s: float,
        collect: Collect,
        *,
        emit: Callable[[Iterable[Metric]], None],
        guard: Guard,
        place: str,
        limits: TickerLimits,
        on_hopeless: Callable[[BaseException], None],
    ) -> None:
        if not (interval_s > 0 and math.isfinite(interval_s)):
            raise ValueError(f"got an interval of {interval_s!r} s, expected more than 0")
        self._clock = clock
        self._interval_s = interval_s
        self._collect = collect
        self._emit = emit
        self._guard = guard
        self._place = place
        self._limits = limits
        self._on_hopeless = on_hopeless
        self._next_s = clock.seconds()
        self._call: IDelayedCall | None = None
        self._work: Deferred[Any] | None = None
        self._ended = False
        self._failed = 0

    def start(self, *, now: bool) -> None:
        """Set the first tick: in the reactor's next turn, or after an interval."""
        if self._ended:
            return
        if not now:
            self._next_s += self._interval_s
        delay_s = max(0.0, self._next_s - self._clock.seconds())
        self._call = self._clock.callLater(delay_s, self._tick)

    def cancel(self) -> None:
        """Tick no more, and cancel what a tick waits for; harmless when called again."""
        self._ended = True
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()
        work, self._work = self._work, None
        if work is not None:
            self._guard.run(self._place, work.cancel)

    def _tick(self) -> None:
        # Called by the reactor: the start, or a timer.
        self._call = None
        try:
            result = self._guard.run(self._place, self._collect)
            if isinstance(result, Awaitable):
                self._wait_for(result)
            else:
                self._hand_on(result)
        except BaseException as error:
            # The guard itself, where there is no memory to log a fault.
            if self._call is None:
                self._work = None
                self._over(error)
            raise

    def _wait_for(self, result: Awaitable[Any]) -> None:
        work = self._guard.watch(self._place, as_deferred(result))
        if self._ended:
            # The tick has cancelled its own timer.
            self._guard.run(self._place, work.cancel)
            return
        self._work = work
        self._call = self._clock.callLater(self._limits.timeout_s, self._timed_out, work)

        def ended(result: Any) -> Any:
            if self._work is not work:
                return None  # cancelled, or timed out
            self._work = None
            if self._call is not None and self._call.active():
                self._call.cancel()
            if isinstance(result, Failure):
                # Of the guard itself, as in a tick.
                self._over(result.value)
                return result
            self._hand_on(result)
            return None

        work.addBoth(ended)

    def _timed_out(self, work: Deferred[Any]) -> None:
        # What it was doing may never come back, whatever cancelling does.
        self._work = None
        error = TimeoutError(f"the tick did not end within {self._limits.timeout_s:g} s")
        try:
            self._guard.run(self._place, work.cancel)
            self._guard.caught(self._place, error)
        finally:
            self._over(error)

    def _hand_on(self, result: Iterable[Metric] | Caught | None) -> None:
        fault: BaseException | None = None
        try:
            if not isinstance(result, Caught):
                # A generator does its work here, so what it raises is the tick's fault.
                result = self._guard.run(self._place, tuple, result or ())
            if isinstance(result, Caught):
                fault = result.error
            elif result:
                self._emit(result)
        finally:
            self._over(fault)

    def _over(self, fault: BaseException | None) -> None:
        """Set the next tick; too many failed ones in a row are the module's end."""
        if self._ended:
            return
        self._failed = 0 if fault is None else self._failed + 1
        now_s = self._clock.seconds()
        late = (now_s - self._next_s) / self._interval_s
        missed = max(0, math.floor(late + _NEARLY))
        self._next_s += (missed + 1) * self._interval_s
        self._call = self._clock.callLater(max(0.0, self._next_s - now_s), self._tick)
        if fault is not None and self._failed >= self._limits.failed_in_row:
            self._failed = 0
            self._on_hopeless(fault)
