"""The start of a thread ends, whatever becomes of the thread."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Event

from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase

import metrics_agent
from metrics_agent.process import bounded_thread
from metrics_agent.process.bounded_thread import BoundedThread, use_bounded_threads

LIMIT_S = 20.0


class Dies(BoundedThread):
    """Ends before it runs, as where memory is short."""

    def _bootstrap(self) -> None:
        pass


class DiesBetween(BoundedThread):
    """Has an identity, and ends before it counts as started."""

    def _bootstrap(self) -> None:
        self._set_ident()  # type: ignore[attr-defined]


class DiesLater(BoundedThread):
    """Counts as started, and ends before it calls anything."""

    def run(self) -> None:
        """Call nothing."""


class Late(BoundedThread):
    """Runs when it was given up already."""

    def __init__(self, target: Callable[[], object], name: str) -> None:
        super().__init__(target, name)
        self.goes_on, self.over = Event(), Event()

    def run(self) -> None:
        """Wait first."""
        self.goes_on.wait(LIMIT_S)
        super().run()
        self.over.set()


class BoundedThreadTests(SynchronousTestCase):
    """One by itself."""

    def setUp(self) -> None:
        self.results: SimpleQueue[str] = SimpleQueue()

    def short(self) -> None:
        self.patch(bounded_thread, "STEP_S", 0.001)

    def work(self) -> None:
        self.results.put("done")

    def test_it_runs(self) -> None:
        """It calls its target, with its name, and can be waited for."""
        thread = BoundedThread(self.work, "works", daemon=True)
        thread.start()
        thread.join(LIMIT_S)
        self.assertEqual(self.results.get_nowait(), "done")
        self.assertEqual((thread.name, thread.daemon, thread.is_alive()), ("works", True, False))

    def test_one_that_ends_before_it_runs(self) -> None:
        """Its start raises, and its end is not waited for."""
        self.short()
        for kind in (Dies, DiesBetween, DiesLater):
            thread = kind(self.work, "dies")
            self.assertRaisesRegex(RuntimeError, "does not run", thread.start)
            thread.join()
        self.assertTrue(self.results.empty())

    def test_no_memory_to_wait(self) -> None:
        """A thread that runs already has started; one that does not never calls its target."""

        def fails(_event: object, _timeout: float | None = None) -> bool:
            if ran is not None:
                ran.wait(LIMIT_S)
            raise MemoryError

        self.patch(bounded_thread._BoundedEvent, "wait", fails)
        ran: Event | None = Event()
        thread = BoundedThread(lambda: (self.work(), ran.set()), "runs")
        thread.start()
        self.assertEqual(self.results.get(timeout=LIMIT_S), "done")
        ran = None
        late = Late(self.work, "late")
        self.assertRaises(MemoryError, late.start)
        late.goes_on.set()
        self.assertTrue(late.over.wait(LIMIT_S))
        self.assertTrue(self.results.empty())

    def test_one_that_runs_too_late(self) -> None:
        """What was given up is never done."""
        self.short()
        thread = Late(self.work, "late")
        self.assertRaises(RuntimeError, thread.start)
        thread.goes_on.set()
        self.assertTrue(thread.over.wait(LIMIT_S))
        self.assertTrue(self.results.empty())


class PoolTests(SynchronousTestCase):
    """Twisted's pool with such threads."""

    def test_a_thread_that_cannot_run(self) -> None:
        """The call raises, the next one works, and the pool can be stopped."""
        self.patch(bounded_thread, "STEP_S", 0.001)
        pool, results = ThreadPool(0, 1), SimpleQueue[str]()
        use_bounded_threads(pool)
        pool.start()
        pool.threadFactory = Dies  # type: ignore[assignment]
        self.assertRaises(RuntimeError, pool.callInThread, results.put, "first")
        self.patch(bounded_thread, "STEP_S", LIMIT_S)
        use_bounded_threads(pool)
        pool.callInThread(results.put, "second")
        self.assertEqual(results.get(timeout=LIMIT_S), "second")
        pool.stop()


class PackageTests(SynchronousTestCase):
    """All threads of the agent."""

    def test_no_other_threads(self) -> None:
        """The package makes no thread whose start may wait without an end."""
        found = [
            path.name
            for path in Path(metrics_agent.__file__).parent.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if (isinstance(node, ast.Attribute) and ast.unparse(node) == "threading.Thread")
            or (isinstance(node, ast.ImportFrom) and "Thread" in [one.name for one in node.names])
        ]
        self.assertEqual(found, ["bounded_thread.py"])
