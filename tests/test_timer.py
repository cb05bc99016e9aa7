"""The timer that survives its turns."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import metrics_agent
from metrics_agent.timer import RETRY_S, Timer

ONE_SHOTS = {
    "timer.py": "the timer itself",
    "agent.py": "a wait within a reload, which ends either way; the gap after one",
    "deferreds.py": "the limit of one wait",
    "commands/demo.py": "the end of --seconds",
    "commands/once.py": "the end of --seconds",
    "logs/burst.py": "the line for what came; the next item sets it again",
    "logs/observer.py": "the lines that are due; the next event sets it again",
    "output/sink.py": "the limit of one drain; the report of a loss",
    "process/standstill.py": "the next reading of the clock during a stop, and nothing else",
    "supervision/context.py": "a module's own timer, run by the guard",
    "supervision/supervisor.py": "limits of one start or stop; the wait of the state machine",
    "supervision/ticker.py": "sets its next tick by itself and contains each by the guard",
    "testing.py": "fakes for tests",
    "transports/http.py": "the limit of one request",
    "transports/http_post.py": "the limit of one request",
    "transports/mqtt/link.py": "limits of CONNECT and the goodbye; acknowledgements of a turn",
    "oauth2/login_page.py": "the end of one page",
    "limited_site.py": "the limit of one request to a page",
    "transports/websocket/link.py": "limits of the handshake and of the goodbye",
}
"""Files that may use callLater: what fires once, and what each is."""


class TimerTests(SynchronousTestCase):
    """Turns, ends and faults."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turns: list[float] = []
        self.faults: list[BaseException] = []

    def timer(self, turn: Callable[[], float | None]) -> Timer:
        """Make a timer that notes when it ran; at the end no timer may be left."""

        def noted() -> float | None:
            self.turns.append(self.clock.seconds())
            return turn()

        timer = Timer(self.clock, noted, self.faults.append)

        def clean() -> None:
            timer.stop()
            self.assertEqual(self.clock.getDelayedCalls(), [])

        self.addCleanup(clean)
        return timer

    def test_put_off(self) -> None:
        """The turn that is due comes at another time; none is made where none is due."""
        timer = self.timer(lambda: None)
        timer.put_off(1.0)
        self.assertFalse(timer.active)
        timer.start(1.0)
        self.clock.advance(0.9)
        timer.put_off(1.0)
        self.clock.pump([0.5, 0.5, 5.0])
        self.assertEqual(self.turns, [1.9])

    def test_turn_says_when_the_next_one_is(self) -> None:
        """It returns the wait; None ends the timer."""
        waits = iter([2.0, 0.5, 0, None])
        timer = self.timer(lambda: next(waits))
        timer.start(1)
        self.clock.pump([0.5] * 10)
        self.assertEqual(self.turns, [1.0, 3.0, 3.5, 3.5])
        self.assertFalse(timer.active)

    def test_any_exception_in_a_turn_is_reported_and_the_loop_goes_on(self) -> None:
        """MemoryError and what is not an Exception included."""
        faults = [ValueError(), MemoryError(), RecursionError(), SystemExit(), GeneratorExit()]

        def turn() -> float:
            if len(self.turns) <= len(faults):
                raise faults[len(self.turns) - 1]
            return 10

        self.timer(turn).start(0)
        self.clock.pump([RETRY_S / 2] * 20)
        self.assertEqual(self.faults, faults)
        waits = [after - before for before, after in pairwise(self.turns)]
        self.assertEqual(waits[:5], [RETRY_S] * 5)

    def test_turn_that_could_not_start_the_loop_comes_again(self) -> None:
        """`start` takes back the timer that there was, and has no memory for another."""
        call_later = self.clock.callLater

        def turn() -> None:
            if len(self.turns) == 1:
                self.patch(self.clock, "callLater", fail)
                timer.start(5)

        def fail(*_args: object) -> None:
            self.clock.callLater = call_later
            raise MemoryError

        timer = self.timer(turn)
        timer.start(0)
        self.clock.pump([0, RETRY_S, RETRY_S])
        self.assertEqual(len(self.turns), 2)
        self.assertEqual([type(fault) for fault in self.faults], [MemoryError])

    def test_fault_in_the_report_goes_to_the_reactor(self) -> None:
        """Where a log line cannot be made either, the next turn still comes."""

        def failed(_error: BaseException) -> None:
            raise MemoryError

        def turn() -> float | None:
            self.turns.append(self.clock.seconds())
            if len(self.turns) == 1:
                raise ValueError
            return None

        Timer(self.clock, turn, failed).start(0)
        with self.assertRaises(MemoryError):
            self.clock.advance(0)
        self.clock.pump([RETRY_S, RETRY_S])
        self.assertEqual(len(self.turns), 2)

    def test_turn_that_stops_or_starts_the_loop(self) -> None:
        """What it did counts, not what it returns."""
        timer = self.timer(lambda: timer.stop() or 1.0)
        timer.start(0)
        self.clock.pump([1, 1])
        self.assertEqual(len(self.turns), 1)
        again = self.timer(lambda: again.start(5) or 1.0)
        again.start(0)
        self.clock.pump([1, 1, 1])
        self.assertEqual(len(self.turns), 2)
        self.clock.pump([3])
        self.assertEqual(len(self.turns), 3)

    def test_start_replaces_what_is_due(self) -> None:
        """There is one timer at most."""
        timer = self.timer(lambda: None)
        timer.start(1)
        timer.start(3)
        self.clock.pump([1, 1])
        self.assertEqual(self.turns, [])
        self.clock.pump([1])
        self.assertEqual(self.turns, [3.0])

    def test_run(self) -> None:
        """A turn at once takes the place of the one that is due, and is contained like it."""
        timer = self.timer(lambda: 5.0)
        timer.start(1)
        timer.run()
        self.assertEqual(self.turns, [0.0])
        self.clock.pump([1, 4])
        self.assertEqual(self.turns, [0.0, 5.0])


class NoOtherLoopTests(SynchronousTestCase):
    """What repeats itself does so by `Timer`."""

    def test_calllater_is_used_only_where_it_fires_once(self) -> None:
        """A new use has to be named above, or to be a timer."""
        root = Path(metrics_agent.__file__).parent
        found = {
            str(path.relative_to(root))
            for path in root.rglob("*.py")
            if re.search(r"\.callLater\(|= \S+\.callLater$", path.read_text("utf-8"), re.MULTILINE)
        }
        self.assertEqual(found - set(ONE_SHOTS), set())
        self.assertEqual(set(ONE_SHOTS) - found, set(), "not used there any more")
