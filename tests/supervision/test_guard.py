"""The guard: nothing passes, everything is reported once and counted."""

from __future__ import annotations

from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.python.failure import Failure

from metrics_agent.supervision.guard import Caught
from tests.supervision.fakes import FAULTS, SupervisionCase, raiser, recurse


class RunTests(SupervisionCase):
    """A call inside the guard."""

    def test_result(self) -> None:
        """What the call returns comes back, its arguments go in, nothing is reported."""
        self.assertEqual(self.guard.run("make", divmod, 7, 3), (2, 1))
        self.assertEqual((self.events, self.counters.errors), ([], {}))

    def test_every_fault(self) -> None:
        """Whatever is raised comes back, false; one line is logged, the place is counted."""
        for kind in FAULTS:
            self.forget()
            result = self.guard.run("tick", raiser(kind("why")))
            assert isinstance(result, Caught)
            self.assertFalse(result)
            self.assertEqual(self.logged(), [f"Error in tick: {kind.__name__}('why')"])
            self.assertIs(type(result.error), kind)
        self.assertEqual(self.counters.errors, {"tick": len(FAULTS)})

    def test_detail(self) -> None:
        """The line says what it was about, and never which of many would fold apart."""
        self.guard.caught("message", ValueError("no"), "tele/plug/SENSOR")
        line = "Error in message of 'tele/plug/SENSOR': ValueError('no')"
        self.assertEqual(self.logged(), [line])
        self.assertEqual(self.events[0]["fold"], ("place",))
        self.assertEqual(
            self.counters.last_error, ("message", "ValueError('no') in 'tele/plug/SENSOR'")
        )

    def test_last_error(self) -> None:
        """Place and text are kept, bounded, on one line, whatever the exception holds."""
        self.guard.caught("tick", ValueError("a\n" * 10_000))
        assert self.counters.last_error is not None
        place, text = self.counters.last_error
        self.assertEqual((place, len(text), "\n" in text), ("tick", 300, False))

    def test_traceback_is_kept(self) -> None:
        """The event has the traceback, for the debug level."""
        self.guard.run("tick", raiser(ValueError("no")))
        self.assertIn("in fail", self.events[0]["log_failure"].getTraceback())

    def test_endless_recursion(self) -> None:
        """Code that calls itself without end ends at the guard."""
        self.assertIsInstance(self.guard.run("decode", recurse), Caught)
        self.assertEqual(self.counters.errors, {"decode": 1})

    def test_recursion_through_the_guard(self) -> None:
        """Where no stack is left to report it, the fault goes up until there is."""

        def deep() -> None:
            self.guard.run("deep", deep)

        self.guard.run("outer", deep)
        self.assertIn("Error in deep: RecursionError", "\n".join(self.logged()))

    def test_nested(self) -> None:
        """A fault ends at the inner guard, the outer one goes on."""

        def outer() -> str:
            self.guard.run("inner", raiser(SystemExit(1)))
            return "went on"

        self.assertEqual(self.guard.run("outer", outer), "went on")
        self.assertEqual(self.counters.errors, {"inner": 1})


class WatchTests(SupervisionCase):
    """A Deferred inside the guard."""

    def test_result(self) -> None:
        """A result passes through."""
        self.assertEqual(self.successResultOf(self.guard.watch("work", succeed(3))), 3)
        self.assertEqual(self.events, [])

    def test_every_fault(self) -> None:
        """Whatever it fails with: that is the result, reported and counted once."""
        for kind in FAULTS:
            self.forget()
            work = self.guard.watch("work", fail(kind("why")))
            result = self.successResultOf(work)
            assert isinstance(result, Caught)
            self.assertEqual(self.logged(), [f"Error in work: {kind.__name__}('why')"])
            self.assertIs(type(result.error), kind)
        self.assertEqual(self.counters.errors, {"work": len(FAULTS)})

    def test_callback_raises(self) -> None:
        """What a callback raises, SystemExit too, is contained like a failure."""
        work: Deferred[object] = Deferred()
        work.addCallback(raiser(SystemExit(5)))
        self.guard.watch("work", work)
        work.callback(None)
        self.assertEqual(self.logged(), ["Error in work: SystemExit(5)"])

    def test_coroutine_raises(self) -> None:
        """So is what a coroutine raises."""
        for kind in FAULTS:
            waiting: Deferred[None] = Deferred()

            async def work(error: BaseException, waiting: Deferred[None]) -> None:
                await waiting
                raise error

            watched = self.guard.watch("work", ensureDeferred(work(kind("why"), waiting)))
            waiting.callback(None)
            self.assertIsInstance(self.successResultOf(watched), Caught)
        self.assertEqual(self.counters.errors, {"work": len(FAULTS)})

    def test_cancelled(self) -> None:
        """A Deferred that someone cancelled has not failed."""
        work = self.guard.watch("work", Deferred())
        work.cancel()
        self.assertIsNone(self.successResultOf(work))
        self.assertEqual((self.events, self.counters.errors), ([], {}))


class CaughtTests(SupervisionCase):
    """A fault that someone else caught."""

    def test_failure_without_traceback(self) -> None:
        """A Failure that was made and never raised is reported like any other."""
        self.guard.caught("body", Failure(ValueError("made")))
        self.assertEqual(self.logged(), ["Error in body: ValueError('made')"])

    def test_exception_that_was_never_raised(self) -> None:
        """So is an exception without a traceback."""
        self.guard.caught("life", ValueError("made"))
        self.assertEqual(self.logged(), ["Error in life: ValueError('made')"])

    def test_unprintable(self) -> None:
        """An exception whose text cannot be made is reported by its type."""

        class Odd(Exception):  # noqa: N818 - a fake
            def __repr__(self) -> str:
                raise SystemExit(1)

        self.guard.caught("life", Odd())
        self.assertEqual(self.logged(), ["Error in life: Odd (its text cannot be shown)"])
