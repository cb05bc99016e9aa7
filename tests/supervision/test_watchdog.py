"""When the watchdog dumps, ends the process, and when it must not."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger, LogLevel
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process import last_words
from metrics_agent.supervision import watchdog as watchdog_module
from metrics_agent.supervision.watchdog import LastResort, StackDump, Watchdog


class FakeReactor:
    """Keeps what threads hand in until it is asked to run."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def callFromThread(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def run(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class WatchdogTest(SynchronousTestCase):
    """The service, without time, threads and faulthandler."""

    def setUp(self) -> None:
        self.now_s = 1000.0
        self.cpu_s = 5.0
        self.reactor = FakeReactor()
        self.threads: list[Callable[[], None]] = []
        self.exits: list[int] = []
        self.events: list[dict[str, Any]] = []
        self.read_fd, self.stderr_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        self.addCleanup(os.close, self.read_fd)
        self.addCleanup(os.close, self.stderr_fd)

    def make(self, **options: Any) -> Watchdog:
        watchdog = Watchdog(
            self.reactor,
            stderr_fd=self.stderr_fd,
            exit=self.exits.append,
            log=Logger("test", observer=self.events.append),
            clock=lambda: self.now_s,
            cpu_clock=lambda: self.cpu_s,
            start_thread=self.threads.append,
            **options,
        )
        self.addCleanup(self.stop, watchdog)
        return watchdog

    def started(self, **options: Any) -> Watchdog:
        watchdog = self.make(**options)
        watchdog.startService()
        return watchdog

    def stop(self, watchdog: Watchdog) -> None:
        watchdog.stopService()
        self.assertEqual(signal.getitimer(signal.ITIMER_REAL), (0.0, 0.0))
        self.assertEqual(signal.getitimer(signal.ITIMER_PROF), (0.0, 0.0))

    def written(self) -> str:
        """Return what is on stderr since the last call."""
        try:
            return os.read(self.read_fd, 65_536).decode()
        except BlockingIOError:
            return ""

    def tick(self, watchdog: Watchdog, times: int = 1, *, cpu_s: float = 0.0) -> None:
        """Let seconds pass in which the process runs."""
        for _ in range(times):
            self.now_s += 1.0
            self.cpu_s += cpu_s
            watchdog._tick()

    def logged(self) -> list[tuple[LogLevel, str]]:
        return [
            (event["log_level"], event["log_format"].format_map(event)) for event in self.events
        ]

    def test_a_reactor_that_lives_is_left_alone_and_all_is_armed_anew(self):
        watchdog = self.started()
        for _ in range(200):
            self.tick(watchdog)
            self.reactor.run()
        self.assertEqual((self.exits, self.events), ([], []))
        self.assertEqual(self.written(), "")
        self.assertGreater(signal.getitimer(signal.ITIMER_REAL)[0], 64)
        self.assertGreater(signal.getitimer(signal.ITIMER_PROF)[0], 4)

    def test_a_reactor_that_shows_life_is_not_woken_up(self):
        """One that does not is asked in the third second."""
        watchdog = self.started()
        for _ in range(20):
            self.tick(watchdog, 2)
            watchdog.show_life()
        self.assertEqual(self.reactor.calls, [])
        self.tick(watchdog, 3)
        self.assertEqual(len(self.reactor.calls), 1)
        self.tick(watchdog)
        self.assertEqual(len(self.reactor.calls), 1)
        self.assertEqual(self.written(), "")

    def test_signs_of_life_of_one_that_is_off_or_stopped(self):
        """They arm nothing."""
        self.make(dump_after_s=0, exit_after_s=0).show_life()
        watchdog = self.started()
        watchdog.stopService()
        watchdog.show_life()
        self.assertEqual(self.events, [])

    def test_the_stacks_are_written_once_a_block(self):
        watchdog = self.started()
        self.tick(watchdog, 4)
        self.assertEqual(self.written(), "")
        self.in_thread(lambda: self.tick(watchdog))
        text = self.written()
        self.assertTrue(text.startswith("No progress for 5 s. What the threads do:\nMain thread"))
        self.assertRegex(text, r'File ".*test_watchdog.py", line \d+ in in_thread\n')
        self.assertNotIn("_show", text)
        self.tick(watchdog, 20)
        self.assertEqual(self.written(), "")
        self.reactor.run()
        self.tick(watchdog, 5)
        self.assertIn("No progress", self.written())

    def in_thread(self, call: Callable[[], None]) -> None:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    def test_a_reactor_without_a_sign_of_life_ends_the_process_with_70(self):
        watchdog = self.started()
        self.tick(watchdog, 59)
        self.assertEqual(self.exits, [])
        self.tick(watchdog)
        self.assertEqual(self.exits, [70])
        ((level, text),) = self.logged()
        self.assertEqual(level, LogLevel.critical)
        self.assertIn("no progress for 60 s", text)

    def test_a_log_that_hangs_does_not_keep_it_from_ending(self):
        hangs = threading.Event()
        over: list[bool] = []
        self.addCleanup(hangs.set)
        self.patch(last_words, "_SAY_S", 0.0)
        watchdog = self.started(exit_after_s=1.0)
        watchdog._log = Logger("test", observer=lambda _event: over.append(hangs.wait(5)))
        self.tick(watchdog, 5)
        self.assertEqual((self.exits, over), ([70], []))

    def test_words_that_fail_do_not_keep_it_from_ending(self):
        def no_memory(*_args: object, **_options: object) -> None:
            raise MemoryError

        watchdog = self.started()
        self.patch(watchdog_module, "_stacks", no_memory)
        self.tick(watchdog, 59)
        self.patch(last_words, "start_new_thread", no_memory)
        with self.assertRaises(MemoryError):
            self.tick(watchdog)
        self.assertEqual(self.exits, [70])

    def test_the_reactor_is_asked_once_while_it_does_not_answer(self):
        watchdog = self.started()
        self.tick(watchdog, 20)
        self.assertEqual(len(self.reactor.calls), 1)

    def test_a_process_that_stood_still_is_not_a_reactor_that_hangs(self):
        watchdog = self.started()
        self.tick(watchdog)
        watchdog.show_life()
        self.now_s += 3600
        self.tick(watchdog)
        watchdog.show_life()
        self.assertEqual(self.exits, [])
        ((level, text),) = self.logged()
        self.assertEqual(level, LogLevel.info)
        self.assertIn("stood still for 3601.0 s", text)

    def test_a_block_that_ended_is_told_in_one_line(self):
        watchdog = self.started()
        self.tick(watchdog, 9)
        self.reactor.run()
        self.tick(watchdog)
        self.reactor.run()
        self.assertEqual(self.logged(), [(LogLevel.warn, "The reactor was blocked for 9.0 s.")])

    def test_a_block_that_held_the_interpreter_is_known_by_its_cpu_time(self):
        watchdog = self.started()
        self.now_s += 19
        self.tick(watchdog, cpu_s=18.0)
        watchdog.show_life()
        self.assertEqual(self.logged(), [(LogLevel.warn, "The reactor was blocked for 20.0 s.")])

    def test_a_reactor_that_cannot_be_woken_is_not_waited_for(self):
        """Its descriptors were closed by someone: it will never run again."""

        def closed(_call: object) -> None:
            raise OSError(9, "Bad file descriptor")

        watchdog = self.started(exit_after_s=60.0)
        self.reactor.callFromThread = closed
        self.tick(watchdog, 3)
        self.assertEqual(self.exits, [70])
        self.assertIn("Bad file descriptor", self.events[-1]["why"])

    def test_a_short_delay_is_not_worth_a_line(self):
        watchdog = self.started()
        self.tick(watchdog, 5)
        self.reactor.run()
        self.assertEqual(self.events, [])

    def test_ticks_count_anew_after_a_sign_of_life(self):
        watchdog = self.started()
        self.tick(watchdog, 59)
        self.reactor.run()
        self.tick(watchdog, 59)
        self.assertEqual(self.exits, [])

    def test_short_limits_tick_faster(self):
        watchdog = self.started(dump_after_s=0.5, exit_after_s=2.0)
        self.tick(watchdog, 19)
        self.assertEqual(self.exits, [])
        self.tick(watchdog)
        self.assertEqual(self.exits, [70])

    def test_stopped_it_has_disarmed_everything_and_a_late_answer_arms_nothing(self):
        watchdog = self.started()
        self.tick(watchdog)
        watchdog.stopService()
        self.reactor.run()
        self.tick(watchdog, 10)
        self.assertEqual(signal.getitimer(signal.ITIMER_REAL), (0.0, 0.0))
        self.assertEqual(signal.getitimer(signal.ITIMER_PROF), (0.0, 0.0))
        self.assertEqual(self.written(), "")

    def test_its_thread_ends_when_it_is_stopped(self):
        watchdog = self.started(dump_after_s=0.01, exit_after_s=0)
        (run,) = self.threads
        watchdog._stopped.set()
        run()
        self.assertEqual(self.reactor.calls, [])

    def test_its_thread_is_a_daemon_that_ticks(self):
        ticked = threading.Event()

        class Reactor(FakeReactor):
            def callFromThread(self, call: Callable[[], None]) -> None:
                ticked.set()

        watchdog = Watchdog(Reactor(), dump_after_s=0.05, exit_after_s=0, stderr_fd=self.stderr_fd)
        watchdog.startService()
        self.addCleanup(watchdog.stopService)
        (thread,) = [one for one in threading.enumerate() if one.name == "watchdog"]
        self.assertTrue(thread.daemon)
        self.assertTrue(ticked.wait(5))
        watchdog.stopService()
        thread.join(5)
        self.assertFalse(thread.is_alive())

    def test_stopping_before_starting_and_twice_is_harmless(self):
        watchdog = self.make()
        watchdog.stopService()
        watchdog.startService()
        watchdog.stopService()
        watchdog.stopService()

    def test_0_leaves_the_stack_out(self):
        watchdog = self.started(dump_after_s=0)
        self.tick(watchdog, 60)
        self.assertEqual((self.written(), self.exits), ("", [70]))
        self.assertEqual(signal.getitimer(signal.ITIMER_PROF), (0.0, 0.0))

    def test_0_leaves_the_end_out(self):
        watchdog = self.started(exit_after_s=0)
        self.tick(watchdog, 1000)
        self.assertEqual(self.exits, [])
        self.assertEqual(signal.getitimer(signal.ITIMER_REAL), (0.0, 0.0))
        self.assertIn("No progress", self.written())

    def test_two_0_leave_everything_out(self):
        self.started(dump_after_s=0, exit_after_s=0)
        self.assertEqual(self.threads, [])


