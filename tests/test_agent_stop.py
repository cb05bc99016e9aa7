"""The agent: stopping in order, whatever hangs or fails, and within its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from metrics_agent.agent import Agent
from metrics_agent.process.exit import ExitCode
from tests.agent_case import AgentCase
from tests.supervision.fakes import FAULTS, raiser
from tests.supervision.supervised import FakeModule

DRAIN_S = 4.0
MUCH_LATER_S = 1.0
"""How much longer than ``drain_timeout`` the worst of all stops may take."""


class StopTests(AgentCase):
    """What a stop does."""

    def test_order(self) -> None:
        """Settle, stop reading, stop modules, drain, disconnect, close."""
        self.lives["a"] = lambda: FakeModule(stop=lambda _context: self.seen.append("a stops"))
        agent = self.started("a")
        del self.seen[:]
        self.successResultOf(agent.stopService())
        self.assertEqual(
            self.seen,
            [
                "resume reload",
                "resume pressure",
                "deliveries",
                "pause stop",
                "read for none",
                "a stops",
                "drain",
                "connections stop",
                "sink stops",
            ],
        )
        self.assertEqual(self.logged("info")[-1], "Stopped: 7 metrics written, none lost.")

    def test_metrics_that_were_dropped_before(self) -> None:
        """The last line does not say that none was lost."""
        self.sink.dropped = {"queue_full": 5, "rejected": 2}
        agent = self.started("a")
        self.successResultOf(agent.stopService())
        self.assertEqual(
            self.logged("warn")[-1],
            "Stopped: 7 metrics written, 5 were dropped earlier because the queue was full and "
            "2 were dropped earlier because the output rejected them.",
        )

    def test_asked_for(self) -> None:
        """A request says why, sets the code, and has the reactor stop; a second one is ignored."""
        agent = self.started("a")
        agent.request_stop("got SIGTERM")
        agent.request_stop("stdin was closed", ExitCode.FAILED)
        self.assertTrue(agent.stopping)
        self.assertEqual((self.clock.stops, int(self.exit.code)), (1, 0))
        self.assertEqual(self.logged("info")[-1], "Stopping: got SIGTERM.")
        self.assertEqual(self.notifier.logged[-1], "stopping")

    def test_time_counts_from_the_request(self) -> None:
        """What passed between the request and the reactor's stop is not granted again."""
        left: list[float] = []
        self.sink.drained = lambda timeout_s: left.append(timeout_s) or succeed(0)  # type: ignore[func-returns-value]
        agent = self.started("a")
        agent.request_stop("got SIGTERM")
        self.clock.advance(1.5)
        self.successResultOf(agent.stopService())
        self.assertEqual(left, [DRAIN_S - 1.5])

    def test_what_was_read_is_waited_for_within_a_share(self) -> None:
        """The brokers have half of the time, what was read by then an eighth at most."""
        work: Deferred[Any] = Deferred()
        self.connections.on_handle = lambda _timeout_s: work
        agent = self.started("a")
        agent.stopService()
        self.assertEqual(self.connections.waits, [(DRAIN_S / 2, DRAIN_S / 8)])
        self.clock.advance(DRAIN_S * 0.62)
        self.assertEqual(self.connections.paused, [])
        self.clock.advance(DRAIN_S * 0.01 + 0.1)
        self.assertEqual(self.connections.paused, ["stop"])

    def test_hard_end(self) -> None:
        """From the request on the process ends at the latest some time after the drain's."""
        agent = self.started("a")
        agent.request_stop("got SIGTERM")
        self.assertEqual(self.exit.deadlines, [6.0])
        self.assertEqual(self.exit.clocks, [self.clock])
        self.successResultOf(agent.stopService())
        self.assertEqual(len(self.exit.deadlines), 2)
        self.assertLess(self.exit.deadlines[1], 1.0)

    def test_twice(self) -> None:
        """Every caller hears of the one end; steps are taken once."""
        work: Deferred[Any] = Deferred()
        self.sink.drained = lambda _timeout_s: work
        agent = self.started("a")
        first, second = agent.stopService(), agent.stopService()
        self.assertNoResult(first)
        self.assertNoResult(second)
        work.callback(0)
        for stopped in (first, second, agent.stopService()):
            self.successResultOf(stopped)
        self.assertEqual(self.seen.count("drain"), 1)

    def test_before_the_start(self) -> None:
        """Harmless."""
        agent = self.make_agent("a")
        self.successResultOf(agent.stopService())
        self.assertEqual(self.modules, {})

    def test_lost_metrics(self) -> None:
        """What the reader did not take is an error with its number, and the time it had."""
        for took_s, shown in ((1.5, "1.5 s"), (9.96, "10 s")):
            waiting: Deferred[int] = Deferred()
            self.setUp()
            self.sink.left_metrics = 3
            self.sink.drained = lambda _timeout_s, waiting=waiting: waiting
            stopped = self.started("a").stopService()
            self.clock.advance(took_s)
            waiting.callback(3)
            self.successResultOf(stopped)
            self.assertEqual(
                self.logged()[-1],
                f"Stopped: 7 metrics written, 3 were not read within {shown} and are lost.",
            )

    def test_metrics_that_come_again(self) -> None:
        """What is not acknowledged stays at the broker: that is not lost, and no error."""
        for kept, level, fate in (
            (3, "warn", "and come again: the brokers keep their messages at QoS 1"),
            (1, "error", "and 2 of them are lost; the brokers keep the messages of 1 at QoS 1"),
            (4, "warn", "and come again: the brokers keep their messages at QoS 1"),
        ):
            self.setUp()
            self.sink.left_metrics, self.sink.kept_metrics = 3, kept
            self.sink.drained = lambda _timeout_s: succeed(3)
            self.end(self.started("a"))
            self.assertEqual(
                self.logged(level)[-1],
                f"Stopped: 7 metrics written, 3 were not read within 0 s {fate}.",
            )

    def test_lost_metrics_when_the_drain_fails(self) -> None:
        """So where waiting for the reader failed or hung: nothing is claimed that is not so."""
        for drained in (raiser(ValueError("x")), lambda _timeout_s: Deferred()):
            self.sink.left_metrics = 3
            self.sink.drained = drained
            self.end(self.started("a"))
            self.assertIn("3 were not read", self.logged()[-1])
            self.assertNotIn("none lost", "".join(self.logged("info")))

    def test_everything_is_stopped(self) -> None:
        """Nothing is left that could do something."""
        agent = self.started("a", "b")
        self.successResultOf(agent.stopService())
        self.assertEqual((self.alive(), self.clock.getDelayedCalls()), ([], []))
        self.assertFalse(agent.running)


