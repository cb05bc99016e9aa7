"""The first thing that runs, and a service with its reactor."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process import boot as boot_module
from metrics_agent.process.boot import Process, boot
from metrics_agent.process.exit import ExitStatus
from metrics_agent.process.running import (
    contain_main_loop,
    run_service,
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