class StackDumpTest(SynchronousTestCase):
    """Where the stacks go, and that nothing waits for it."""

    def dump(self, fd: int) -> StackDump:
        dump = StackDump(fd, 5.0)
        self.addCleanup(dump.disarm)
        return dump

    def left_s(self) -> float:
        return signal.getitimer(signal.ITIMER_PROF)[0]

    def test_a_pipe_that_nobody_reads_is_filled_and_left(self):
        read_fd, write_fd = os.pipe()
        self.addCleanup(os.close, read_fd)
        self.addCleanup(os.close, write_fd)
        dump = self.dump(write_fd)
        dump.arm()
        self.assertGreater(self.left_s(), 4)
        dump.write("x" * 100_000)
        dump.write("more")
        self.assertEqual(os.read(read_fd, 200_000), b"x" * 65_536)
        self.assertTrue(os.get_blocking(write_fd))

    def test_a_socket_is_used_only_while_it_has_room(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        dump = self.dump(ours.fileno())
        dump.arm()
        self.assertGreater(self.left_s(), 4)
        try:
            while True:
                ours.send(b"x" * 65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            dump.arm()
        self.assertEqual(self.left_s(), 0)
        dump.write("lost")

    def test_a_closed_stderr_gets_no_stack(self):
        dump = self.dump(1_000_000)
        dump.arm()
        dump.write("lost")
        self.assertEqual(self.left_s(), 0)

    def test_disarmed_it_cannot_be_armed_again_by_a_late_thread(self):
        read_fd, write_fd = os.pipe()
        self.addCleanup(os.close, read_fd)
        self.addCleanup(os.close, write_fd)
        dump = self.dump(write_fd)
        dump.arm()
        dump.disarm()
        dump.arm()
        self.assertEqual(self.left_s(), 0)
        self.assertEqual(signal.getsignal(signal.SIGPROF), signal.SIG_DFL)


class LastResortTest(SynchronousTestCase):
    """The alarm of the kernel."""

    def setUp(self) -> None:
        self.resort = LastResort(50.0)
        self.addCleanup(self.resort.disarm)

    def test_the_first_alarm_only_sets_the_next(self):
        self.resort.arm()
        os.kill(os.getpid(), signal.SIGALRM)
        self.assertLessEqual(signal.getitimer(signal.ITIMER_REAL)[0], 14.0)
        self.assertGreater(signal.getitimer(signal.ITIMER_REAL)[0], 13.0)
        self.resort.arm()
        self.assertGreater(signal.getitimer(signal.ITIMER_REAL)[0], 49.0)

    def test_first_alarm_comes_when_it_is_asked_to(self):
        """It is as harmless as the usual one."""
        self.resort.arm()
        self.resort.arm(30.0)
        self.assertLessEqual(signal.getitimer(signal.ITIMER_REAL)[0], 30.0)
        os.kill(os.getpid(), signal.SIGALRM)
        self.assertGreater(signal.getitimer(signal.ITIMER_REAL)[0], 13.0)

    def test_no_alarm_finds_the_default_action(self):
        """The harmless delivery is there before the timer, which may be over at once."""
        done: list[str] = []
        self.patch(self.resort, "_handle_by", lambda one_shot: done.append(f"handle {one_shot}"))
        self.patch(signal, "setitimer", lambda _which, seconds: done.append(f"timer {seconds}"))
        self.resort.arm()
        self.assertEqual(done, ["handle True", "timer 50.0"])

    def test_disarmed_no_alarm_comes(self):
        self.resort.arm()
        self.resort.disarm()
        self.resort.disarm()
        self.assertEqual(signal.getitimer(signal.ITIMER_REAL), (0.0, 0.0))

    def test_another_c_library_still_has_the_alarm(self):
        import ctypes

        class NoLibrary:
            def __getitem__(self, name: str) -> Any:
                raise AttributeError(name)

        self.patch(ctypes, "CDLL", lambda _name: NoLibrary())
        resort = LastResort(50.0)
        self.addCleanup(resort.disarm)
        resort.arm()
        self.assertGreater(signal.getitimer(signal.ITIMER_REAL)[0], 49.0)