class MeetingTests(AgentCase):
    """A stop that meets a start or a reload."""

    def test_stop_during_start(self) -> None:
        """A stop while the start waits: no module is started any more, and it ends in time."""
        work: Deferred[Any] = Deferred()
        self.connections.reconciled = lambda: work
        agent = self.make_agent("a")
        agent.startService()
        stopped = agent.stopService()
        work.callback(None)
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual((self.modules, self.connections.paused), ({}, ["stop"]))
        self.assertNotIn("Started with", "".join(self.logged("info")))

    def test_stop_right_after_start(self) -> None:
        """Nothing of the start is left behind, nor of the time after it without a reload."""
        agent = self.make_agent("a")
        agent.startService()
        agent.request_reload()
        self.successResultOf(agent.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.modules["a"]), 1)

    def test_stop_requested_before_start(self) -> None:
        """A stop that was asked for before the start: no module is started at all."""
        agent = self.make_agent("a")
        agent.request_stop("got SIGTERM")
        agent.startService()
        self.clock.advance(0.1)
        self.assertEqual(self.modules, {})
        self.successResultOf(agent.stopService())

    def test_stop_while_a_module_starts(self) -> None:
        """A module in the middle of its start is stopped."""
        self.lives["a"] = lambda: FakeModule(start=lambda _context: Deferred())
        agent = self.started("a")
        self.successResultOf(agent.stopService())
        self.assertEqual(self.modules["a"][0].stopped, 1)

    def test_stop_during_reload(self) -> None:
        """The reload is over first; its new modules are not started, a latched one is not begun."""
        agent = self.started("a")
        work: Deferred[Any] = Deferred()
        self.connections.reconciled = lambda: work
        agent.request_reload()
        agent.request_reload()
        stopped = agent.stopService()
        self.assertNoResult(stopped)
        work.callback(None)
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual((len(self.modules["a"]), agent.reloads), (1, 0))
        self.assertNotIn("Reloaded", "".join(self.logged("info")))

    def test_reload_hangs(self) -> None:
        """A reload that hangs holds up the stop for a part of its time.

        Nothing is read then for the modules that it has stopped: no one would look at it.
        """
        agent = self.started("a")
        self.connections.reconciled = Deferred
        agent.request_reload()
        left: list[float] = []
        paused: list[tuple[list[str], set[str]]] = []

        def settled(_timeout_s: float) -> Any:
            paused.append((list(self.connections.paused), self.connections.running))
            return succeed(None)

        self.connections.on_handle = settled
        self.sink.drained = lambda timeout_s: left.append(timeout_s) or succeed(0)  # type: ignore[func-returns-value]
        self.end(agent)
        self.assertGreater(left[0], 1.0)
        self.assertEqual(paused, [([], set())])

    def test_stop_while_a_reload_reads_the_file(self) -> None:
        """The modules that run are left alone until the stop has read what was delivered."""
        agent = self.started("a")
        imported: Deferred[Any] = Deferred()
        agent._import = lambda _plan: imported  # type: ignore[method-assign,assignment]
        agent.request_reload()
        running: list[set[str]] = []
        self.connections.on_handle = lambda _timeout_s: running.append(self.connections.running)
        stopped = agent.stopService()
        imported.callback(None)
        self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertEqual((running, agent.reloads), ([{"a"}], 0))

    def test_reload_requested_during_stop(self) -> None:
        """A reload while it stops is ignored."""
        agent = self.started("a")
        self.sink.drained = lambda _timeout_s: Deferred()
        agent.stopService()
        del self.seen[:]
        self.loads = [AssertionError("the file was read")]
        agent.request_reload()
        self.clock.advance(0.5)
        self.assertEqual((len(self.modules["a"]), self.seen), (1, []))
        self.assertEqual((self.notifier.logged[-1], self.logged()), ("stopping", []))

    def test_parked_during_stop(self) -> None:
        """A module that gives up while it stops does not change the code."""
        self.lives["a"] = lambda: FakeModule(start=raiser(ValueError("x")))
        agent = self.started("a")
        agent.request_stop("got SIGTERM")
        self.clock.advance(1)
        self.assertEqual(int(self.exit.code), 0)
        self.successResultOf(agent.stopService())


