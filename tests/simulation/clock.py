"""The clock of a simulation: time passes only from one event to the next."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any, Final

__all__ = ["Event", "SimClock"]

STANDSTILL_CALLS: Final = 200_000


class Event:
    """A call at a time; made by `SimClock.later`."""

    __slots__ = ("call", "time_s")

    def __init__(self, time_s: float, call: Callable[[], object] | None) -> None:
        self.time_s = time_s
        self.call = call

    def cancel(self) -> None:
        """Forget the call; harmless when it is over."""
        self.call = None


class SimClock:
    """Runs events in the order of their times.

    Args:
        random: of the seed.

    Attributes:
        now_s: seconds since some moment, never set back.
        random: makes every random choice.
        stopped: nothing happens any more.
        wall_offset_ns: how far the wall clock is ahead of `now_s`.
        thread_s: how long work in a thread takes at most.
        on_turn: called after each event.
        boundary: called with the name of what happens, see `schedule.BOUNDARIES`.
    """

    def __init__(self, random: Random) -> None:
        self.now_s = 1000.0
        self.random = random
        self.wall_offset_ns = 1_800_000_000 * 10**9
        self.stopped = False
        self.thread_s = 1.0
        self.on_turn: Callable[[], object] = lambda: None
        self.boundary: Callable[[str], object] = lambda _name: None
        self._queue: list[tuple[float, int, Event]] = []
        self._count = 0

    def wall_ns(self) -> int:
        """Return the wall clock."""
        return self.wall_offset_ns + round(self.now_s * 1e9)

    def later(self, delay_s: float, call: Callable[..., object], *args: Any) -> Event:
        """Call once after a delay."""
        event = Event(self.now_s + delay_s, (lambda: call(*args)) if args else call)
        self.put(event)
        return event

    def put(self, event: Event) -> None:
        """Add an event; of equal times the first added comes first."""
        self._count += 1
        heappush(self._queue, (event.time_s, self._count, event))

    def run(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            RuntimeError: time does not pass, since calls for the same moment never end.
        """
        end_s = self.now_s + seconds
        queue, calls = self._queue, 0
        while queue and queue[0][0] <= end_s and not self.stopped:
            time_s, _count, event = heappop(queue)
            call, event.call = event.call, None
            if call is not None:
                if time_s > self.now_s:
                    self.now_s, calls = time_s, 0
                calls += 1
                if calls > STANDSTILL_CALLS:
                    raise RuntimeError(f"{calls} calls at one moment, the last {call}")
                call()
                self.on_turn()
        if not self.stopped:
            self.now_s = end_s
