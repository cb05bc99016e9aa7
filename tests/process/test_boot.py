"""The first thing that runs, and a service with its reactor."""

from __future__ import annotations

import gc
import sys
import time
import weakref
from types import ModuleType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.application.service import Service
from twisted.internet import epollreactor, pollreactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python import context, log
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process import boot as boot_module
from metrics_agent.process.boot import Process, boot
from metrics_agent.process.exit import ExitStatus
from metrics_agent.process.running import (
    contain_main_loop,
    dispatch_directly,
    run_service,
    sleep_past_old_timers,
    use_monotonic_clock,
)
from metrics_agent.process.signals import Signals


class BootTests(SynchronousTestCase):
    """What happens to the process."""

    def test_order(self) -> None:
        """Handlers first: the default action of SIGHUP is death."""
        done: list[str] = []
        self.patch(boot_module, "use_safe_clock", lambda: done.append("clock"))
        self.patch(Signals, "install_early", lambda _self: done.append("signals"))
        self.patch(boot_module, "secure_descriptors", lambda: done.append("descriptors") or (1,))
        self.patch(ExitStatus, "register", lambda _self: done.append("exit"))
        self.assertEqual(boot().closed, (1,))
        self.assertEqual(done, ["clock", "signals", "descriptors", "exit"])

    def test_stdout_is_taken_once(self) -> None:
        """The private descriptor is the same each time: taking it again would take stderr."""
        taken: list[int] = []
        self.patch(boot_module, "take_stdout", lambda: taken.append(9) or 9)  # type: ignore[func-returns-value]
        process = Process()
        self.assertEqual((process.stdout(), process.stdout(), taken), (9, 9, [9]))

    def test_stdout_that_takes_nothing(self) -> None:
        """A stdout that was closed is /dev/null now, and can be written: only we know."""
        process = Process()
        self.assertEqual(process.stdout_problem, "")
        self.patch(boot_module, "is_writable", lambda fd: fd != 1)
        self.assertEqual(process.stdout_problem, "stdout is open for reading only")
        process.closed = (0, 1)
        self.assertEqual(process.stdout_problem, "stdout is closed")

    def test_second_request_to_stop(self) -> None:
        """It ends the process with the code that is known by then."""
        process = Process()
        self.assertEqual(process.signals._exit_now, process.exit_status.now)


class RunTests(SynchronousTestCase):
    """From start to end."""

    def test_started_run_and_stopped(self) -> None:
        """The service starts in the running reactor, and its stop holds up the reactor's."""
        seen: list[Any] = []
        stopping: Deferred[None] = Deferred()

        class Recorded(Service):
            def startService(self) -> None:
                seen.append(("start", reactor.running))

            def stopService(self) -> Deferred[None]:
                seen.append("stop")
                return stopping

        reactor = MemoryReactorClock()
        run_service(reactor, Recorded())
        self.assertEqual(seen, [("start", True)])
        self.assertTrue(reactor.hasRun)
        ((call, args, kwargs),) = reactor.triggers["before"]["shutdown"]
        self.assertIs(call(*args, **kwargs), stopping)


class ClockTests(SynchronousTestCase):
    """Time that does not jump."""

    def test_monotonic(self) -> None:
        """The reactor's timers follow the monotonic clock."""
        reactor = Clock()
        use_monotonic_clock(reactor)
        self.assertIs(reactor.seconds, time.monotonic)

    def test_not_while_a_timer_runs(self) -> None:
        """A timer that was set by the other clock would come at some other time."""
        reactor = Clock()
        call = reactor.callLater(5, list)
        use_monotonic_clock(reactor)
        self.assertEqual(reactor.seconds(), 0.0)
        call.cancel()


class SleepTests(SynchronousTestCase):
    """How long the reactor sleeps."""

    def reactor(self) -> Any:
        """Make one that never runs, with a clock of its own that stands at 0."""
        reactor: Any = pollreactor.PollReactor()
        for descriptor in reactor.removeAll() or reactor._internalReaders:
            descriptor.connectionLost(None)
        reactor.now_s = 0.0
        reactor.seconds = lambda: reactor.now_s
        return reactor

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(("later", "later", "cancel", "reset", "reset", "run")),
                st.integers(0, 20),
                st.integers(0, 9),
            ),
            max_size=60,
        )
    )
    def test_until_a_timer_is_due(self, steps: list[tuple[str, int, int]]) -> None:
        """Not until one that was cancelled or put off would have been; all come when they did."""
        reactors = [self.reactor(), self.reactor()]
        sleep_past_old_timers(reactors[1])
        ran: list[list[tuple[int, float]]] = [[], []]
        calls: list[list[Any]] = [[], []]

        def note(index: int, number: int) -> None:
            ran[index].append((number, reactors[index].now_s))

        for step, delay_s, number in steps:
            for index, reactor in enumerate(reactors):
                mine = calls[index]
                if step == "later":
                    mine.append(reactor.callLater(delay_s, note, index, len(mine)))
                elif step == "run":
                    for _ in range(delay_s):
                        reactor.now_s += 1.0
                        reactor.runUntilCurrent()
                elif number < len(mine) and mine[number].active():
                    if step == "cancel":
                        mine[number].cancel()
                    else:
                        mine[number].reset(delay_s)
            first, second = ran
            self.assertEqual(sorted(first), sorted(second))
            reactor = reactors[1]
            due = [call.getTime() - reactor.now_s for call in calls[1] if call.active()]
            self.assertEqual(reactor.timeout(), max(0, min(due)) if due else None)
            self.assertEqual(
                reactor._cancellations, sum(call.cancelled for call in reactor._pendingTimedCalls)
            )
            self.assertCountEqual(reactor.getDelayedCalls(), [c for c in calls[1] if c.active()])

    def test_others_are_left_alone(self) -> None:
        """A fake has no such timers."""
        clock = Clock()
        before = vars(clock).copy()
        sleep_past_old_timers(clock)
        self.assertEqual(vars(clock), before)


