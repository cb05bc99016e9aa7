"""The sink, with a writer whose reader is the test."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.batch import Batch
from metrics_agent.output.look_pace import FIRST_LOOK_S, LAST_LOOK_S, PATIENT_LOOK_S
from metrics_agent.output.queue import CHUNK_BYTES
from metrics_agent.output.sink import Sink
from tests.output.fakes import FakeReactor, FakeWriter


class SinkTestCase(SynchronousTestCase):
    """Builds a sink; checks at the end that a stopped one leaves no timer."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.pressure: list[bool] = []
        self.losses: list[str] = []
        self.settled: list[str] = []
        self.room = CHUNK_BYTES
        self.sink = Sink(
            self.reactor,
            self.make_writer,
            limit_bytes=100_000,
            high_mark_bytes=1000,
            low_mark_bytes=200,
            on_pressure=self.pressure.append,
            on_lost=self.losses.append,
        )
        self.addCleanup(self.finish)

    def finish(self) -> None:
        self.sink.stopService()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def make_writer(self, source) -> FakeWriter:
        self.writer = FakeWriter(source, self.room)
        return self.writer

    def start(self, room: int = CHUNK_BYTES) -> None:
        self.room = room
        self.sink.startService()
        self.reactor.turn()

    def batch(self, text: str, *, awaited: bool = False) -> Batch:
        def settle() -> None:
            self.settled.append(text)

        return Batch(text.encode() + b"\n", 1, settle if awaited else None)

    def write(self, *texts: str, awaited: bool = False) -> None:
        for text in texts:
            self.sink.write(self.batch(text, awaited=awaited))


class HoldTests(SinkTestCase):
    """A sink that has to wait."""

    def held(self) -> None:
        self.sink.hold(lambda data: data.replace(b"?", b"ready"))
        self.start()

    def test_held_until_released(self) -> None:
        """What was queued is written as it is made ready then; what comes later as it is."""
        self.held()
        self.write("a?", "b")
        self.reactor.turn()
        self.assertEqual(self.writer.written, b"")
        self.assertEqual(self.sink.queued_bytes, 5)
        self.sink.release()
        self.write("c?")
        self.reactor.turn()
        self.assertEqual(self.writer.written, b"aready\nb\nc?\n")
        self.assertEqual(self.sink.queued_bytes, 0)
        self.sink.release()

    def test_held_within_the_bounds(self) -> None:
        """Reading is stopped at the high mark, and goes on afterwards."""
        self.held()
        self.write("a" * 1100)
        self.assertEqual(self.pressure, [True])
        self.sink.release()
        self.reactor.turn()
        self.assertEqual(self.pressure, [True, False])

    def test_stop_writes_what_is_held(self) -> None:
        """The drain waits for nothing but the reader."""
        self.held()
        self.write("a?", awaited=True)
        self.sink.drain(1)
        self.assertEqual(self.writer.written, b"aready\n")


class WriteTests(SinkTestCase):
    """From write to the writer."""

    def test_burst_is_one_write(self) -> None:
        """What comes just after a lone metric leaves in one write, in the reactor's next turn."""
        self.start()
        self.write(*"abcde")
        self.assertEqual((self.writer.written, self.writer.writes), (b"a\n", 1))
        self.reactor.turn()
        self.assertEqual((self.writer.written, self.writer.writes), (b"a\nb\nc\nd\ne\n", 2))

    def test_nothing_waits_for_time(self) -> None:
        """A lone metric leaves without any delay."""
        self.start()
        for text in "ab":
            self.write(text)
            self.reactor.turn()
        self.assertEqual((self.writer.written, self.writer.writes), (b"a\nb\n", 2))

    def test_before_start(self) -> None:
        """What is written before the start is kept and leaves first."""
        self.write("a")
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.start()
        self.assertEqual(self.writer.written, b"a\n")

    def test_large_burst_does_not_wait_in_the_queue(self) -> None:
        """A full chunk leaves at once: a fast reader gets a burst beyond the bound whole."""
        self.start(room=10_000_000)
        for _ in range(300):
            self.write("x" * 999)
        self.assertGreaterEqual(len(self.writer.written), 300_000 - CHUNK_BYTES)
        self.reactor.turn()
        self.assertEqual(len(self.writer.written), 300_000)
        self.assertEqual(dict(self.sink.dropped), {})

    def test_full_queue_drops_the_oldest(self) -> None:
        """Beyond the bound the oldest are dropped, counted by reason and settled."""
        self.start(room=0)
        self.write("old", awaited=True)
        self.write(*["x" * 999] * 101)
        self.assertEqual(dict(self.sink.dropped), {"queue_full": 2})
        self.assertEqual(self.settled, ["old"])
        self.assertLessEqual(self.sink.queued_bytes, 100_000)

    def test_write_inside_settle(self) -> None:
        """What an acknowledgement writes leaves like anything else."""
        self.start()
        self.sink.write(Batch(b"a\n", 1, lambda: self.write("b")))
        self.reactor.turn()
        self.writer.reader_takes()
        self.reactor.advance(PATIENT_LOOK_S)
        self.reactor.turn()
        self.assertEqual(self.writer.written, b"a\nb\n")

    def test_counts(self) -> None:
        """Queued, written and taken are distinguished."""
        self.start(room=5)
        self.write("a", "b", "c", "d")
        self.reactor.turn()
        self.writer.reader_takes(2)
        self.assertEqual(self.sink.queued_metrics, 2)
        self.assertEqual((self.sink.queued_bytes, self.sink.written_metrics), (3, 2))
        self.write("e")
        self.reactor.turn()
        self.assertEqual((self.sink.taken_metrics, self.sink.written_metrics), (1, 3))


