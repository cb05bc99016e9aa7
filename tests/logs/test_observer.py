"""The whole way from an event to a line."""

from __future__ import annotations

import os
import threading
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from metrics_agent.logs.levels import Level
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.logs.rate import RateLimit
from tests.logs.fakes import ObserverCase


class ReactorClock(Clock):
    """A clock that takes calls from threads, and runs them when asked."""

    def __init__(self) -> None:
        super().__init__()
        self.from_threads: list[Any] = []

    def callFromThread(self, call: Any, *args: Any) -> None:
        self.from_threads.append((call, args))

    def run_from_threads(self) -> None:
        calls, self.from_threads = self.from_threads, []
        for call, args in calls:
            call(*args)


class LinesTest(ObserverCase):
    """Events become lines."""

    def test_it_is_an_observer(self):
        from twisted.logger import ILogObserver

        self.assertTrue(verifyObject(ILogObserver, self.observer))

    def test_an_event_is_a_line_also_without_a_reactor(self):
        self.log().info("Hello {name}.", name="world")
        self.assertEqual(self.target.lines, ["I! [demo] Hello world."])

    def test_levels_can_be_set_for_all_and_for_one_module(self):
        self.observer.set_levels("warn", {"demo": "debug"})
        self.log("demo").debug("a")
        self.log("tasmota").info("b")
        self.log("tasmota").warn("c")
        self.assertEqual(self.target.lines, ["D! [demo] a", "W! [tasmota] c"])

    def test_who_wants_to_know_is_told_when_levels_change(self):
        logged: list[Level] = []
        self.observer.when_levels_change(lambda: logged.append(self.observer.levels.lowest))
        self.observer.set_levels("error", {})
        self.assertEqual(logged, [Level.ERROR])

    def test_a_wrong_level_changes_nothing(self):
        self.assertRaises(ValueError, self.observer.set_levels, "loud")
        self.log().info("a")
        self.assertEqual(len(self.target.lines), 1)

    def test_the_format_can_be_set(self):
        self.observer.set_format("journald")
        self.log().error("a")
        self.assertEqual(self.target.lines, ["<3>[demo] a"])

    def test_a_failure_is_one_line_and_its_traceback_is_for_debug(self):
        with self.log().failuresHandled("While decoding {what}", what="x"):
            raise ValueError("bad")
        self.assertEqual(self.target.take(), ["E! [demo] While decoding x: ValueError('bad')"])
        self.observer.set_levels("debug")
        with self.log().failuresHandled("While encoding"):
            raise ValueError("bad")
        lines = self.target.lines
        self.assertEqual(lines[0], "E! [demo] While encoding: ValueError('bad')")
        self.assertGreater(len(lines), 3)
        self.assertTrue(all(line.startswith("D! [demo] ") for line in lines[1:]))

    def test_a_fault_of_the_log_itself_is_told_and_goes_no_further(self):
        class Odd:
            def __str__(self) -> str:
                raise TypeError("odd")

        self.observer({"log_namespace": Odd(), "log_format": "x"})
        self.assertEqual(
            self.target.lines, ["E! [agent] A log line was lost, the log itself failed: TypeError"]
        )

    def test_what_logs_while_it_is_being_shown_does_not_recurse_for_ever(self):
        log = self.log()

        class Chatty:
            def __str__(self) -> str:
                log.info("showing {x}", x=self)
                return "chatty"

        log.info("showing {x}", x=Chatty())
        # Where the stack ends, in formatting or in the observer, depends on the Python.
        said = "".join(self.target.lines)
        self.assertRegex(said, r"(could not be formatted \(|the log itself failed: )RecursionError")

    def test_an_event_that_comes_in_the_middle_of_a_write_is_told_after_it(self):
        log = self.log()
        write = self.target.write

        def interrupted(data: bytes) -> int:
            if b"outer" in data:
                log.info("inner")
                self.assertFalse(self.observer.final_flush())
            return write(data)

        self.target.write = interrupted  # type: ignore[method-assign]
        log.info("outer")
        self.assertEqual(self.target.lines, ["I! [demo] outer", "I! [demo] inner"])


