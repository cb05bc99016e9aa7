"""A supervisor: starting and stopping one instance, whatever it does."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed

from metrics_agent.interfaces import Message
from metrics_agent.metric import metric
from metrics_agent.supervision.lifecycle import State
from tests.supervision.fakes import BROKER, FAULTS, raiser
from tests.supervision.supervised import FakeModule, SupervisorCase


def gives(result: Any) -> Any:
    """Make what returns this, whatever it is called with."""
    return lambda *_args: result


async def soon(*_args: object) -> None:
    """Return at once, as a coroutine."""


class StartTests(SupervisorCase):
    """From a supervisor's start to a running module."""

    def test_at_once(self) -> None:
        """A start that returns is over: reported once, at info level."""
        for start in (gives(None), gives(succeed(3)), soon, gives("anything")):
            self.forget()
            self.states.clear()
            supervisor = self.start(FakeModule(start=start))
            self.assertEqual(self.states, [State.STARTING, State.RUNNING][-len(self.states) :])
            self.assertIs(supervisor.state, State.RUNNING)
            self.assertEqual((self.logged("info"), self.logged()), (["Started."], []))
        self.assertEqual(self.counters.restarts, 0)

    def test_since_when(self) -> None:
        """A state has its time; restarts within the window are counted."""
        supervisor = self.start(FakeModule(start=raiser(ValueError("why"))), FakeModule())
        began_s = self.clock.seconds()
        self.clock.advance(0.5)
        self.assertIs(supervisor.state, State.BACKING_OFF)
        self.assertEqual((supervisor.since_s, supervisor.recent_restarts), (began_s, 1))
        self.clock.advance(0.5)
        self.assertIs(supervisor.state, State.RUNNING)
        self.assertEqual((supervisor.since_s, supervisor.recent_restarts), (began_s + 1, 1))

    def test_later(self) -> None:
        """A Deferred or coroutine is waited for."""
        for kind in ("Deferred", "coroutine"):
            work: Deferred[Any] = Deferred()

            async def wait(_context: object, work: Deferred[Any] = work) -> None:
                await work

            supervisor = self.start(FakeModule(start=gives(work) if kind == "Deferred" else wait))
            settled = supervisor.first_start()
            self.assertIs(supervisor.state, State.STARTING)
            self.assertNoResult(settled)
            work.callback(None)
            self.assertIs(supervisor.state, State.RUNNING)
            self.successResultOf(settled)
            self.successResultOf(supervisor.first_start())

    def test_raises(self) -> None:
        """Whatever is raised or failed with, at once or later: reported once, and tried again."""
        for kind in FAULTS:
            error = kind("why")

            async def coroutine(_context: object, error: BaseException = error) -> None:
                raise error

            later: Deferred[Any] = Deferred()
            for start in (raiser(error), gives(fail(error)), coroutine, gives(later)):
                self.forget()
                supervisor = self.start(FakeModule(start=start))
                if supervisor.state is State.STARTING:
                    later.errback(error)
                self.assertIs(supervisor.state, State.BACKING_OFF, (kind, start))
                self.assertEqual(self.logged(), [f"Error in start: {kind.__name__}('why')"])
                self.assertEqual(self.logged("warn"), ["Restart 1 in 1.0 s."])
                self.successResultOf(supervisor.first_start())
                self.assertEqual(self.modules[-1].stopped, 1)

    def test_never(self) -> None:
        """A start that never ends has failed after its time; it is cancelled and cleared."""
        cancelled: list[Deferred[Any]] = []
        supervisor = self.start(FakeModule(start=lambda _context: Deferred(cancelled.append)))
        self.clock.advance(29)
        self.assertIs(supervisor.state, State.STARTING)
        self.clock.advance(1)
        self.assertIs(supervisor.state, State.BACKING_OFF)
        self.assertEqual(
            self.logged(), ["Error in start: TimeoutError('it did not start within 30 s')"]
        )
        self.assertEqual((len(cancelled), self.modules[0].stopped), (1, 1))

    def test_fires_twice(self) -> None:
        """A module that fires its Deferred twice gets the error itself, and runs."""
        work: Deferred[Any] = Deferred()
        supervisor = self.start(FakeModule(start=gives(work)))
        work.callback(None)
        with self.assertRaises(Exception):  # noqa: B017 - AlreadyCalledError, from Twisted
            work.callback(None)
        self.assertIs(supervisor.state, State.RUNNING)

    def test_cancelled_by_the_module(self) -> None:
        """A start that the module cancelled itself did not go through."""
        work: Deferred[Any] = Deferred()
        supervisor = self.start(FakeModule(start=gives(work)))
        work.cancel()
        self.assertIs(supervisor.state, State.BACKING_OFF)
        self.assertEqual(len(self.logged()), 1)

    def test_starts_twice(self) -> None:
        """A second start of the supervisor changes nothing."""
        supervisor = self.start()
        supervisor.startService()
        self.assertEqual((len(self.modules), self.modules[0].started), (1, 1))


