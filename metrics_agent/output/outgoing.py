"""What a writer is delivering: lines that left the sink's queue and may not have arrived yet.

A writer that knows the fate of what it sends delivers one part after the other, with the same bytes
each time. `pace` says when the next lines leave the queue. Parts are smaller for a while after one
was too large, and a stop does not wait for the time of the next try.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from metrics_agent.output.pace import QUIET_S, wait_s
from metrics_agent.output.writer import BatchSource
from metrics_agent.timer import Timer

__all__ = ["LONE_LINE_S", "RETRY_MAX_S", "RETRY_MIN_S", "SMALL_S", "Outgoing"]

RETRY_MIN_S: Final = 0.5
RETRY_MAX_S: Final = 30.0

LONE_LINE_S: Final = 10.0
"""How long a line that was rejected alone waits for others to be searched with."""

SMALL_S: Final = 600.0
"""For how long parts stay smaller after one was too large."""

_DRAIN_RETRY_S: Final = 0.5
"""The longest wait before the next try during a stop."""


class Outgoing:
    """The parts that a writer is delivering.

    Args:
        clock: provides seconds and callLater.
        source: where the lines come from.
        ready: returns whether `send` may be called; not after `close`.
        send: sends the first part.
        retry: does what is due after `retry_in`.
        full_bytes: a part of this size is full.
        quiet_s: when nothing came for so long, what waits leaves.

    Attributes:
        parts: the first is sent until its fate is known.
        untaken_bytes: what is not known to be delivered.
        limit_bytes: what a part has at most, unless one batch is longer.
        retries: the timer of the next try.
        closed: whether `close` was called.
        proven: whether a line was accepted since a lone line was last dropped.
    """

    def __init__(
        self,
        clock: Any,
        source: BatchSource,
        ready: Callable[[], bool],
        send: Callable[[], None],
        retry: Callable[[], None],
        full_bytes: int,
        quiet_s: float = QUIET_S,
    ) -> None:
        self._clock = clock
        self._source = source
        self._ready = ready
        self._send = send
        self._full_bytes = full_bytes
        self._quiet_s = quiet_s
        self._leaves = Timer(clock, self.leave)
        self._small_until_s = 0.0
        self._first_s: float | None = None
        self._last_s = 0.0
        self._hurried = False
        self.parts: deque[bytes] = deque()
        self.untaken_bytes = 0
        self.limit_bytes = full_bytes
        self.retries = Timer(clock, retry)
        self.closed = False
        self.proven = False
        self._lone_since_s: float | None = None
        self._wants_lines = False

    def wake(self) -> None:
        """Send what waits, if it is time."""
        if self._source.queued_bytes:
            self._last_s = self._clock.seconds()
            if self._first_s is None:
                self._first_s = self._last_s
        if not self._ready():
            return
        if not self.parts:
            self.leave()
        elif self._source.draining and not self._hurried:
            self._hurried = True
            self.retries.run()
        elif self._wants_lines and self._source.queued_bytes:
            self.retries.run()

    def leave(self) -> None:
        """Take lines and send them, now or later."""
        source = self._source
        if self.parts or not source.queued_bytes or not self._ready():
            return
        now_s = self._clock.seconds()
        if now_s >= self._small_until_s:
            self.limit_bytes = self._full_bytes
        delay_s = wait_s(
            source.queued_bytes,
            self.limit_bytes,
            urgent=source.urgent,
            first_s=0.0 if self._first_s is None else now_s - self._first_s,
            last_s=now_s - self._last_s,
            quiet_s=self._quiet_s,
        )
        if delay_s > 0:
            if not self._leaves.active:
                self._leaves.start(delay_s)
            return
        self._leaves.stop()
        self.take(self.limit_bytes)
        if self.parts:
            self._send()

    def take(self, limit_bytes: int) -> None:
        """Take whole batches from the queue as the last part; nothing while that is held."""
        data = self._source.peek_batches(limit_bytes)
        if data:
            self.parts.append(data)
            self.untaken_bytes += len(data)
            self._source.advance(len(data))
            self._first_s = self._last_s if self._source.queued_bytes else None

    def shorten(self) -> None:
        """Have parts half as long as the first one, for a while."""
        self.limit_bytes = max(1, len(self.parts[0]) // 2)
        self._small_until_s = self._clock.seconds() + SMALL_S

    def first_is_done(self) -> None:
        """Report that nothing of the first part is to be sent any more; may close the writer."""
        self._lone_since_s = None
        self._wants_lines = False
        self.untaken_bytes -= len(self.parts.popleft())
        self._source.taken()

    def join(self, count: int | None = None) -> bytes:
        """Move the second part, or so many bytes of it, to the end of the first; return them."""
        self._lone_since_s = None
        self._wants_lines = False
        second = self.parts[1]
        more = second[:count]
        self.parts[0] += more
        if rest := second[len(more) :]:
            self.parts[1] = rest
        else:
            del self.parts[1]
        return more

    def may_be_one_bad_line(self) -> bool:
        """Return whether a line that is rejected alone is to wait for others.

        Not at a stop, where none comes, nor where none was accepted since a lone line was last
        dropped. See `wait_for_others`.
        """
        return self.proven and len(self.parts) == 1 and not self._source.draining

    def wait_for_others(self) -> bool:
        """Have a retry when other lines come, or after a while.

        Returns:
            False once it has waited for long enough: drop it. The next one is dropped only after
            a line was accepted.
        """
        now_s = self._clock.seconds()
        if self._lone_since_s is None:
            self._lone_since_s = now_s
        left_s = self._lone_since_s + LONE_LINE_S - now_s
        if left_s > 0:
            self._wants_lines = True
            self.retries.start(left_s)
            return True
        self.proven = False
        return False

    def retry_in(self, delay_s: float, *, wants_lines: bool = False) -> None:
        """Have the next try after so many seconds, sooner during a stop.

        Args:
            delay_s: from now on.
            wants_lines: sooner also when other lines come.
        """
        self._lone_since_s = None
        self._wants_lines = wants_lines
        self.retries.start(min(delay_s, _DRAIN_RETRY_S) if self._source.draining else delay_s)

    def close(self) -> None:
        """Do nothing more."""
        self.closed = True
        self._leaves.stop()
        self.retries.stop()