class Garbage:
    """An object in a cycle."""

    def __init__(self, cycle: list[Any]) -> None:
        cycle.append(self)
        self.cycle = cycle


class MainLoopTests(SynchronousTestCase):
    """Exceptions that leave the reactor's main loop."""

    def run_loop(self, *faults: BaseException) -> tuple[list[BaseException], list[int]]:
        """Run a main loop that raises these in turn, and then returns."""
        left = list(faults)
        logged: list[BaseException] = []
        exits: list[int] = []

        class Reactor:
            def mainLoop(self) -> None:
                if left:
                    raise left.pop(0)

        def failed(error: BaseException) -> None:
            logged.append(error)
            raise MemoryError

        reactor = Reactor()
        contain_main_loop(reactor, failed, exits.append)
        reactor.mainLoop()
        return logged, exits

    def test_loop_goes_on_for_the_stop(self) -> None:
        """Once: `failed` asks it to stop, and may itself fail."""
        error = MemoryError()
        self.assertEqual(self.run_loop(error), ([error], []))
        self.assertEqual(self.run_loop(), ([], []))

    def test_process_ends_where_that_is_of_no_use(self) -> None:
        """With the code after which a new one is started."""
        errors = [MemoryError(), SystemExit(), OverflowError()]
        self.assertEqual(self.run_loop(*errors), (errors, [1]))

    def test_reactor_without_a_main_loop(self) -> None:
        """Such as a fake: nothing to do."""
        contain_main_loop(Clock(), list)


class DispatchTests(SynchronousTestCase):
    """What the reactor calls when there is something to read or to write."""

    def setUp(self) -> None:
        self.module: Any = ModuleType("a_reactor")
        self.module.log = log
        sys.modules["a_reactor"] = self.module
        self.addCleanup(sys.modules.pop, "a_reactor")
        self.reactor = type("Reactor", (), {"__module__": "a_reactor", "mainLoop": list})()

    def logPrefix(self) -> str:  # that of Twisted's interface
        return "a connection"

    def name_in_log(self) -> object:
        return context.get(log.ILogContext).get("system")

    def call(self, function: Any, *args: Any) -> Any:
        return self.module.log.callWithLogger(self, function, *args)

    def test_called_without_a_context(self) -> None:
        """And what else is in Twisted's log stays."""
        dispatch_directly(self.reactor)
        self.assertEqual(self.call(divmod, 7, 2), (3, 1))
        name = self.call(self.name_in_log)
        self.assertNotEqual(name, "a connection")
        self.assertIs(self.module.log.err, log.err)
        self.assertEqual(log.callWithLogger(self, self.name_in_log), "a connection")

    def test_faults_are_logged_as_before(self) -> None:
        """With the name of what was called, and nothing is raised but what ends a process."""

        def system() -> list[str]:
            events: list[Any] = []
            log.addObserver(events.append)
            for fault in (ValueError, SystemExit, MemoryError):
                self.assertIsNone(self.call(self.fail_with, fault))
                self.assertEqual(len(self.flushLoggedErrors(fault)), 1)
            log.removeObserver(events.append)
            self.assertRaises(KeyboardInterrupt, self.call, self.fail_with, KeyboardInterrupt)
            return [event["system"] for event in events if event["isError"]]

        before = system()
        dispatch_directly(self.reactor)
        self.assertEqual(system(), before)
        self.assertEqual(before, ["a connection"] * 3)

    def fail_with(self, fault: type[BaseException]) -> None:
        raise fault

    def test_reactors_of_twisted(self) -> None:
        """They call by that name, or nothing is saved."""
        for module, kind in (
            (epollreactor, epollreactor.EPollReactor),
            (pollreactor, pollreactor.PollReactor),
        ):
            self.assertIn("callWithLogger", kind.doPoll.__code__.co_names)
            self.assertIs(module.log, log)

    def test_others_are_left_alone(self) -> None:
        """Fakes, and reactors that do not use Twisted's log."""
        dispatch_directly(Clock())
        self.module.log = other = object()
        dispatch_directly(self.reactor)
        self.assertIs(self.module.log, other)


class HeapTests(SynchronousTestCase):
    """What full collections of garbage visit."""

    def test_objects_of_the_start_cost_no_collection(self) -> None:
        """What is there is passed over; what is garbage is collected before."""
        before = gc.get_freeze_count()
        self.addCleanup(gc.unfreeze)
        cycle: list[Any] = []
        gone = weakref.ref(Garbage(cycle))
        del cycle
        Process().freeze_heap()
        self.assertGreater(gc.get_freeze_count(), before)
        self.assertIsNone(gone())
