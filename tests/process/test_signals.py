"""Signals, from before there is a reactor to the second request to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process.signals import Signals
from tests.supervision.fakes import raiser

HUP, TERM, INT = signal.SIGHUP, signal.SIGTERM, signal.SIGINT


class FakeReactor(Clock):
    """Runs hooks when it is asked to run, and what handlers hand over at each turn."""

    def __init__(self) -> None:
        super().__init__()
        self.hooks: list[Callable[[], object]] = []

    def callWhenRunning(self, call: Callable[[], object]) -> None:
        self.hooks.append(call)

    def callFromThread(self, call: Callable[..., object], *args: object) -> None:
        self.callLater(0, call, *args)

    def start(self) -> None:
        """Run as ``reactor.run`` does: it takes SIGTERM away from whoever has it."""
        signal.signal(TERM, lambda *_args: None)
        for hook in self.hooks:
            hook()
        self.advance(0)


class SignalsTests(SynchronousTestCase):
    """Real handlers, and signals that we send ourselves."""

    def setUp(self) -> None:
        for number in (HUP, TERM, INT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.reactor = FakeReactor()
        self.seen: list[str] = []
        self.clock = Clock()
        self.signals = Signals(lambda why: self.seen.append(f"exit now: {why}"), self.clock.seconds)

    def attach(self) -> None:
        self.signals.attach(self.reactor, self.seen.append, lambda: self.seen.append("reload"))

    def running(self) -> None:
        self.signals.install_early()
        self.attach()
        self.reactor.start()

    def send(self, *numbers: int) -> None:
        for number in numbers:
            signal.raise_signal(number)

    def test_handed_over_in_the_reactor(self) -> None:
        """A handler does nothing itself but hand over."""
        self.running()
        self.send(HUP)
        self.assertEqual(self.seen, [])
        self.reactor.advance(0)
        self.assertEqual(self.seen, ["reload"])

    def test_each_signal(self) -> None:
        """SIGHUP asks for a reload, SIGTERM and SIGINT for a stop, by name."""
        for number, expected in ((HUP, "reload"), (TERM, "SIGTERM"), (INT, "SIGINT")):
            self.setUp()
            self.running()
            self.send(number)
            self.reactor.advance(0)
            self.assertEqual(self.seen, [expected])

    def test_second_request_to_stop(self) -> None:
        """The second SIGTERM or SIGINT ends the process in the handler: the reactor may hang."""
        for first in (TERM, INT):
            for second in (TERM, INT):
                self.setUp()
                self.running()
                self.send(first)
                self.clock.advance(1)
                self.send(second)
                name = signal.Signals(second).name
                self.assertEqual(self.seen, [f"exit now: A second request to stop ({name})"])

    def test_one_request_sent_twice(self) -> None:
        """``timeout`` signals its child and the child's group: one request."""
        self.running()
        self.send(TERM)
        self.clock.advance(0.99)
        self.send(TERM, INT)
        self.reactor.advance(0)
        self.assertEqual(self.seen, ["SIGTERM"])
        # Counted from the first: who goes on asking is heard.
        self.clock.advance(0.01)
        self.send(TERM)
        self.assertEqual(self.seen, ["SIGTERM", "exit now: A second request to stop (SIGTERM)"])

    def test_any_number_of_reloads(self) -> None:
        """SIGHUPs are never a reason to end."""
        self.running()
        self.send(*[HUP] * 1000)
        self.reactor.advance(0)
        self.assertEqual(self.seen, ["reload"] * 1000)
        self.send(TERM, HUP)
        self.reactor.advance(0)
        self.assertEqual(self.seen[1000:], ["SIGTERM", "reload"])

    def test_before_there_is_a_reactor(self) -> None:
        """What comes early is kept, and handed over in its order when the reactor runs."""
        self.signals.install_early()
        self.send(HUP, HUP, TERM)
        self.attach()
        self.assertEqual(self.seen, [])
        self.reactor.start()
        self.assertEqual(self.seen, ["reload", "reload", "SIGTERM"])

    def test_between_attach_and_run(self) -> None:
        """So is what comes while the agent is there and the reactor does not run."""
        self.signals.install_early()
        self.send(HUP)
        self.attach()
        self.send(TERM)
        self.assertEqual(self.seen, [])
        self.reactor.start()
        self.assertEqual(self.seen, ["reload", "SIGTERM"])

    def test_second_request_before_it_runs(self) -> None:
        """A second request ends the process at any time, also where the first came early."""
        self.signals.install_early()
        self.send(TERM)
        self.clock.advance(1)
        self.send(INT)
        self.assertEqual(self.seen, ["exit now: A second request to stop (SIGINT)"])
        self.setUp()
        self.signals.install_early()
        self.send(TERM)
        self.attach()
        self.clock.advance(1)
        self.send(TERM)
        self.assertEqual(self.seen, ["exit now: A second request to stop (SIGTERM)"])

    def test_early_request_counts_as_the_first(self) -> None:
        """One SIGTERM early and one when it runs are two."""
        self.signals.install_early()
        self.send(TERM)
        self.attach()
        self.reactor.start()
        self.clock.advance(1)
        self.send(TERM)
        self.assertEqual(self.seen, ["SIGTERM", "exit now: A second request to stop (SIGTERM)"])

    def test_installed_again(self) -> None:
        """The reactor takes SIGTERM when it starts to run; it is taken back."""
        self.running()
        self.assertEqual(signal.getsignal(TERM), self.signals._handle)
        self.assertEqual(signal.getsignal(HUP), self.signals._handle)

    def test_what_is_called_raises(self) -> None:
        """What one early signal leads to does not cost the next one."""
        self.signals.install_early()
        self.send(HUP, TERM)
        self.signals.attach(self.reactor, self.seen.append, raiser(ValueError("x")))
        with self.assertRaises(ValueError):
            self.reactor.start()
        self.reactor.advance(0)
        self.assertEqual(self.seen, ["SIGTERM"])