class MakeTests(SupervisorCase):
    """Where no proper module comes out."""

    def test_maker_raises(self) -> None:
        """Whatever the maker raises: reported once, and tried again."""
        for kind in FAULTS:
            self.forget()
            supervisor = self.start(raiser(kind("why")))
            self.assertIs(supervisor.state, State.BACKING_OFF)
            self.assertEqual(self.logged(), [f"Error in make: {kind.__name__}('why')"])

    def test_none(self) -> None:
        """A maker that gives nothing is logged with what was expected."""
        supervisor = self.start(None)
        self.assertIs(supervisor.state, State.BACKING_OFF)
        self.assertEqual(
            self.logged(), ["Error in make: TypeError('got no module, expected an IModule')"]
        )

    def test_no_service(self) -> None:
        """Anything that is not a service fails to start, and nothing is raised."""
        for thing in (5, "module", [], {}, Deferred(), type):
            supervisor = self.start(gives(thing))
            self.assertIs(supervisor.state, State.BACKING_OFF, thing)
        self.assertIn("has no attribute 'startService'", self.logged()[0])

    def test_has_used_its_context(self) -> None:
        """What the maker began before it raised is cleaned up."""

        def make(context: Any) -> Any:
            context.later(1000, list)
            raise ValueError("halfway")

        self.start(make)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)  # until the restart


class FailTests(SupervisorCase):
    """A module says that its life is over."""

    def test_inside_the_start(self) -> None:
        """Also inside its own start: it is handed on in a later turn."""
        supervisor = self.start(FakeModule(start=lambda context: context.fail(ValueError("x"))))
        self.assertIs(supervisor.state, State.RUNNING)
        self.clock.advance(0)
        self.assertIs(supervisor.state, State.BACKING_OFF)

    def test_inside_a_start_that_waits(self) -> None:
        """So while its start is not over."""

        def start(context: Any) -> Any:
            context.fail(ValueError("x"))
            return Deferred()

        supervisor = self.start(FakeModule(start=start))
        self.clock.advance(0)
        self.assertIs(supervisor.state, State.BACKING_OFF)

    def test_and_raises(self) -> None:
        """Both together are one failure."""

        def start(context: Any) -> Any:
            context.fail(ValueError("said"))
            raise ValueError("raised")

        supervisor = self.start(FakeModule(start=start), FakeModule())
        self.clock.advance(0)
        self.clock.advance(1)
        self.assertIs(supervisor.state, State.RUNNING)
        self.assertEqual((len(self.modules), self.counters.restarts), (2, 1))

    def test_twice(self) -> None:
        """Twice is once."""
        supervisor = self.start(FakeModule(), FakeModule())
        self.modules[0].context.fail(ValueError("1"))
        self.modules[0].context.fail(ValueError("2"))
        self.clock.advance(0)
        self.clock.advance(1)
        self.assertIs(supervisor.state, State.RUNNING)
        self.assertEqual((len(self.modules), len(self.logged())), (2, 1))

    def test_of_a_former_instance(self) -> None:
        """What a former instance says, or does late, does not concern the next one."""
        late: Deferred[Any] = Deferred()
        supervisor = self.start(FakeModule(start=gives(late)), FakeModule())
        former = self.modules[0].context
        self.clock.advance(30)
        self.clock.advance(1)
        self.assertIs(supervisor.state, State.RUNNING)
        former.fail(ValueError("late"))
        late.callback(None)
        self.clock.advance(0)
        self.assertIs(supervisor.state, State.RUNNING)
        self.assertEqual(len(self.modules), 2)

    def test_start_of_a_former_instance(self) -> None:
        """A start that timed out and fails late is reported, and does not concern the next one."""
        clean_up: Deferred[Any] = Deferred()

        async def start(_context: object) -> None:
            try:
                await Deferred()
            except CancelledError:
                await clean_up

        supervisor = self.start(FakeModule(start=start), FakeModule())
        self.clock.pump([30, 1])
        self.forget()
        clean_up.errback(ValueError("late"))
        self.assertEqual(self.logged(), ["Error in start: ValueError('late')"])
        self.assertEqual((supervisor.state, len(self.modules)), (State.RUNNING, 2))

    def test_in_a_handler(self) -> None:
        """A handler that says so still gives what it has; the next instance subscribes again."""

        def start(context: Any) -> None:
            def handler(_message: object) -> list[Any]:
                context.fail(ValueError("x"))
                return [metric("m", {}, {"f": 1.0})]

            context.subscribe(BROKER, "a", handler)

        supervisor = self.start(FakeModule(start=start), FakeModule(start=start))
        lines: list[bytes] = []
        message = Message("a", b"", 0, retain=False, received_ns=1)
        self.connection.subscriptions[0].deliver(message, lines)
        self.assertEqual(lines, [b"m f=1.0\n"])
        self.clock.pump([0, 1])
        self.assertIs(supervisor.state, State.RUNNING)
        self.assertEqual([each.cancelled for each in self.connection.subscriptions], [1, 0])

    def test_in_a_stop(self) -> None:
        """A module that says so while it is stopped is just stopped."""
        supervisor = self.start(FakeModule(stop=lambda context: context.fail(ValueError("x"))))
        self.successResultOf(supervisor.stopService())
        self.clock.advance(0)
        self.assertIs(supervisor.state, State.STOPPED)

    def test_hopeless_ticks(self) -> None:
        """Ticks that fail in a row restart the module, and its timers with it."""
        bad = FakeModule(start=lambda context: context.every(10, raiser(ValueError("x"))) and None)
        supervisor = self.start(bad, FakeModule())
        self.clock.advance(0)
        self.clock.pump([10, 10, 0, 1])
        self.assertIs(supervisor.state, State.RUNNING)
        self.assertEqual((len(self.modules), self.clock.getDelayedCalls()), (2, []))


