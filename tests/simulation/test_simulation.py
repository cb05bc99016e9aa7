"""The simulation itself: it repeats exactly, notices what is broken, and shrinks what it found."""

from __future__ import annotations

import math
import sys
from io import StringIO
from pathlib import Path
from random import Random
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.transports.mqtt.acknowledge import AckWindow
from metrics_agent.transports.mqtt.connections import Connections
from tests.simulation import search
from tests.simulation.__main__ import _report
from tests.simulation.clock import SimClock
from tests.simulation.network import Stream
from tests.simulation.reactor import ProcessReactor
from tests.simulation.search import Found, Search
from tests.simulation.seeds import SEEDS
from tests.simulation.shrink import shrink
from tests.simulation.world import Violation, World

SECONDS = 10.0


class WorldTests(SynchronousTestCase):
    """Whole runs."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def tearDown(self) -> None:
        # What a process does in the rest of a turn in which it was killed fails with this.
        self.flushLoggedErrors(OSError)

    def world(self, seed: int) -> World:
        return World(seed, self.directory)

    def test_repeats_exactly(self) -> None:
        """A seed has one course of events."""
        worlds = []
        for _ in range(2):
            worlds.append(self.world(5))
            worlds[-1].run(SECONDS)
        first, second = worlds
        self.assertEqual(list(first.trace), list(second.trace))
        self.assertEqual(first.ledger.delivered, second.ledger.delivered)

    def test_messages_and_faults(self) -> None:
        """Messages of both kinds of modules and both QoS are delivered beside faults."""
        worlds = [self.world(seed) for seed in range(6)]
        for world in worlds:
            world.run(SECONDS)
        delivered = {key[:2] for world in worlds for key in world.ledger.delivered}
        self.assertLessEqual({("a", 0), ("a", 1), ("d0q0", 0), ("d1q1", 1), ("u1q1", 1)}, delivered)
        self.assertGreater(sum(sum(world.episodes.values()) for world in worlds), 10)

    def test_notices_an_early_acknowledgement(self) -> None:
        """A message that is acknowledged before the reader has it is a violation."""

        def too_early(self: AckWindow, packet_ids: list[int]) -> object:
            self.release(packet_ids)
            return lambda _taken: None

        self.patch(AckWindow, "hold", too_early)
        with self.assertRaisesRegex(Violation, "acknowledged before the reader had it"):
            self.world(1).run(SECONDS)

    def test_notices_an_exception(self) -> None:
        """What leaves the agent is a violation."""

        def fails(self: AckWindow) -> None:
            raise RuntimeError("broken")

        self.patch(AckWindow, "flush", fails)
        with self.assertRaisesRegex(Violation, "broken"):
            self.world(1).run(SECONDS)
        self.flushLoggedErrors(RuntimeError)

    def test_seeds(self) -> None:
        """Seeds that once found a fault."""
        for seed in SEEDS:
            self.world(seed).run(60.0)

    def test_notices_a_slow_stop(self) -> None:
        """A stop that waits although there is nothing to wait for is a violation."""
        self.patch(Connections, "handle_delivered", lambda *_args, **_more: Deferred())
        with self.assertRaisesRegex(Violation, "a stop takes longer than 2 s"):
            self.world(3).run(SECONDS)

    def test_notices_a_reload_during_a_stop(self) -> None:
        """A stop that reads the configuration is a violation."""
        world = self.world(1)
        world.start_agent()
        world.clock.run(3.0)
        process = world.process
        assert process is not None
        process.terminate()
        process.hang_up()
        world.clock.run(0.0)
        self.assertEqual(world.violations, [])
        self.patch(process.agent, "_working", None)
        process.agent._work(process.agent._reload())
        self.assertEqual(world.violations, ["the configuration is read during a stop"])

    def test_a_stop_that_waits_for_a_slow_broker(self) -> None:
        """It is known until when the stop waits at least."""
        world = self.world(1)
        world.start_agent()
        world.clock.run(3.0)
        process = world.process
        assert process is not None
        connections = process.agent._parts.connections
        ended_s: list[float] = []
        handle_delivered = connections.handle_delivered

        def handle(timeout_s: float, rest_s: float) -> Deferred[None]:
            for connection in process.reactor.connections:
                connection.from_peer.stalled = True
            ended = handle_delivered(timeout_s, rest_s)
            return ended.addCallback(lambda _none: ended_s.append(world.clock.now_s))

        self.patch(connections, "handle_delivered", handle)
        self.assertEqual(process.waits_for_brokers_until_s, math.inf)
        process.terminate()
        began_s = world.clock.now_s
        world.clock.run(1.0)
        self.assertAlmostEqual(process.waits_for_brokers_until_s - began_s, 2.4, 3)
        self.assertEqual(ended_s, [])
        world.clock.run(1.6)
        self.assertAlmostEqual(ended_s[0] - began_s, 2.5, 3)


class ReactorTests(SynchronousTestCase):
    """The clock of a process that was frozen."""

    def test_one_that_runs_cannot_go_on(self) -> None:
        """Its clock stays as it is."""
        clock = SimClock(Random(0))
        reactor = ProcessReactor(clock, {}, self.fail)
        reactor.leaves_out_standstill = True
        reactor.thaw()
        self.assertEqual(reactor.seconds(), clock.now_s)

    @given(st.floats(0.0, 100.0), st.floats(0.0, 100.0), st.floats(0.0, 1.0))
    def test_no_call_is_early(self, began_s: float, stood_s: float, delay_s: float) -> None:
        """However the times are rounded."""
        clock = SimClock(Random(0))
        clock.now_s += began_s
        reactor = ProcessReactor(clock, {}, self.fail)
        reactor.leaves_out_standstill = True
        reactor.freeze()
        clock.now_s += stood_s
        reactor.kernel = SimpleNamespace()
        reactor.thaw()
        due_s = reactor.seconds() + delay_s
        called: list[float] = []
        reactor.callLater(delay_s, lambda: called.append(reactor.seconds()))
        clock.run(delay_s + 1.0)
        self.assertGreaterEqual(called[0], due_s)


class SearchTests(SynchronousTestCase):
    """A search of new seeds."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def search(self, *, first_only: bool = False, seed_fails: bool = True) -> tuple[Found, int]:
        """Return what a short search of empty worlds finds, and the exit status."""

        class Empty(World):
            def run(self, seconds: float) -> None:
                del seconds
                if seed_fails:
                    raise Violation("it is wrong")

        self.patch(search, "World", Empty)
        self.patch(sys, "stdout", StringIO())
        found = Search(0.2, in_cpu_time=False, without=(), first_only=first_only)._run(
            self.directory
        )
        return found, _report([found], list_pairs=False)

    def test_violations(self) -> None:
        """Each one counts, and the status says that there are some."""
        found, status = self.search()
        self.assertGreater(found.runs, 1)
        self.assertEqual((found.violations, status), (found.runs, 1))
        found, status = self.search(first_only=True)
        self.assertEqual((found.runs, found.violations, status), (1, 1, 1))

    def test_none(self) -> None:
        """The status says that all is well."""
        found, status = self.search(seed_fails=False)
        self.assertEqual((found.violations, status), (0, 0))


