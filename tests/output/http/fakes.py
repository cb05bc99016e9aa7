"""A database that the test plays, and what surrounds the writer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.backoff import Backoff
from metrics_agent.batch import Batch
from metrics_agent.cause import Cause, CauseError
from metrics_agent.http_interface import HttpReply
from metrics_agent.output.http.writer import HttpWriter
from metrics_agent.output.sink import Sink

OK = HttpReply(204, b"")


class FakeClient:
    """Takes requests; the test answers, or `answer` does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.requests: list[bytes] = []
        self.times: list[float] = []
        self.waiting: Deferred[HttpReply] | None = None
        self.answer: Callable[[bytes], HttpReply | Cause] | None = None
        self.closed = False

    def post(self, body: bytes) -> Deferred[HttpReply]:
        assert self.waiting is None, "one request in flight"
        self.requests.append(body)
        self.times.append(self._clock.seconds())
        waiting = self.waiting = Deferred(lambda _waiting: None)
        if self.answer is not None:
            self._clock.callLater(0.001, self.reply, self.answer(body))
        return waiting

    def reply(self, answer: HttpReply | Cause) -> None:
        """Answer the request in flight, or fail it."""
        waiting, self.waiting = self.waiting, None
        if waiting is None or waiting.called:
            return
        if isinstance(answer, Cause):
            waiting.errback(Failure(CauseError(answer)))
        else:
            waiting.callback(answer)

    def close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


class WriterCase(SynchronousTestCase):
    """A real sink with the writer; at the end no timer is left."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.client = FakeClient(self.clock)
        self._written = 0
        self._settled: list[tuple[int, bytes]] = []
        self.pressure: list[bool] = []
        self.sink = Sink(
            self.clock,
            self.make_writer,
            limit_bytes=10_000_000,
            high_mark_bytes=1_000_000,
            low_mark_bytes=500_000,
            on_pressure=self.pressure.append,
            on_lost=self.fail,
        )
        self.sink.startService()
        self.advance(0)
        self.addCleanup(self.finish)

    @property
    def settled(self) -> list[bytes]:
        """The lines that were settled, in the order in which they were written."""
        return [line for _number, line in sorted(self._settled)]

    def forget_settled(self) -> None:
        """Empty `settled`."""
        self._settled.clear()

    def make_writer(self, source) -> HttpWriter:
        backoff = Backoff(0.5, 30, lambda: 1.0)
        self.writer = HttpWriter(
            self.clock, self.client, "http://db/write", source, backoff, lambda: 0.0
        )
        return self.writer

    def finish(self) -> None:
        self.sink.stopService()
        self.client.reply(OK)
        self.assertTrue(self.client.closed)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def advance(self, seconds: float) -> None:
        """Let time pass in small steps."""
        for _ in range(max(1, round(seconds / 0.001))):
            self.clock.advance(0.001 if seconds else 0)

    def advance_to_next(self) -> None:
        """Let time pass until the next timer is due."""
        due_s = min(call.getTime() for call in self.clock.getDelayedCalls())
        self.clock.advance(due_s - self.clock.seconds() + 1e-6)

    def write(self, *lines: bytes, urgent: bool = False) -> None:
        """Write a batch of a line for each."""
        for line in lines:
            self._written += 1
            settle = partial(self._settled.append, (self._written, line))
            self.sink.write(Batch(line, 1, settle, urgent=urgent))
        self.advance(0)


class FakeSource:
    """What a writer pulls from: one piece, that is to leave now."""

    urgent = True
    draining = False

    def __init__(self) -> None:
        self.data = b""

    @property
    def queued_bytes(self) -> int:
        return len(self.data)

    def peek_batches(self, _limit: int) -> bytes:
        return self.data

    def advance(self, _count: int) -> None:
        self.data = b""