def failing(name: str) -> list[tuple[str, Callable[..., Any]]]:
    """Return ways in which a step may fail."""
    ways = [(f"{name} raises {kind.__name__}", raiser(kind("why"))) for kind in FAULTS]
    ways.append((f"{name} fails", lambda *_args: fail(SystemExit(1))))
    ways.append((f"{name} hangs", lambda *_args: Deferred()))
    ways.append((f"{name} gives nonsense", lambda *_args: 5))
    return ways


class StepTests(AgentCase):
    """Each step failing or hanging still leads to the end, in time, by way of all other steps."""

    STEPS = ("deliveries", "drain", "connections stop", "sink stops")

    def check(self, agent: Agent, what: str) -> None:
        """Stop it; see that all steps are taken and it ends in time."""
        del self.seen[:]
        begun_s = self.clock.seconds()
        stopped = agent.stopService()
        ended: list[float] = []
        stopped.addCallback(lambda _result: ended.append(self.clock.seconds() - begun_s))
        for _ in range(60):
            self.clock.advance(0.1)
        self.assertEqual(len(ended), 1, what)
        self.assertLessEqual(ended[0], DRAIN_S + MUCH_LATER_S, what)
        self.assertEqual([each for each in self.seen if each in self.STEPS], list(self.STEPS), what)
        self.assertIn("Stopped: ", "\n".join(self.logged("info") + self.logged()), what)
        self.assertFalse(agent.running, what)
        self.forget()

    def test_settle(self) -> None:
        """Brokers that do not answer."""
        for what, way in failing("deliveries"):
            self.connections.on_handle = way
            self.check(self.started("a"), what)

    def test_modules(self) -> None:
        """Modules that do not stop: the others are stopped, and the drain has its time."""
        for what, way in failing("stop"):
            self.modules.clear()
            self.lives["a"] = lambda way=way: FakeModule(stop=way)
            left: list[float] = []
            self.sink.drained = lambda timeout_s, left=left: left.append(timeout_s) or succeed(0)
            self.check(self.started("a", "b"), what)
            self.assertEqual([each.stopped for each in self.modules["b"]], [1])
            self.assertGreater(left[0], 0.9)

    def test_modules_that_may_take_longer_than_all(self) -> None:
        """Modules that may take longer for their stop than there is: the drain has its share."""
        self.stop_s = 60.0
        self.lives["a"] = lambda: FakeModule(stop=lambda _context: Deferred())
        left: list[float] = []
        self.sink.drained = lambda timeout_s: left.append(timeout_s) or succeed(0)  # type: ignore[func-returns-value]
        self.check(self.started("a"), "stop")
        self.assertGreater(left[0], 0.9)
        self.clock.advance(60)

    def test_modules_are_named(self) -> None:
        """One line for each that has not stopped in its share of the time, whatever that is."""
        for drain_s, stop_s, shown in (
            (4.0, 2.0, 2.0),
            (3.98, 2.0, 2.0),
            (4.0, 9.0, 2.0),
            (1.0, 2.0, 0.5),
            (0.0, 2.0, 0.0),
            (9.0, 2.0, 2.0),
        ):
            self.stop_s = stop_s
            for name in "ab":
                self.lives[name] = lambda: FakeModule(stop=lambda _context: Deferred())
            stopped = self.started("a", "b", "c", drain_timeout=f"{drain_s}s").stopService()
            ended: list[object] = []
            stopped.addCallback(ended.append)
            for _ in range(1000):
                if not ended:
                    self.clock.advance(0.01)
            line = f"Did not stop within {shown:g} s; abandoned."
            self.assertEqual(self.logged("warn"), [line] * 2, (drain_s, stop_s))
            self.forget()

    def test_drain(self) -> None:
        """A reader that never reads."""
        for what, way in failing("drain"):
            self.sink.drained = way
            self.check(self.started("a"), what)

    def test_disconnect(self) -> None:
        """Connections that do not close."""
        for what, way in failing("disconnect"):
            self.connections.on_stop = way
            self.check(self.started("a"), what)

    def test_output(self) -> None:
        """An output that does not close."""
        for what, way in failing("output"):
            self.sink.on_stop = way
            self.check(self.started("a"), what)

    def test_all_hang(self) -> None:
        """Everything at a time."""
        self.lives["a"] = lambda: FakeModule(stop=lambda _context: Deferred())
        agent = self.started("a")
        self.connections.reconciled = Deferred
        agent.request_reload()
        self.connections.on_handle = self.sink.drained = lambda _timeout_s: Deferred()
        self.connections.on_stop = self.sink.on_stop = Deferred
        self.check(agent, "all")

    def test_no_more_threads(self) -> None:
        """Where no thread can be made for the hard end, the orderly one is taken all the same."""
        self.exit.on_deadline = raiser(RuntimeError("can't start new thread"))
        agent = self.started("a")
        agent.request_stop("got SIGTERM")
        self.assertEqual(self.clock.stops, 1)
        self.check(agent, "thread")
        self.check(self.started("a"), "thread, not asked for")

    def test_no_time(self) -> None:
        """With a drain_timeout of 0 everything is tried once, and it ends."""
        self.lives["a"] = lambda: FakeModule(stop=lambda _context: Deferred())
        self.check(self.started("a", drain_timeout="0s"), "no time")