class StopTests(SupervisorCase):
    """Stopping an instance."""

    def test_at_once(self) -> None:
        """A stop that returns, fires at once or is a coroutine that returns."""
        for stop in (gives(None), gives(succeed(None)), soon):
            self.forget()
            supervisor = self.start(FakeModule(stop=stop))
            self.successResultOf(supervisor.stopService())
            self.assertEqual(self.logged("info"), ["Started.", "Stopped."])
            self.assertIs(self.states[-1], State.STOPPED)

    def test_later(self) -> None:
        """A stop is waited for."""
        work: Deferred[Any] = Deferred()
        supervisor = self.start(FakeModule(stop=gives(work)))
        stopped = supervisor.stopService()
        self.assertNoResult(stopped)
        work.callback(None)
        self.successResultOf(stopped)

    def test_raises(self) -> None:
        """Whatever it raises or fails with: reported, and it is stopped."""
        for kind in FAULTS:
            for stop in (raiser(kind("why")), lambda _context, kind=kind: fail(kind("why"))):
                self.forget()
                supervisor = self.start(FakeModule(stop=stop))
                self.successResultOf(supervisor.stopService())
                self.assertEqual(self.logged(), [f"Error in stop: {kind.__name__}('why')"])

    def test_never(self) -> None:
        """A stop that never ends is let go after its time, and cancelled."""
        cancelled: list[Deferred[Any]] = []
        supervisor = self.start(FakeModule(stop=lambda _context: Deferred(cancelled.append)))
        stopped = supervisor.stopService()
        self.clock.advance(1.9)
        self.assertNoResult(stopped)
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.logged("warn"), ["Did not stop within 2 s; abandoned."])

    def test_abandoned_earlier(self) -> None:
        """A stop whose time is cut short ends then, with the time that it had, logged once."""
        cancelled: list[Deferred[Any]] = []
        supervisor = self.start(FakeModule(stop=lambda _context: Deferred(cancelled.append)))
        stopped = supervisor.stopService()
        self.clock.advance(1.5)
        supervisor.abandon()
        self.successResultOf(stopped)
        supervisor.abandon()
        self.clock.advance(10)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.logged("warn"), ["Did not stop within 1.5 s; abandoned."])

    def test_abandoned_while_it_clears(self) -> None:
        """So where the module had failed before, and the time counts from that on."""
        supervisor = self.start(FakeModule(stop=lambda _context: Deferred()))
        self.modules[0].context.fail(ValueError("gone"))
        self.clock.advance(0)
        self.clock.advance(1)
        stopped = supervisor.stopService()
        self.clock.advance(0.5)
        self.forget()
        supervisor.abandon()
        self.successResultOf(stopped)
        self.assertEqual(self.logged("warn"), ["Did not stop within 1.5 s; abandoned."])

    def test_nothing_to_abandon(self) -> None:
        """What runs, waits or has stopped is left alone."""
        supervisor = self.make()
        supervisor.abandon()
        supervisor.startService()
        supervisor.abandon()
        self.assertIs(supervisor.state, State.RUNNING)
        self.successResultOf(supervisor.stopService())
        supervisor.abandon()
        self.assertEqual(self.logged("warn"), [])

    def test_never_and_not_to_be_cancelled(self) -> None:
        """So where cancelling it raises or does nothing, and when it ends after all."""
        for canceller in (raiser(SystemExit(1)), lambda _work: None):
            work: Deferred[Any] = Deferred(canceller)
            inner: Deferred[Any] = Deferred(canceller)
            work.addCallback(gives(inner))
            work.callback(None)
            supervisor = self.start(FakeModule(stop=gives(work)))
            stopped = supervisor.stopService()
            self.clock.advance(2)
            self.successResultOf(stopped)
            self.assertIs(supervisor.state, State.STOPPED)

    def test_before_start_and_twice(self) -> None:
        """Harmless, and each call hears of the end."""
        supervisor = self.make()
        self.successResultOf(supervisor.stopService())
        supervisor.startService()
        self.assertEqual((self.modules, supervisor.state), ([], State.STOPPED))
        work: Deferred[Any] = Deferred()
        supervisor = self.start(FakeModule(stop=gives(work)))
        first, second = supervisor.stopService(), supervisor.stopService()
        self.assertNoResult(second)
        work.callback(None)
        for stopped in (first, second, supervisor.stopService()):
            self.successResultOf(stopped)
        self.assertEqual(self.modules[0].stopped, 1)

    def test_cleans_up(self) -> None:
        """What the module left is cancelled, and named in the line that says it is stopped."""

        def start(context: Any) -> None:
            context.later(10, list)
            context.watch(Deferred())

        supervisor = self.start(FakeModule(start=start))
        self.successResultOf(supervisor.stopService())
        self.assertEqual(
            self.logged("info"), ["Started.", "Stopped, and cleaned up: 1 timer, 1 request."]
        )

    def test_clean_up_raises(self) -> None:
        """Even a context that cannot be closed does not keep it from stopping."""
        supervisor = self.start()
        assert supervisor._life.context is not None
        supervisor._life.context.close = raiser(RecursionError("deep"))  # type: ignore[method-assign]
        self.successResultOf(supervisor.stopService())
        self.assertEqual(self.logged(), ["Error in clean_up: RecursionError('deep')"])

    def test_while_starting(self) -> None:
        """A start under way is cancelled, then the module is stopped; that is not a failure."""
        cancelled: list[Deferred[Any]] = []
        supervisor = self.start(FakeModule(start=lambda _context: Deferred(cancelled.append)))
        self.successResultOf(supervisor.stopService())
        self.assertEqual((len(cancelled), self.modules[0].stopped), (1, 1))
        self.assertEqual((self.logged(), self.logged("info")), ([], ["Stopped."]))


