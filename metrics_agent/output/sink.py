"""The sink: where all metrics go, and the only way to the output.

Theory of operation. `write` puts a batch into the queue. A lone one is flushed at once; what comes
within a millisecond after it leaves together, in the reactor's next turn. The flush wakes the
writer, which pulls chunks until the reader's buffer is full, and then waits for the reactor to say
that there is room. Whether the reader has *taken* what was written is not reported: the kernel must
be asked. That is done after each write, which is nearly free, and by a timer, see `look_pace`, only
while the answer is waited for: a batch with a `settle` or a `drain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from metrics_agent.batch import Batch
from metrics_agent.cause import Cause
from metrics_agent.logs.status_log import StatusLog
from metrics_agent.output.look_pace import LookPace
from metrics_agent.output.queue import CHUNK_BYTES, BatchQueue
from metrics_agent.output.writer import MakeWriter, Writer
from metrics_agent.timer import Timer

__all__ = ["Sink"]

FLUSH_GAP_S = 0.001
"""Batches that come within this time after a write leave together, in the reactor's next turn."""

QUEUE_FULL = "queue_full"
REJECTED = "rejected"
_EXAMPLE_EVERY_S = 600.0
_EXAMPLE_BYTES = 200
_FAILED = (
    "Cannot write to the output: {cause}. Metrics are kept within the queue's bound, trying again."
)
_RESTORED = "The output works again, {count} metrics waited."