class ShrinkTests(SynchronousTestCase):
    """Of the faults of a run."""

    # Beside other work the first draws may be slow.
    @given(st.sets(st.integers(0, 60), min_size=1))
    def test_the_needed_ones_are_left(self, needed: set[int]) -> None:
        """As few as still fail, in order."""
        kept = shrink(range(61), lambda some: needed <= set(some))
        self.assertEqual(kept, sorted(needed))


class StreamTests(SynchronousTestCase):
    """One direction of a connection."""

    @given(st.integers(0, 2**32), st.lists(st.binary(max_size=3000)), st.integers(1, 5000))
    def test_every_byte_once_in_order(self, seed: int, pieces: list[bytes], capacity: int) -> None:
        """Whatever the sizes and delays are."""
        clock = SimClock(Random(seed))
        stream = Stream(clock, capacity)
        got = bytearray()
        stream.receive = got.extend
        sent = b"".join(pieces)
        left = bytearray(sent)
        while left:
            del left[: stream.write(left)]
            clock.run(0.01)
        clock.run(1.0)
        self.assertEqual(bytes(got), sent)

    def test_what_comes_too_late(self) -> None:
        """Bytes that were held up for too long do not count as delivered; all others do."""
        clock = SimClock(Random(0))
        for held_up, counted in ((False, 17), (True, 7)):
            stream = Stream(clock, 100)
            got = bytearray()
            stream.receive = got.extend
            stream.write(b"in time")
            clock.run(0.1)
            stream.reading, stream.stalled = held_up, held_up
            stream.write(b", too late")
            clock.run(0.1)
            now_s = clock.now_s
            stream.waits_until_s = lambda now_s=now_s: now_s  # type: ignore[misc]
            stream.reading = True
            if held_up:
                stream.free()
            stream.resume()
            clock.run(0.1)
            self.assertEqual((bytes(got), stream.delivered), (b"in time, too late", counted))
