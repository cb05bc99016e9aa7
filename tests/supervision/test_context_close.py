"""The end of a context: all is cancelled, what is left over does nothing."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from metrics_agent.metric import metric
from tests.supervision.fakes import BROKER, FAULTS, ContextCase, raiser

POINT = metric("m", {}, {"f": 1.0})


class CloseTests(ContextCase):
    """What close does."""

    def test_nothing(self) -> None:
        """A context that was never used leaves nothing, and can be closed twice."""
        context = self.make_context()
        self.assertEqual((context.close(), context.close()), ("", ""))

    def test_everything(self) -> None:
        """Subscriptions, timers, requests and threads are cancelled and named."""
        context = self.make_context()
        for _ in range(2):
            context.subscribe(BROKER, "a", lambda _message: ())
        context.every(10, list)
        context.later(10, list)
        cancelled: list[Deferred[Any]] = []
        context.watch(Deferred(cancelled.append))
        context.in_thread(list)
        self.assertEqual(context.close(), "2 subscriptions, 2 timers, 2 requests")
        self.assertEqual([each.cancelled for each in self.connection.subscriptions], [1, 1])
        self.assertEqual((len(cancelled), self.clock.getDelayedCalls()), (1, []))
        self.assertEqual(self.logged(), [])

    def test_one_of_each(self) -> None:
        """One is reported in the singular."""
        context = self.make_context()
        context.subscribe(BROKER, "a", lambda _message: ())
        context.every(10, list)
        context.watch(Deferred())
        self.assertEqual(context.close(), "1 subscription, 1 timer, 1 request")

    def test_what_the_module_ended_itself(self) -> None:
        """What the module has cancelled is neither kept nor reported as left behind."""
        context = self.make_context()
        for _ in range(1000):
            context.subscribe(BROKER, "a", lambda _message: ()).cancel()
            context.every(10, list).cancel()
            context.later(10, list).cancel()
            context.watch(Deferred()).cancel()
        self.assertLess(len(context._owned), 200)
        self.assertEqual(context.close(), "")
        self.assertEqual({each.cancelled for each in self.connection.subscriptions}, {1})

    def test_flood_is_written(self) -> None:
        """What was accepted is written before the end."""
        context = self.make_context()
        context.emit([POINT] * 5000)
        context.close()
        self.assertEqual(len(self.lines()), 5000)

    def test_fail_is_called_off(self) -> None:
        """A failure not handed on yet is not any more, and is not a timer of the module."""
        context = self.make_context()
        context.fail(ValueError("gone"))
        self.assertEqual(context.close(), "")
        self.clock.advance(0)
        self.assertEqual(self.failures, [])


class HostileTests(ContextCase):
    """Module code that runs while all is cancelled."""

    def test_cancellers_raise(self) -> None:
        """Whatever a canceller raises, the others are cancelled."""
        context = self.make_context()
        for kind in FAULTS:
            context.watch(Deferred(raiser(kind("why"))))
        last: list[Deferred[Any]] = []
        context.watch(Deferred(last.append))
        context.close()
        self.assertEqual((self.counters.errors, len(last)), ({"clean_up": len(FAULTS)}, 1))

    def test_subscription_raises(self) -> None:
        """So for a subscription that cannot be cancelled."""
        context = self.make_context()
        context.subscribe(BROKER, "a", lambda _message: ())
        context.subscribe(BROKER, "b", lambda _message: ())
        self.connection.subscriptions[0].on_cancel = raiser(SystemExit(1))
        context.close()
        self.assertEqual([each.cancelled for each in self.connection.subscriptions], [1, 1])

    def test_canceller_cancels_others(self) -> None:
        """A canceller may cancel what is about to be cancelled."""
        context = self.make_context()
        timer = context.later(10, list)
        other = context.watch(Deferred())
        ticker = context.every(10, lambda: Deferred(lambda _work: [timer.cancel(), other.cancel()]))
        self.clock.advance(0)
        context.watch(Deferred(lambda _work: ticker.cancel()))
        context.close()
        self.assertEqual((self.clock.getDelayedCalls(), self.logged()), ([], []))

    def test_errback_asks_for_more(self) -> None:
        """What cancelled work asks for comes to nothing."""
        context = self.make_context()

        def again(_result: object) -> None:
            context.later(1, list)
            context.every(1, list)
            context.subscribe(BROKER, "a", lambda _message: ())
            context.emit([POINT])
            context.fail(ValueError("x"))

        context.watch(Deferred().addBoth(again))
        context.close()
        self.assertEqual((self.clock.getDelayedCalls(), self.connection.subscriptions), ([], []))
        self.assertEqual((self.lines(), self.counters.dropped), ([], {"after_stop": 1}))

    def test_coroutine_without_end(self) -> None:
        """A coroutine in an endless loop that swallows what ends it goes round no more."""
        context = self.make_context()
        rounds: list[int] = []

        async def work() -> None:
            while True:
                rounds.append(len(rounds))
                assert len(rounds) < 100, "it never ends"
                try:
                    await context.watch(deferLater(self.clock, 10))
                except Exception:
                    continue

        context.watch(work())
        self.clock.advance(10)
        context.close()
        self.assertLessEqual(len(rounds), 3)
        self.assertEqual((self.clock.getDelayedCalls(), self.logged()), ([], []))
        gc.collect()
        self.assertEqual(self.logged(), [])

    def test_retries_without_end(self) -> None:
        """An errback that tries again at once is cancelled a few times, then left to itself."""
        context = self.make_context()
        tries: list[int] = []

        def request(_result: object = None) -> Deferred[Any]:
            tries.append(len(tries))
            assert len(tries) < 100, "it never ends"
            return context.watch(Deferred().addErrback(request))

        request()
        context.close()
        self.assertLessEqual(len(tries), 5)
        self.assertEqual(self.logged(), [])

    def test_error_while_cancelled(self) -> None:
        """What goes wrong in the module's own clean-up is reported."""
        context = self.make_context()

        async def work() -> None:
            try:
                await Deferred()
            finally:
                raise ValueError("clean-up failed")

        context.watch(work())
        context.close()
        self.assertEqual(self.logged(), ["Error in deferred: ValueError('clean-up failed')"])

    def test_clean_up_of_a_coroutine_runs(self) -> None:
        """A coroutine's own clean-up runs at the close, not some day."""
        context = self.make_context()
        seen: list[str] = []

        async def work() -> None:
            try:
                await Deferred()
            except CancelledError:
                seen.append("cancelled")
                raise
            finally:
                seen.append("cleaned up")

        context.watch(work())
        context.close()
        self.assertEqual(seen, ["cancelled", "cleaned up"])