class Sink(Service):
    """A bounded queue in front of a writer; also the writer's `Source`.

    Args:
        reactor: the clock.
        make_writer: called with the sink at start, see `target.make_output`.
        limit_bytes: what may wait; beyond it the oldest batches are dropped and counted.
        high_mark_bytes: above it `on_pressure(True)` is called once,
        low_mark_bytes: and `on_pressure(False)` once no more than this is left.
        on_pressure: stop or resume reading from the devices. Called from `write` and from the
            reactor; must not raise.
        on_lost: the reader is gone for good, with a sentence's end that says why. Called at most
            once, from the reactor. What is queued stays queued and nothing is settled, so that
            brokers deliver it again to the next process.

    Attributes:
        problem: why writing does not work just now, empty when it does.
        has_worked: it was opened, connected or written to; of stdout nothing is known.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        make_writer: MakeWriter,
        *,
        limit_bytes: int,
        high_mark_bytes: int,
        low_mark_bytes: int,
        on_pressure: Callable[[bool], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._status = StatusLog(self._log, reactor.seconds, _FAILED, _RESTORED)
        self._make_writer = make_writer
        self._high_mark_bytes = high_mark_bytes
        self._low_mark_bytes = low_mark_bytes
        self._on_pressure = on_pressure
        self._on_lost = on_lost
        self._queue = BatchQueue(limit_bytes)
        self._writer: Writer | None = None
        self._pressed = False
        self._is_lost = False
        self._flushing = False
        self._flushes = Timer(reactor, self._flush)
        self._looks = Timer(reactor, self._look)
        self._look_pace = LookPace()
        self._drains: dict[Deferred[int], IDelayedCall] = {}
        self._dropped: dict[str, int] = {}
        self._finish_held: Callable[[bytes], bytes] | None = None
        self._urgent = False
        self._flushed_s = float("-inf")
        self._draining = False
        self._reports = False  # the writer reports what is taken, and need not be asked
        self._trouble_kind = ""
        self._next_example_s = 0.0
        self._overflow = 0  # metrics dropped since the queue was last known to have room
        self.problem = ""
        self.has_worked = False

    # What the agent sees.

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait to be written."""
        return self._queue.queued_bytes

    @property
    def queued_metrics(self) -> int:
        """Metrics that wait to be written, one partly written batch included."""
        return self._queue.queued_metrics

    @property
    def written_metrics(self) -> int:
        """Metrics written since the start; fewer again when a connection is lost with some."""
        return self._queue.in_flight_metrics + self.taken_metrics

    @property
    def left_metrics(self) -> int:
        """Metrics that the reader has not taken, as far as we have looked."""
        return self._queue.queued_metrics + self._queue.in_flight_metrics

    @property
    def kept_metrics(self) -> int:
        """Metrics of those left that are not lost: their senders have the messages still."""
        return self._queue.kept_metrics()

    @property
    def taken_metrics(self) -> int:
        """Metrics that the reader has taken, as far as we have looked."""
        return self._queue.taken_metrics - self._dropped.get(REJECTED, 0)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Metrics that were dropped, by reason."""
        return MappingProxyType(self._dropped)

    def delivery_lag_s(self) -> float:
        """Look at what the reader has taken; return how long the oldest of the rest has waited."""
        self._look()
        oldest = self._queue.oldest
        return 0.0 if oldest is None else max(0.0, self._reactor.seconds() - oldest.queued_s)

    def write(self, batch: Batch) -> None:
        """Queue a batch; never raises, never blocks, and works before the start and after a loss.

        A dropped batch, this one or an older one, is settled before this returns.
        """
        now_s = batch.queued_s = self._reactor.seconds()
        queue = self._queue
        if batch.urgent:
            self._urgent = True
        if batch.settle is not None:
            self._want_look(urgent=batch.urgent)
        dropped = queue.push(batch)
        if dropped:
            self._drop(dropped, QUEUE_FULL)
        if not self._pressed and queue.queued_bytes > self._high_mark_bytes:
            self._press(pressed=True)
        writer = self._writer
        if writer is None or self._is_lost:
            return
        if queue.queued_bytes >= CHUNK_BYTES:
            # A full write is there: a burst in one turn must not fill the queue needlessly.
            writer.wake()
        elif not self._flushes.active:
            if now_s - self._flushed_s >= FLUSH_GAP_S and not self._flushing:
                self._flushed_s = now_s
                self._flushes.run()
            else:
                self._flushes.start(0)

    def hold(self, finish: Callable[[bytes], bytes]) -> None:
        """Write nothing until `release` or `drain`; what comes is queued as before.

        Args:
            finish: makes of the lines that were queued what shall be written.
        """
        self._finish_held = finish

    def release(self) -> None:
        """Write again, what was held first; harmless when nothing is held."""
        finish, self._finish_held = self._finish_held, None
        if finish is not None:
            self._queue.rewrite(finish)
            if self._writer is not None and not self._is_lost:
                self._flushes.start(0)

    def drain(self, timeout_s: float) -> Deferred[int]:
        """Wait until the reader has taken everything.

        Returns:
            Fires with the number of metrics that did not reach the reader: 0 as soon as all
            have, more after timeout_s or when there is no reader (any more). Never fails. May be
            cancelled.
        """
        self.release()
        self._draining = True
        self._flush()
        left = self.left_metrics
        if not left or self._writer is None or self._is_lost:
            return succeed(left)
        waiting: Deferred[int] = Deferred(self._forget_drain)
        self._drains[waiting] = self._reactor.callLater(timeout_s, self._finish_drain, waiting)
        self._want_look(urgent=True)
        self._look_later()
        return waiting

    def startService(self) -> None:
        """Make the writer and let it have what is queued."""
        super().startService()
        if self._writer is None:
            self._writer = self._make_writer(self)
            self._flushes.start(0)

    def stopService(self) -> Deferred[None] | None:
        """Close the output; what is left is neither written nor settled: `drain` before."""
        super().stopService()
        writer, self._writer = self._writer, None
        self._stop_timers()
        self._finish_drains()
        return writer.close() if writer is not None else None

    # What the writer sees: `Source`.

    @property
    def in_line(self) -> bool:
        """Whether the writer has accepted a part of a line."""
        return self._queue.in_line

    @property
    def urgent(self) -> bool:
        """Whether a sender or a drain waits for what is queued."""
        return self._urgent or self._draining

    @property
    def draining(self) -> bool:
        """Whether a drain was asked for."""
        return self._draining

    def peek_batches(self, limit: int) -> bytes:
        """Return the next whole batches to write."""
        self._reports = True
        return b"" if self._finish_held is not None else self._queue.peek_batches(limit)

    def peek(self, limit: int) -> bytes:
        """Return the next whole lines to write."""
        return b"" if self._finish_held is not None else self._queue.peek(limit)

    def advance(self, count: int) -> None:
        """Take `count` bytes as accepted by the writer."""
        self._queue.advance(count)
        if not self._queue.queued_bytes:
            self._urgent = False
        if self._pressed and self._queue.queued_bytes <= self._low_mark_bytes:
            self._press(pressed=False)
        if self._overflow and self._queue.queued_bytes <= self._low_mark_bytes:
            self._tell_room()
        if not self._flushing:  # a flush looks itself
            self._look_later()

    def rewind(self, untaken: int | None = None) -> None:
        """Queue again what the writer had accepted and its reader has not taken."""
        if untaken is not None:
            self._settle(self._queue.take(untaken))
        self._queue.rewind()

    def taken(self) -> None:
        """Look what the reader has taken."""
        self._looks.stop()
        self._look_pace.taken()
        self._look()

    def rejected(self, count: int, reason: str, example: bytes) -> None:
        """Count lines that the reader will never take, and log one of them now and then."""
        self._dropped[REJECTED] = self._dropped.get(REJECTED, 0) + count
        now_s = self._reactor.seconds()
        if now_s < self._next_example_s:
            return
        self._next_example_s = now_s + _EXAMPLE_EVERY_S
        self._log.error(
            "The output rejects metrics, which are dropped and counted, {count} since the start: "
            "{reason}{example}. Others are logged in {minutes:g} min at the earliest.",
            count=self._dropped[REJECTED],
            reason=reason,
            example=f" (the line {example[:_EXAMPLE_BYTES]!r})" if example else "",
            minutes=_EXAMPLE_EVERY_S / 60,
        )

    def trouble(self, reason: str, kind: str = "") -> None:
        """Log each trouble once until the output works again; the writer tries again."""
        kind = kind or reason
        if self.problem and kind == self._trouble_kind:
            return
        self.problem, self._trouble_kind = reason, kind
        self._status.failed("output", Cause(kind, reason, needs_user_action=True))

    def recovered(self) -> None:
        """Log the end of a trouble once."""
        self.has_worked = True
        if self.problem:
            self.problem = ""
            self._status.restored("output", count=self.left_metrics)
            self._status.proven()

    def lost(self, reason: str) -> None:
        """Report in the next turn that the reader is gone: we may be inside a caller's `write`."""
        if not self._is_lost:
            self._is_lost = True
            self.problem = reason
            self._reactor.callLater(0, self._tell_loss, reason)

    # Inside.

    def _press(self, *, pressed: bool) -> None:
        self._pressed = pressed
        self._on_pressure(pressed)

    def _flush(self) -> None:
        if self._writer is None or self._is_lost:
            return
        self._flushing = True
        try:
            self._writer.wake()
        finally:
            self._flushing = False
        self._look()

    def _look(self) -> None:
        """Ask what the reader has taken, settle that, and ask again while something waits."""
        if self._writer is None or self._is_lost:
            return
        untaken = self._writer.untaken()
        taken = self._queue.take(untaken) if untaken is not None else ()
        if taken:
            self._look_pace.taken()
            self._settle(taken)
        if self._drains and not self.left_metrics:
            self._finish_drains()
        if self._drains or self._queue.awaited:
            if taken and self._looks.active:
                self._looks.put_off(self._look_pace.next_s())
            else:
                self._look_later()
        elif taken:
            self._looks.stop()

    def _want_look(self, *, urgent: bool) -> None:
        if self._look_pace.wanted(urgent=urgent):
            self._looks.stop()

    def _look_later(self) -> None:
        if not self._looks.active and self._writer is not None and not self._reports:
            self._looks.start(self._look_pace.next_s())

    def _settle(self, batches: Sequence[Batch]) -> None:
        # The last first: who acknowledges in order then does so for all at once.
        for batch in reversed(batches):
            settle, batch.settle = batch.settle, None
            if settle is None:
                continue
            try:
                settle()
            except Exception:
                # A fault in one acknowledgement must not cost the others or the output.
                self._log.failure("Settling {count} metrics failed.", count=batch.count)

    def _drop(self, batches: Sequence[Batch], reason: str) -> None:
        count = sum(batch.count for batch in batches)
        self._dropped[reason] = self._dropped.get(reason, 0) + count
        if not self._overflow:
            self._log.error(
                "The queue is full, the output is not read fast enough: the oldest metrics are "
                "dropped from now on, and counted."
            )
        self._overflow += count
        if not self._is_lost:  # with it the broker has them still, for the next process
            self._settle(batches)

    def _tell_room(self) -> None:
        count, self._overflow = self._overflow, 0
        self._log.info("The queue has room again, {count} metrics were dropped.", count=count)

    def _tell_loss(self, reason: str) -> None:
        self._stop_timers()
        self._finish_drains()
        self._on_lost(reason)

    def _stop_timers(self) -> None:
        self._flushes.stop()
        self._looks.stop()

    def _finish_drains(self) -> None:
        for waiting in list(self._drains):
            self._finish_drain(waiting)

    def _finish_drain(self, waiting: Deferred[int]) -> None:
        self._forget_drain(waiting)
        waiting.callback(self.left_metrics)

    def _forget_drain(self, waiting: Deferred[int]) -> None:
        timeout = self._drains.pop(waiting)
        if timeout.active():
            timeout.cancel()
