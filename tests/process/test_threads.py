"""Blocking calls of modules that hang."""

from __future__ import annotations

from queue import Queue
from threading import Event
from types import SimpleNamespace
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, succeed
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process.threads import (
    MODULE_CALLS,
    MODULE_THREADS,
    ModuleCalls,
    ModuleThreads,
    TooManyCalls,
    make_pool,
)
from tests.supervision.fakes import ContextCase, FakeReactor, raiser


class ModuleThreadsTests(ContextCase):
    """Pools of real threads."""

    def setUp(self) -> None:
        super().setUp()
        self.at_shutdown: list[tuple[Any, ...]] = []
        self.results: Queue[Any] = Queue()

        def add(*trigger: Any) -> tuple[Any, ...]:
            self.at_shutdown.append(trigger)
            return trigger

        reactor = SimpleNamespace(
            addSystemEventTrigger=add,
            removeSystemEventTrigger=self.at_shutdown.remove,
            callFromThread=lambda *call: self.results.put(call),
        )
        self.pools: dict[str, Any] = {}

        def make(reactor: Any, name: str) -> Any:
            pool = self.pools[name] = make_pool(reactor, name)
            return pool

        self.threads = ModuleThreads(reactor, lambda _name: self.log, make)

    def take_results(self, count: int) -> None:
        """Take in what comes from threads, as the reactor would."""
        for _ in range(count):
            call, *args = self.results.get(timeout=10)
            call(*args)

    def test_calls_that_hang_cost_no_other_module(self) -> None:
        """However many hang in one module, another has its threads."""
        ended, hanging = Event(), Event()
        for _ in range(MODULE_THREADS * 5):
            self.threads.of("hanging").run(hanging.wait)
        self.threads.of("other").run(ended.set)
        self.assertTrue(ended.wait(10))
        hanging.set()
        for *_when, stop in self.at_shutdown:
            stop()

    def test_a_restart_makes_no_new_threads(self) -> None:
        """A module has one pool, whose threads end with the reactor."""
        calls = self.threads.of("module")
        self.assertIs(self.threads.of("module"), calls)
        pool = self.pools["module"]
        self.assertEqual(self.at_shutdown, [("during", "shutdown", pool.stop)])
        self.assertEqual(pool.max, MODULE_THREADS)
        pool.stop()

    def test_modules_that_are_gone(self) -> None:
        """They keep no idle thread, and those of calls that hang end with these."""
        hanging, ended = Event(), Event()
        gone, kept = self.threads.of("gone"), self.threads.of("kept")
        for call in (hanging.wait, ended.set):
            gone.run(call)
        kept.run(int)
        self.take_results(2)
        threads = list(self.pools["gone"].threads)
        self.threads.keep({"kept"})
        self.threads.keep({"kept"})
        self.assertEqual(
            self.logged("warn"),
            ["Removed with blocking calls under way: 1; their threads end with them."],
        )
        self.assertEqual(len(self.at_shutdown), 2)
        hanging.set()
        self.take_results(1)
        self.assertEqual(self.at_shutdown, [("during", "shutdown", self.pools["kept"].stop)])
        for thread in threads:
            thread.join(10)
            self.assertFalse(thread.is_alive())
        self.assertEqual(len(self.pools["kept"].threads), 1)
        self.assertIs(self.threads.of("kept"), kept)
        self.assertIsNot(self.threads.of("gone"), gone)
        for *_when, stop in self.at_shutdown:
            stop()

    def test_idle_module_that_is_gone(self) -> None:
        """Its pool is forgotten at once, without a line."""
        self.threads.of("gone").run(int)
        self.take_results(1)
        self.threads.keep(())
        self.assertEqual((self.at_shutdown, self.logged("warn")), ([], []))