class BoundsTest(ObserverCase):
    """Folding and the rate limit, with and without a reactor."""

    def test_equal_faults_are_folded_and_counted_by_a_timer(self):
        self.observer.attach(self.clock)
        for number in range(10_000):
            self.log().error("Broken: {number}", number=number)
        self.assertEqual(len(self.target.take()), 5)
        self.clock.advance(9.5)
        self.assertEqual(self.target.take(), [])
        self.clock.advance(0.5)
        self.assertEqual(
            self.target.take(), ["E! [demo] Repeated 9995 times in 10 s: Broken: 9999"]
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_without_a_reactor_counts_are_told_by_the_next_line_or_the_flush(self):
        for _ in range(3):
            self.log().error("Broken")
        self.clock.advance(20)
        self.log().info("Hello")
        self.log().error("Broken")
        self.observer.final_flush()
        self.assertEqual(
            self.target.lines,
            [
                "E! [demo] Broken",
                "E! [demo] Repeated 2 times in 20 s: Broken",
                "I! [demo] Hello",
                "E! [demo] Repeated once in 1 s: Broken",
            ],
        )

    def test_a_flood_is_bounded_and_the_rest_is_told_by_a_timer(self):
        self.observer = self.make(rate=RateLimit(lines_per_s=50, burst=200))
        self.observer.attach(self.clock)
        for number in range(1000):
            self.log(f"m{number}").info("Hello")
        self.assertEqual(len(self.target.take()), 200)
        self.clock.advance(10)
        self.assertEqual(
            self.target.take(),
            ["W! [agent] 800 more lines were suppressed: more than 50 of one level in a second."],
        )

    def test_suppressed_lines_are_told_by_the_next_line_or_the_flush_too(self):
        self.observer = self.make(rate=RateLimit(lines_per_s=1, burst=1))
        self.log().info("a")
        self.log().info("b")
        self.clock.advance(11)
        self.log().info("c")
        self.log().info("d")
        self.observer.final_flush()
        logged = "W! [agent] 1 more line was suppressed: more than 1 of one level in a second."
        self.assertEqual(self.target.lines, ["I! [demo] a", logged, "I! [demo] c", logged])

    def test_an_earlier_deadline_replaces_the_timer(self):
        self.observer.attach(self.clock)
        self.log().error("a")
        self.log().error("a")
        self.target.room = 0
        self.log().error("b")
        (call,) = self.clock.getDelayedCalls()
        self.assertAlmostEqual(call.getTime(), 0.02)


class ReaderTest(ObserverCase):
    """A reader that is slow, full or gone."""

    def test_what_is_not_read_is_kept_and_written_by_a_timer(self):
        self.observer.attach(self.clock)
        self.target.room = 0
        self.log().info("a")
        self.clock.pump([0.1] * 10)
        self.assertEqual(self.target.data, b"")
        self.target.room = None
        self.clock.advance(1)
        self.assertEqual(self.target.lines, ["I! [demo] a"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_too_much_is_dropped_and_counted(self):
        self.target.room = 0
        text = "x" * 2000
        for number in range(150):
            self.log(f"m{number}").error(text)
        self.target.room = None
        self.observer.final_flush()
        lines = self.target.lines
        self.assertRegex(lines[-1], r"^W! \[agent\] \d+ log lines were dropped, stderr was not ")
        dropped = int(lines[-1].split()[2])
        self.assertEqual(len(lines) - 1 + dropped, 150)
        self.assertLessEqual(len(self.target.data), 257 * 1024)

    def test_one_dropped_line_is_told_in_words(self):
        self.target.error = BrokenPipeError()
        self.log().info("a")
        self.target.error = None
        self.log().info("b")
        self.assertEqual(
            self.target.lines,
            ["W! [agent] 1 log line was dropped, stderr was not read.", "I! [demo] b"],
        )

    def test_a_line_logged_before_is_kept_until_a_reactor_is_there(self):
        self.target.room = 0
        self.log().info("early")
        self.target.room = None
        self.observer.attach(self.clock)
        self.clock.advance(0.1)
        self.assertEqual(self.target.lines, ["I! [demo] early"])

    def test_detached_it_has_no_timer_and_still_writes(self):
        self.observer.attach(self.clock)
        self.target.room = 0
        self.log().info("a")
        self.observer.detach()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.target.room = None
        self.assertTrue(self.observer.final_flush(0))
        self.assertEqual(self.target.lines, ["I! [demo] a"])

    def test_the_flush_says_when_not_all_is_out(self):
        self.target.room = 0
        self.log().info("a")
        self.assertFalse(self.observer.final_flush(0))


class ThreadTest(ObserverCase):
    """Events from other threads."""

    def setUp(self) -> None:
        super().setUp()
        self.clock: ReactorClock = ReactorClock()
        self.observer = self.make()

    def in_thread(self, call: Any) -> None:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join(5)
        self.assertFalse(thread.is_alive())

    def test_a_thread_writes_itself_and_leaves_the_timer_to_the_reactor(self):
        self.observer.attach(self.clock)
        self.target.room = 0

        def work() -> None:
            for number in range(50):
                self.log().info("a {number}", number=number)

        self.in_thread(work)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.clock.from_threads), 1)
        self.target.room = None
        self.clock.run_from_threads()
        self.clock.advance(1)
        self.assertEqual(len(self.target.lines), 20)

    def test_lines_of_many_threads_stay_whole(self):
        self.observer = self.make(rate=RateLimit(burst=10_000))

        def work(name: str) -> None:
            for number in range(200):
                self.log(name).info("{number}", number=number, fold=False)

        threads = [threading.Thread(target=work, args=(f"m{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        expected = sorted(f"I! [m{n}] {number}" for n in range(4) for number in range(200))
        self.assertEqual(sorted(self.target.lines), expected)


class RealPipeTest(ObserverCase):
    """The observer on a real pipe."""

    def test_a_real_pipe_that_nobody_reads_does_not_block(self):
        read_fd, write_fd = os.pipe()
        self.addCleanup(os.close, read_fd)
        observer = StderrObserver(write_fd, environ={}, rate=RateLimit(burst=10_000))
        log = Logger("metrics_agent.x", observer=observer)
        for _ in range(1000):
            log.failure("Broken " + "x" * 1000, Failure(ValueError()), fold=False)
        os.close(write_fd)
        self.assertTrue(os.read(read_fd, 100).startswith(b"E! [agent] Broken xx"))
        observer.close()
        log.info("nowhere")