class FailedStartAndStopTests(SupervisorCase):
    """A start and a stop of one instance that meet."""

    def test_start_fails_later_and_stop_never_ends(self) -> None:
        """The instance is let go after its time, and the next one started."""
        work: Deferred[Any] = Deferred()
        hangs = FakeModule(start=gives(work), stop=lambda _context: Deferred())
        supervisor = self.start(hangs, FakeModule())
        self.clock.advance(5)
        work.errback(ValueError("refused"))
        self.assertIs(supervisor.state, State.CLEARING)
        self.clock.advance(2)
        self.assertIs(supervisor.state, State.BACKING_OFF)
        self.clock.advance(1)
        self.assertIs(supervisor.state, State.RUNNING)

    def test_start_ends_while_stop_never_does(self) -> None:
        """A cancelled start that ends late does not call off the end of the stop's time."""
        clean_up: Deferred[Any] = Deferred()

        async def start(_context: object) -> None:
            try:
                await Deferred()
            except CancelledError:
                await clean_up

        supervisor = self.start(FakeModule(start=start, stop=lambda _context: Deferred()))
        stopped = supervisor.stopService()
        self.clock.advance(1)
        clean_up.callback(None)
        self.clock.advance(1)
        self.successResultOf(stopped)

    def test_same_deferred(self) -> None:
        """A module may give the same Deferred for its start and its stop."""
        work: Deferred[Any] = Deferred()
        supervisor = self.start(FakeModule(start=gives(work), stop=gives(work)))
        self.successResultOf(supervisor.stopService())
