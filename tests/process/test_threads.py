"""Blocking calls of modules that hang."""

from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process.threads import MODULE_THREADS, ModuleThreads
from tests.supervision.fakes import ContextCase


class ModuleThreadsTests(SynchronousTestCase):
    """Pools of real threads."""

    def setUp(self) -> None:
        self.at_shutdown: list[tuple[Any, ...]] = []
        reactor = SimpleNamespace(
            addSystemEventTrigger=lambda *trigger: self.at_shutdown.append(trigger)
        )
        self.threads = ModuleThreads(reactor)

    def test_calls_that_hang_cost_no_other_module(self) -> None:
        """However many hang in one module, another has its threads."""
        ended, hanging = Event(), Event()
        for _ in range(MODULE_THREADS * 5):
            self.threads.of("hanging").callInThread(hanging.wait)
        self.threads.of("other").callInThread(ended.set)
        self.assertTrue(ended.wait(10))
        hanging.set()
        for *_when, stop in self.at_shutdown:
            stop()

    def test_a_restart_makes_no_new_threads(self) -> None:
        """A module has one pool, whose threads end with the reactor."""
        pool = self.threads.of("module")
        self.assertIs(self.threads.of("module"), pool)
        self.assertEqual(self.at_shutdown, [("during", "shutdown", pool.stop)])
        self.assertEqual(pool.max, MODULE_THREADS)
        pool.stop()

    def test_modules_that_are_gone(self) -> None:
        """They keep no idle thread, and those of calls that hang end with these."""
        hanging, ended = Event(), Event()
        gone, kept = self.threads.of("gone"), self.threads.of("kept")
        for call in (hanging.wait, ended.set):
            gone.callInThread(call)
        kept.callInThread(int)
        self.assertTrue(ended.wait(10))
        threads = list(gone.threads)
        self.threads.keep({"kept"})
        hanging.set()
        for thread in threads:
            thread.join(10)
            self.assertFalse(thread.is_alive())
        self.assertEqual(len(kept.threads), 1)
        self.assertIs(self.threads.of("kept"), kept)
        self.assertIsNot(self.threads.of("gone"), gone)
        for *_when, stop in self.at_shutdown:
            stop()


class ContextTests(ContextCase):
    """What a context uses."""

    def test_own_threads(self) -> None:
        """A blocking call goes to the pool of its module."""
        calls: list[str] = []

        def pool_of(module: str) -> Any:
            def call(_on_result: object, function: Any, *args: object) -> None:
                calls.append(f"{module} {function(*args)}")

            return SimpleNamespace(callInThreadWithCallback=call)

        self.resources = evolve(self.resources, threads=pool_of)
        context = self.make_context()
        context.in_thread(max, 1, 2)
        self.assertEqual(calls, [f"{context.name} 2"])