class ModuleCallsTests(SynchronousTestCase):
    """What waits for a thread."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.pool = self.reactor.threads
        self.calls = ModuleCalls(self.reactor, "demo", self.pool)
        self.ran: list[int] = []

    def work(self) -> None:
        """Run what the threads have, and take in the results."""
        self.pool.work()
        self.reactor.advance(0)

    def test_order(self) -> None:
        """As many as there are threads run, the others after them, in their order."""
        results = [self.calls.run(self.ran.append, number) for number in range(10)]
        for most in (MODULE_THREADS, 2 * MODULE_THREADS, 10, 10):
            self.work()
            self.assertEqual(self.ran, list(range(most)))
        self.assertEqual([self.successResultOf(each) for each in results], [None] * 10)
        self.assertEqual(self.calls.under_way, 0)

    def test_cancelled_while_it_waits(self) -> None:
        """It never runs, and the next one has its place."""
        results = [self.calls.run(self.ran.append, number) for number in range(8)]
        for each in results[4:7]:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.work()
        self.work()
        self.assertEqual(self.ran, [0, 1, 2, 3, 7])

    def test_cancelled_before_the_thread_takes_it(self) -> None:
        """It never runs, though the pool has it."""
        result = self.calls.run(self.ran.append, 1)
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.work()
        self.assertEqual((self.ran, self.calls.under_way), ([], 0))

    def test_cancelled_while_it_runs(self) -> None:
        """Its result or failure is lost, and its thread is free again only when it ends."""
        for call in (int, raiser(SystemExit(1))):
            result = self.calls.run(call)
            self.pool.work()
            result.cancel()
            self.failureResultOf(result, CancelledError)
            self.assertEqual(self.calls.under_way, 1)
            self.reactor.advance(0)
            self.assertEqual(self.calls.under_way, 0)

    def test_limit(self) -> None:
        """One more than may wait fails at once; one that is cancelled or runs makes room."""
        results = [self.calls.run(int) for _ in range(MODULE_THREADS + MODULE_CALLS)]
        error = self.failureResultOf(self.calls.run(self.ran.append, 1), TooManyCalls).value
        self.assertEqual(
            str(error),
            "module demo: 1000 blocking calls wait for a thread already, expected no more; "
            "4 are under way, which are slow or hang: wait for results before asking for more",
        )
        results[-1].cancel()
        self.failureResultOf(results[-1], CancelledError)
        self.assertNoResult(self.calls.run(int))
        self.work()
        self.assertNoResult(self.calls.run(int))

    def test_no_more_threads(self) -> None:
        """Where no thread can be made the call fails, and later ones are tried again."""
        take = self.pool.callInThreadWithCallback
        self.pool.callInThreadWithCallback = raiser(RuntimeError("no"))  # type: ignore[method-assign]
        self.failureResultOf(self.calls.run(int), RuntimeError)
        self.pool.callInThreadWithCallback = take  # type: ignore[method-assign]
        result = self.calls.run(int)
        self.work()
        self.assertEqual(self.successResultOf(result), 0)

    def test_end_while_calls_wait(self) -> None:
        """What a module that is gone has asked for before still runs; then the threads end."""
        results = [self.calls.run(int) for _ in range(6)]
        self.calls.end()
        self.assertEqual(self.pool.sizes, [])
        results[5].cancel()
        self.failureResultOf(results[5], CancelledError)
        self.work()
        self.assertEqual((self.pool.sizes[-1:], self.pool.released), ([(0, 0)], 0))
        self.work()
        self.assertEqual(self.pool.released, 1)
        self.assertEqual([self.successResultOf(each) for each in results[:5]], [0] * 5)


class ContextTests(ContextCase):
    """What a context uses."""

    def test_own_threads(self) -> None:
        """A blocking call goes to the pool of its module."""
        calls: list[str] = []

        def pool_of(module: str) -> Any:
            def run(function: Any, *args: object) -> Any:
                calls.append(f"{module} {function(*args)}")
                return succeed(None)

            return SimpleNamespace(run=run)

        self.resources = evolve(self.resources, threads=pool_of)
        context = self.make_context()
        context.in_thread(max, 1, 2)
        self.assertEqual(calls, [f"{context.name} 2"])