class PressureTests(SinkTestCase):
    """The two marks."""

    def test_marks(self) -> None:
        """Pressure starts above the high mark and ends at the low mark, each reported once."""
        self.start(room=0)
        self.write(*["x" * 99] * 10)
        self.assertEqual(self.pressure, [])
        self.write("x", "x")
        self.assertEqual(self.pressure, [True])
        self.writer.room = 500
        self.writer.wake()
        self.assertEqual(self.pressure, [True])
        self.writer.room = 500
        self.writer.wake()
        self.assertEqual(self.pressure, [True, False])

    def test_before_start(self) -> None:
        """Pressure rises even when nothing is open yet."""
        self.write("x" * 2000)
        self.assertEqual(self.pressure, [True])


class OverflowTests(SinkTestCase):
    """It is logged once that metrics are dropped, and once that it is over."""

    def logged(self) -> list[str]:
        return [formatEvent(event) for event in self.events]

    def test_one_line_when_it_begins_and_one_when_it_is_over(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.patch(Sink, "_log", Logger(observer=self.events.append))
        self.start(room=0)
        for _ in range(20):
            self.write("x" * 9999)
        self.assertEqual(len(self.logged()), 1)
        self.assertIn("full", self.logged()[0])
        self.assertEqual(self.events[0]["log_level"], LogLevel.error)
        self.writer.room = 10**6
        self.writer.wake()
        self.assertEqual(len(self.logged()), 2)
        self.assertIn("10 metrics were dropped", self.logged()[1])
        self.assertEqual(self.sink.dropped, {"queue_full": 10})

    def test_the_next_overflow_is_told_again(self) -> None:
        self.events = []
        self.patch(Sink, "_log", Logger(observer=self.events.append))
        self.start(room=0)
        for _ in range(2):
            for _ in range(11):
                self.write("x" * 9999)
            self.writer.room = 10**6
            self.writer.wake()
            self.writer.room = 0
        self.assertEqual(
            [event["log_level"] for event in self.events], [LogLevel.error, LogLevel.info] * 2
        )


class DeliveryTests(SinkTestCase):
    """Settling."""

    def test_settled_once_taken(self) -> None:
        """A batch is settled when the reader has its bytes, not when they are written."""
        self.start()
        self.write("a", "b", awaited=True)
        self.reactor.turn()
        self.assertEqual(self.settled, [])
        self.writer.reader_takes(2)
        self.reactor.advance(PATIENT_LOOK_S)
        self.assertEqual(self.settled, ["a"])
        self.writer.reader_takes()
        self.reactor.advance(PATIENT_LOOK_S)
        self.assertEqual(self.settled, ["a", "b"])

    def test_lag(self) -> None:
        """How long the oldest line waits that the reader has not taken, queued or written."""
        self.start()
        self.assertEqual(self.sink.delivery_lag_s(), 0.0)
        self.write("a")
        self.reactor.advance(3)
        self.write("b")
        self.reactor.advance(2)
        self.assertEqual(self.sink.delivery_lag_s(), 5.0)
        self.writer.reader_takes(2)
        self.assertEqual(self.sink.delivery_lag_s(), 2.0)
        self.writer.reader_takes()
        self.assertEqual(self.sink.delivery_lag_s(), 0.0)

    def test_lag_before_the_start(self) -> None:
        """What waits for the output waits from when it came."""
        self.write("a")
        self.reactor.advance(4)
        self.assertEqual(self.sink.delivery_lag_s(), 4.0)

    def test_nobody_waits(self) -> None:
        """Without anybody waiting for delivery no timer runs."""
        self.start()
        self.write("a")
        self.reactor.turn()
        self.reactor.pump([0.1] * 3)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_the_next_metric_brings_a_look(self) -> None:
        """At a calm pace no timer of its own asks whether the last was taken."""
        self.start()
        self.write("a", awaited=True)
        asked = self.writer.asked
        for last, text in ("ab", "bc", "cd"):
            self.writer.reader_takes()
            self.reactor.advance(PATIENT_LOOK_S - 0.005)
            self.write(text, awaited=True)
            asked += 1
            self.assertEqual((self.writer.asked, self.settled[-1]), (asked, last))
        self.writer.reader_takes()
        self.reactor.advance(PATIENT_LOOK_S)
        self.assertEqual((self.writer.asked, self.settled[-1]), (asked + 1, "d"))

    def test_a_sender_that_waits_is_not_kept_waiting(self) -> None:
        """A batch of one brings the look forward, that of those before it too."""
        self.start()
        self.write("a", awaited=True)
        self.reactor.advance(0.005)
        self.sink.write(Batch(b"b\n", 1, partial(self.settled.append, "b"), urgent=True))
        self.writer.reader_takes()
        self.reactor.advance(FIRST_LOOK_S)
        self.assertEqual(sorted(self.settled), ["a", "b"])
        self.write("c", awaited=True)
        self.writer.reader_takes()
        self.reactor.advance(FIRST_LOOK_S)
        self.assertEqual(self.settled[2:], [])
        self.reactor.advance(PATIENT_LOOK_S)
        self.assertEqual(self.settled[2:], ["c"])

    def test_looks_get_rarer(self) -> None:
        """With a reader that stalls the kernel is asked twenty times a second, not more."""
        self.start()
        self.write("a", awaited=True)
        self.reactor.turn()
        self.reactor.pump([0.001] * 1000)
        before = self.writer.asked
        self.reactor.pump([0.001] * 1000)
        self.assertLessEqual(self.writer.asked - before, 1 / LAST_LOOK_S + 1)
        self.writer.reader_takes()
        self.reactor.advance(LAST_LOOK_S)
        self.assertEqual(self.settled, ["a"])
        self.write("b", awaited=True)
        self.reactor.turn()
        self.writer.reader_takes()
        self.reactor.advance(PATIENT_LOOK_S)
        self.assertEqual(self.settled[1:], ["b"])

    def test_written_outside_a_flush(self) -> None:
        """What leaves when the reactor finds room is looked after too."""
        self.start(room=0)
        self.write("a", awaited=True)
        self.reactor.turn()
        self.writer.room = 10
        self.writer.wake()
        self.writer.reader_takes()
        self.reactor.advance(PATIENT_LOOK_S)
        self.assertEqual(self.settled, ["a"])

    def test_cannot_tell(self) -> None:
        """While a writer does not know, nothing counts as taken."""
        self.start()
        self.writer.can_tell = False
        self.write("a", awaited=True)
        self.reactor.turn()
        self.writer.reader_takes()
        self.reactor.advance(1)
        self.assertEqual(self.settled, [])
        self.writer.can_tell = True
        self.reactor.advance(LAST_LOOK_S)
        self.assertEqual(self.settled, ["a"])

    def test_settle_raises(self) -> None:
        """A fault in one acknowledgement is logged and costs the next ones nothing."""

        def fault() -> None:
            raise ValueError("a fault")

        self.start()
        self.sink.write(Batch(b"a\n", 1, fault))
        self.write("b", awaited=True)
        self.reactor.turn()
        self.writer.reader_takes()
        self.reactor.advance(PATIENT_LOOK_S)
        self.assertEqual(self.settled, ["b"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class DrainTests(SinkTestCase):
    """Waiting for the reader."""

    def test_nothing_to_wait_for(self) -> None:
        """An idle sink is drained at once."""
        self.start()
        self.assertEqual(self.successResultOf(self.sink.drain(4)), 0)

    def test_waits_for_the_reader(self) -> None:
        """Drained is when the reader has taken the last byte, and soon after it."""
        self.start()
        self.write("a", "b")
        drained = self.sink.drain(4)
        self.assertEqual(self.writer.written, b"a\nb\n")
        self.reactor.pump([0.001] * 500)
        self.assertNoResult(drained)
        self.writer.reader_takes()
        self.reactor.advance(LAST_LOOK_S)
        self.assertEqual(self.successResultOf(drained), 0)

    def test_timeout(self) -> None:
        """After the timeout it says how many metrics did not reach the reader."""
        self.start(room=4)
        self.write("a", "b", "c")
        drained = self.sink.drain(4)
        self.writer.reader_takes(2)
        self.writer.room = 0
        self.reactor.pump([0.01] * 399)
        self.assertNoResult(drained)
        self.reactor.advance(0.02)
        self.assertEqual(self.successResultOf(drained), 2)

    def test_not_started(self) -> None:
        """Without a writer nothing can arrive."""
        self.write("a")
        self.assertEqual(self.successResultOf(self.sink.drain(4)), 1)

    def test_stopped_meanwhile(self) -> None:
        """A stop ends the wait with what is left."""
        self.start()
        self.write("a")
        drained = self.sink.drain(4)
        self.sink.stopService()
        self.assertEqual(self.successResultOf(drained), 1)

    def test_cancelled(self) -> None:
        """A wait can be given up."""
        self.start()
        self.write("a")
        drained = self.sink.drain(4)
        drained.cancel()
        self.failureResultOf(drained, CancelledError)

    def test_two_waits(self) -> None:
        """All who wait are notified."""
        self.start()
        self.write("a")
        drains = [self.sink.drain(4), self.sink.drain(1)]
        self.writer.reader_takes()
        self.reactor.advance(LAST_LOOK_S)
        self.assertEqual([self.successResultOf(drained) for drained in drains], [0, 0])


class LossTests(SinkTestCase):
    """The reader is gone for good."""

    def test_told_once_in_the_next_turn(self) -> None:
        """The loss of the reader is reported once, never from inside a write."""
        self.start()
        self.sink.lost("gone")
        self.sink.lost("gone again")
        self.assertEqual(self.losses, [])
        self.reactor.turn()
        self.assertEqual((self.losses, self.sink.problem), (["gone"], "gone"))

    def test_ends_a_drain(self) -> None:
        """No one waits for a reader that is gone."""
        self.start()
        self.write("a", "b")
        drained = self.sink.drain(4)
        self.sink.lost("gone")
        self.reactor.turn()
        self.assertEqual(self.successResultOf(drained), 2)
        self.assertEqual(self.successResultOf(self.sink.drain(4)), 2)

    def test_nothing_is_acknowledged_any_more(self) -> None:
        """After the loss brokers keep what they have: dropped is counted but not settled."""
        self.start(room=0)
        self.write("a", awaited=True)
        self.sink.lost("gone")
        self.reactor.turn()
        self.write(*["x" * 999] * 101)
        self.reactor.advance(1)
        self.assertEqual(self.settled, [])
        self.assertEqual(dict(self.sink.dropped), {"queue_full": 2})

    def test_look_that_was_due(self) -> None:
        """A look between the loss and its report asks a writer that is closed nothing."""
        self.start()
        self.write("a", awaited=True)
        self.reactor.turn()
        self.sink.lost("gone")
        asked = self.writer.asked
        self.reactor.advance(0.01)
        self.sink._look()
        self.assertEqual(self.writer.asked, asked)


class StateTests(SinkTestCase):
    """Start, stop and trouble."""

    def test_trouble_and_recovery(self) -> None:
        """A trouble that repeats is logged once, and so is its end."""
        from twisted.logger import globalLogPublisher

        events: list = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.sink.recovered()
        self.sink.trouble("No space left on device (ENOSPC)")
        self.sink.trouble("No space left on device (ENOSPC)")
        self.assertIn("ENOSPC", self.sink.problem)
        self.sink.recovered()
        self.assertEqual(self.sink.problem, "")
        self.assertEqual([event["log_level"].name for event in events], ["error", "info"])

    def test_troubles_that_alternate_are_logged_once_each(self) -> None:
        """Until the output works again; then each is news."""
        errors: list[str] = []

        def take(event: dict) -> None:
            if event["log_level"] is LogLevel.error:
                errors.append(event["cause"])

        self.patch(self.sink._status, "_log", Logger(observer=take))
        for _ in range(2):
            for reason in ("full", "gone", "full", "gone"):
                self.sink.trouble(reason)
            self.sink.recovered()
        self.assertEqual(errors, ["full", "gone"] * 2)

    def test_stop_without_start_and_twice(self) -> None:
        """Stopping is safe before the start and again."""
        self.assertIsNone(self.sink.stopService())
        self.sink.startService()
        self.sink.startService()
        self.sink.stopService()
        self.assertTrue(self.writer.closed)
        self.assertIsNone(self.sink.stopService())
        self.write("a")

    def test_stop_waits_for_the_writer(self) -> None:
        """A connection that needs time to close is waited for."""
        closing: Deferred[None] = Deferred()
        self.start()
        self.writer.close = lambda: closing
        self.assertIs(self.sink.stopService(), closing)

    def test_rewind(self) -> None:
        """What a broken connection had not taken is queued again."""
        self.start()
        self.write("a")
        self.reactor.turn()
        self.sink.rewind()
        self.assertEqual((self.sink.queued_metrics, self.sink.written_metrics), (1, 0))

    def test_rewind_of_what_is_known(self) -> None:
        """A writer that knows what was taken at the end gets only the rest again."""
        self.start()
        self.write("a", "b", awaited=True)
        self.reactor.turn()
        self.sink.rewind(untaken=2)
        self.assertEqual((self.sink.peek(100), self.settled), (b"b\n", ["a"]))
