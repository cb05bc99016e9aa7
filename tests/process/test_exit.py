"""The last words of a process, and its code."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process import exit as exit_module
from metrics_agent.process import last_words
from metrics_agent.process.descriptors import unread_bytes
from metrics_agent.process.exit import ExitCode, ExitStatus
from metrics_agent.process.last_words import say, wait_until_read
from metrics_agent.process.standstill import RunningClock


class FakeClock:
    """Time that passes only by sleeping; the reader takes a byte at each sleep."""

    def __init__(self, unread: int) -> None:
        self.now_s = 0.0
        self.left = unread

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.left -= 1

    def unread(self, _fd: int) -> int:
        return self.left


class WaitUntilReadTests(SynchronousTestCase):
    """The end of the process waits for whoever reads the log."""

    def wait(self, unread: int, timeout_s: float = 1.0) -> tuple[bool, float]:
        clock = FakeClock(unread)
        return wait_until_read(2, timeout_s, unread=clock.unread, clock=clock), clock.now_s

    def test_nothing_unread_waits_for_nothing(self) -> None:
        self.assertEqual(self.wait(0), (True, 0.0))

    def test_it_waits_until_the_last_byte_is_read(self) -> None:
        read, took_s = self.wait(20)
        self.assertTrue(read)
        self.assertAlmostEqual(took_s, 0.1)

    def test_a_reader_that_never_reads_is_waited_for_no_longer_than_that(self) -> None:
        read, took_s = self.wait(10**6, 0.5)
        self.assertFalse(read)
        self.assertAlmostEqual(took_s, 0.5, places=2)


class UnreadBytesTests(SynchronousTestCase):
    """What the kernel says of a descriptor."""

    def setUp(self) -> None:
        self.reader, self.writer = os.pipe()
        self.addCleanup(self.close)

    def close(self) -> None:
        for fd in (self.reader, self.writer):
            if fd >= 0:
                os.close(fd)

    def test_a_pipe_counts_what_is_not_read(self) -> None:
        os.write(self.writer, b"12345")
        os.read(self.reader, 2)
        self.assertEqual(unread_bytes(self.writer), 3)

    def test_a_pipe_without_a_reader_has_nothing_to_wait_for(self) -> None:
        os.write(self.writer, b"12345")
        os.close(self.reader)
        self.reader = -1
        self.assertEqual(unread_bytes(self.writer), 0)

    def test_what_is_no_pipe_or_closed_has_nothing_to_wait_for(self) -> None:
        with open(os.devnull, "wb") as null:  # noqa: PTH123 - a device
            fd = null.fileno()
            self.assertEqual(unread_bytes(fd), 0)
        self.assertEqual(unread_bytes(fd), 0)


class ExitStatusTests(SynchronousTestCase):
    """The first code that is not 0 wins."""

    def test_the_first_fault_is_kept(self) -> None:
        ended: list[int] = []
        status = ExitStatus(ended.append)
        self.patch(exit_module, "say", lambda _words: None)
        status.set(ExitCode.STOPPED)
        status.set(ExitCode.FAILED)
        status.set(ExitCode.CONFIG)
        status.now("It hangs")
        self.assertEqual(ended, [1])

    def test_at_the_end_of_the_process(self) -> None:
        """A code other than 0 is applied last of all, 0 leaves the end as it is."""
        handlers: list[Callable[[], object]] = []
        self.patch(exit_module, "atexit", FakeAtExit(handlers))
        self.patch(exit_module, "wait_until_read", lambda *_args: True)
        for code, expected in ((ExitCode.STOPPED, []), (ExitCode.HUNG, [70])):
            ended: list[int] = []
            status = ExitStatus(ended.append)
            status.register()
            status.set(code)
            handlers.pop()()
            self.assertEqual(ended, expected)

    def test_a_wait_that_fails_does_not_cost_the_code(self) -> None:
        def fails(*_args: object) -> bool:
            raise OSError(22, "Invalid argument")

        handlers: list[Callable[[], object]] = []
        self.patch(exit_module, "atexit", FakeAtExit(handlers))
        self.patch(exit_module, "wait_until_read", fails)
        ended: list[int] = []
        status = ExitStatus(ended.append)
        status.register()
        status.set(ExitCode.FAILED)
        handlers.pop()()
        self.assertEqual(ended, [1])

    def test_the_codes(self) -> None:
        """The contract with the parent."""
        self.assertEqual([int(code) for code in ExitCode], [0, 1, 70, 78])

    def test_ends_by_default(self) -> None:
        """Without another way the process is ended by the system call."""
        self.assertIs(ExitStatus()._hard_exit, os._exit)


class SayTests(SynchronousTestCase):
    """The words that come before the end."""

    def test_returns_when_they_are_said(self) -> None:
        """In another thread, and long before the second in which they must be said."""
        self.patch(last_words, "_SAY_S", 60.0)
        threads: list[int] = []
        say(lambda: threads.append(threading.get_ident()))
        self.assertEqual(len(threads), 1)
        self.assertNotEqual(threads[0], threading.get_ident())

    def test_a_thread_that_never_runs(self) -> None:
        """Where memory is short a thread that was started may end before it has begun."""
        self.patch(last_words, "_SAY_S", 0.0)
        self.patch(last_words, "start_new_thread", lambda *_run: 1)
        said: list[bool] = []
        say(lambda: said.append(True))
        self.assertEqual(said, [])


class DeadlineTests(SynchronousTestCase):
    """The end of a stop that hangs; the threads run when the test lets them."""

    def setUp(self) -> None:
        self.now_s = 100.0
        self.standing_s = 0.0
        self.threads: list[FakeThread] = []
        self.ended: list[tuple[int, float]] = []
        self.patch(exit_module, "threading", self)
        self.patch(exit_module, "BoundedThread", self.make_thread)
        self.patch(exit_module, "say", lambda words: words())
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.patch(exit_module, "RunningClock", lambda: RunningClock(lambda: self.now_s))
        self.status = ExitStatus(lambda code: self.ended.append((code, round(self.now_s - 100, 1))))

    def make_thread(self, target: Any, name: str, *, daemon: bool) -> FakeThread:
        self.threads.append(FakeThread(target, name, daemon))
        return self.threads[-1]

    def Event(self) -> FakeEvent:
        return FakeEvent(self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now_s += max(seconds, 0.001) + self.standing_s
        self.standing_s = 0.0

    def test_ends_with_the_code(self) -> None:
        """When the time is over the process ends with the code so far, from another thread."""
        self.status.end_within(6, "It hangs")
        self.status.set(ExitCode.FAILED)
        (thread,) = self.threads
        self.assertTrue(thread.daemon)
        thread.target()
        self.assertEqual(self.ended, [(1, 6.0)])
        self.assertEqual(
            [formatEvent(event) for event in self.events],
            ["It hangs: this process ends now, with status 1."],
        )

    def test_nothing_to_say(self) -> None:
        """Where all is done, a thread that goes on is not worth a line."""
        self.status.now()
        self.assertEqual((self.ended, self.events), ([(0, 0.0)], []))

    def test_ends_without_words(self) -> None:
        """What hangs or is missing may be what the words need."""

        def fails(_words: object) -> None:
            raise RuntimeError("can't start new thread")

        self.patch(exit_module, "say", fails)
        with self.assertRaises(RuntimeError):
            self.status.now("It hangs")
        self.assertEqual(self.ended, [(0, 0.0)])

    def test_time_in_which_the_process_stands_still_does_not_count(self) -> None:
        """A stop that was interrupted for a minute has its six seconds all the same."""
        self.standing_s = 60.0
        self.status.end_within(6, "It hangs")
        self.threads[0].target()
        ((_code, after_s),) = self.ended
        self.assertAlmostEqual(after_s, 65.9, places=1)  # a step of 60.1 s counts as 0.2 s

    def test_a_later_one_replaces_it(self) -> None:
        """There is one deadline at a time."""
        self.status.end_within(6, "It hangs")
        self.status.end_within(0.5, "It hangs")
        for thread in self.threads:
            thread.target()
        self.assertEqual(self.ended, [(0, 0.5)])

    def test_taken_back(self) -> None:
        """Nothing ends when it was taken back; twice, and without one, is harmless."""
        self.status.cancel_deadline()
        self.status.end_within(6, "It hangs")
        self.status.cancel_deadline()
        self.status.cancel_deadline()
        self.threads[0].target()
        self.assertEqual(self.ended, [])

    def test_no_thread_where_memory_is_short(self) -> None:
        """There the kernel has the deadline."""
        self.status.start_no_threads()
        self.status.end_within(6, "It hangs")
        self.assertEqual(self.threads, [])

    def test_timers_of_a_stop(self) -> None:
        """From the beginning of a stop the timers of the reactor leave out the same time."""
        reactor = Clock()
        self.status.leave_out_standstill(reactor)
        self.status.leave_out_standstill(reactor)
        self.assertEqual(len(reactor.getDelayedCalls()), 1)
        self.now_s += 60
        self.assertAlmostEqual(reactor.seconds(), 100.2)
        self.status.end_within(6, "It hangs")
        self.threads[0].target()
        self.assertAlmostEqual(reactor.seconds(), 106.2, places=2)


class FakeEvent:
    """Is waited for in no time."""

    def __init__(self, sleep: Callable[[float], object]) -> None:
        self.sleep = sleep
        self.is_set = False

    def set(self) -> None:
        self.is_set = True

    def wait(self, seconds: float) -> bool:
        self.sleep(seconds)
        return self.is_set


class FakeThread:
    """Does not run by itself."""

    def __init__(self, target: Callable[[], object], name: str, daemon: bool) -> None:
        self.target = target
        self.name = name
        self.daemon = daemon

    def start(self) -> None:
        """Run when the test calls `target`."""


class FakeAtExit:
    """Keeps what is registered."""

    def __init__(self, handlers: list[Callable[[], object]]) -> None:
        self.register = handlers.append