class AfterTests(ContextCase):
    """Code that was left over, such as a callback of another library."""

    def test_calls_after_close(self) -> None:
        """Every call is harmless and does nothing; what is emitted is counted as dropped."""
        context = self.make_context()
        context.close()
        context.subscribe(BROKER, "a", lambda _message: ()).cancel()
        context.every(10, list).cancel()
        context.later(10, list)
        context.emit([POINT, POINT])
        context.fail(ValueError("x"))
        started: list[int] = []
        context.in_thread(started.append, 1)
        self.assertIs(context.publish(BROKER, "a", b""), False)
        self.clock.threads.work()
        self.clock.advance(100)
        self.assertEqual((self.connection.subscriptions, self.connection.published), ([], []))
        self.assertEqual((self.failures, started, self.lines()), ([], [], []))
        self.assertEqual((self.counters.dropped, self.logged()), ({"after_stop": 2}, []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_work_after_close(self) -> None:
        """New work is cancelled at once, and whoever waits for it waits in vain."""
        context = self.make_context()
        context.close()
        cancelled: list[Deferred[Any]] = []
        self.assertNoResult(context.watch(Deferred(cancelled.append)))
        self.assertNoResult(context.in_thread(list))
        self.assertEqual((len(cancelled), self.logged()), (1, []))

    def test_blocking_calls_that_wait(self) -> None:
        """Those that have not begun never do, and those of the next instance are first."""
        ran: list[str] = []
        context, after = self.make_context(), self.make_context()
        for _ in range(20):
            context.in_thread(ran.append, "old")
        self.clock.threads.work()
        context.close()
        after.in_thread(ran.append, "new")
        self.clock.advance(0)
        self.clock.threads.work()
        self.clock.advance(0)
        self.assertEqual(ran, ["old"] * 4 + ["new"])

    def test_thread_comes_back_late(self) -> None:
        """The result of a thread that no one waits for any more is lost."""
        context = self.make_context()
        context.in_thread(list)
        context.in_thread(raiser(SystemExit(1)))
        context.close()
        self.clock.threads.work()
        self.clock.advance(0)
        self.assertEqual(self.logged(), [])
