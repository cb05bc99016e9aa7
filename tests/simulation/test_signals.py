"""Signals strike at any moment, and what follows a request to stop is noticed."""

from __future__ import annotations

import signal
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process import signals
from metrics_agent.process.signals import Signals
from tests.simulation.signals import SimSignals
from tests.simulation.world import World


class SignalTests(SynchronousTestCase):
    """An agent that runs, and one that starts."""

    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.world = World(1, directory)
        self.ended_s: list[float] = []

    def start(self) -> SimSignals:
        """Start an agent whose reader stalls, so that a stop takes its time."""
        world = self.world
        world.start_agent()
        assert world.process is not None
        assert world.signals is not None
        world.process.reactor.on_end = lambda: self.ended_s.append(world.clock.now_s)
        world.clock.run(1.0)
        world.reader.stall()
        for number in range(2000):
            world.send("abc"[number % 3], 0)
        world.clock.run(1.0)
        return world.signals

    def test_the_same_request(self) -> None:
        """A second one that comes soon changes nothing."""
        sent = self.start()
        began_s = self.world.clock.now_s
        sent.send(signal.SIGINT)
        self.world.clock.run(0.9)
        sent.send(signal.SIGTERM)
        self.world.clock.run(10.0)
        self.assertGreater(self.ended_s[0] - began_s, 4.0)
        self.assertEqual(self.world.violations, [])

    def test_another_request(self) -> None:
        """One that comes later ends the process at once."""
        sent = self.start()
        sent.send(signal.SIGTERM)
        self.world.clock.run(1.1)
        sent.send(signal.SIGINT)
        self.assertEqual(self.ended_s, [self.world.clock.now_s])
        self.assertEqual(self.world.violations, [])

    def test_notices_that_the_same_request_ends_the_process(self) -> None:
        """A second one that comes soon must not."""
        self.patch(signals, "_SAME_REQUEST_S", 0.5)
        sent = self.start()
        sent.send(signal.SIGTERM)
        self.world.clock.run(0.9)
        sent.send(signal.SIGTERM)
        self.assertRegex(self.world.violations[0], "repeated 0.90 s after .* ends the process")

    def test_notices_that_another_request_does_nothing(self) -> None:
        """One that comes later must end the process."""
        self.patch(signals, "_SAME_REQUEST_S", 2.0)
        sent = self.start()
        sent.send(signal.SIGTERM)
        self.world.clock.run(1.1)
        sent.send(signal.SIGTERM)
        self.assertRegex(self.world.violations[0], "second request to stop does not end")

    def test_before_the_start(self) -> None:
        """A request that comes before the agent is there stops it."""
        self.world.early_signals.append(signal.SIGTERM)
        self.world.start_agent()
        self.world.clock.run(0.0)
        assert self.world.process is not None
        self.assertTrue(self.world.process.stopping)
        self.assertEqual(self.world.early_signals, [])

    def test_notices_that_an_early_request_is_lost(self) -> None:
        """It must begin a stop once the reactor runs."""

        def forget(self: Signals) -> None:
            self._pending.clear()
            self._runs = True

        self.patch(Signals, "_running", forget)
        self.world.early_signals.append(signal.SIGINT)
        self.world.start_agent()
        self.world.clock.run(1.0)
        self.assertEqual(self.world.violations, ["a request to stop does not begin a stop"])

    def test_standing_still(self) -> None:
        """A process that stands still gets each signal once, when it goes on, and then stops."""
        sent = self.start()
        assert self.world.process is not None
        self.world.process.reactor.freeze()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            sent.send(number)
            self.world.clock.run(1.0)
        self.assertFalse(self.world.process.stopping)
        self.world.process.reactor.thaw()
        self.world.clock.run(0.1)
        self.assertTrue(self.world.process.stopping)
        self.assertEqual(self.ended_s, [])
        self.assertEqual(self.world.violations, [])
