"""A process that is killed amid a turn has no effect any more, and is judged by what it did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.output import direct, whole_lines
from metrics_agent.transports.mqtt.acknowledge import AckWindow
from tests.simulation.clock import SimClock
from tests.simulation.file_readers import FileReader
from tests.simulation.moments import rename_some
from tests.simulation.network import Stream
from tests.simulation.pipe_readers import PipeReader
from tests.simulation.reader import Reader
from tests.simulation.schedule import INSIDE
from tests.simulation.world import World


class MidTurnTests(SynchronousTestCase):
    """Kills at boundaries."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.struck = False
        # What a dead process logs of its calls that fail.
        self.addCleanup(self.flushLoggedErrors, OSError)

    def start(self, reader: type[Reader] = PipeReader) -> World:
        """Start an agent with a kind of reader, and devices that have announced themselves."""
        world = next(
            world
            for seed in range(100)
            if type((world := World(seed, self.directory)).reader) is reader
        )
        world.devices.announce()
        world.start_agent()
        world.clock.run(2.0)
        return world

    def kill_at(self, world: World, name: str, then: Callable[[], object] = lambda: None) -> None:
        """Have the agent killed when it passes a boundary next."""
        pass_boundary = world.boundary

        def boundary(passed: str) -> None:
            pass_boundary(passed)
            if passed == name and not self.struck:
                self.struck = True
                world.kill_agent()
                then()

        world.boundary = world.clock.boundary = world.disk._boundary = boundary  # type: ignore[method-assign]

    def keep_busy(self, world: World) -> None:
        """Have the agent pass every boundary."""
        assert world.process is not None
        rename_some(world)
        for broker in world.brokers.values():
            world.clock.later(0.1, broker.clients[0].cut)
        world.devices.send_each()
        world.steps.go_wrong("numbered:a", "message", "nothing", 100)
        world.clock.run(0.5)
        world.devices.send_each()
        world.process.hang_up()
        world.clock.run(4.0)

    def test_what_follows_in_the_turn_has_no_effect(self) -> None:
        """Not on readers, disk, brokers, modules, log and accounts, at any boundary."""
        for name in sorted(INSIDE):
            self.struck = False
            world = self.start()
            states: list[Any] = []
            kill_and_look = lambda world=world, states=states: states.append(_state(world))  # noqa: E731
            self.kill_at(world, name, kill_and_look)
            on_turn = world.clock.on_turn

            def turn(
                world: World = world, states: list[Any] = states, on_turn: Any = on_turn
            ) -> None:
                if len(states) == 1:
                    states.append(_state(world))
                on_turn()

            world.clock.on_turn = turn
            self.keep_busy(world)
            before, after = states
            self.assertEqual(before, after, name)
            self.assertEqual(world.violations, [], name)

    def test_a_message_that_a_dead_module_looks_at(self) -> None:
        """It is not accounted for: no running module has handled it."""
        world = self.start()
        self.kill_at(world, "module", lambda: world._looked_at("numbered:a", b"1:7", ""))
        world.send("a", 1)
        world.clock.run(1.0)
        self.assertTrue(self.struck)
        self.assertNotIn(("a", 1, 7), world.ledger.nothing)

    def test_a_stop_that_begins_in_a_dead_process(self) -> None:
        """It excuses nothing."""
        world = self.start()
        process = world.process
        assert process is not None
        begun: list[None] = []
        process.on_stop = lambda: begun.append(None)
        self.kill_at(world, "module", lambda: process.agent.request_stop("it is too late"))
        world.send("a", 1)
        world.clock.run(1.0)
        self.assertTrue(process.stopping)
        self.assertEqual(begun, [])

    def test_a_connection_that_is_made_as_the_process_ends(self) -> None:
        """The broker sees its end."""
        world = self.start()
        self.kill_at(world, "connect")
        broker = world.brokers[1883]
        broker.clients[0].cut()
        while not self.struck:
            world.clock.run(0.001)
        world.clock.run(0.01)
        self.assertFalse(any(client.connection.open for client in broker.clients))

    def test_notices_a_line_that_is_written_in_two_parts(self) -> None:
        """The process may end between them."""
        next_chunk = whole_lines.next_chunk

        def in_parts(source: Any, buffer: Any, **named: Any) -> bytes | None:
            chunk = next_chunk(source, buffer, **named)
            return chunk[:-2] if chunk and not source.in_line else chunk

        self.patch(whole_lines, "next_chunk", in_parts)
        world = self.start()
        world.devices.send_each()
        world.clock.run(1.0)
        self.assertEqual(world.violations, [])
        self.kill_at(world, "write")
        world.devices.send_each()
        world.clock.run(1.0)
        self.assertRegex(world.violations[0], "the stream ends in mid-line")

    def test_notices_an_acknowledgement_before_the_write_of_the_same_turn(self) -> None:
        """What the kernel has got of it arrives when the process has ended between the two."""
        world = self.start(FileReader)
        early: list[tuple[AckWindow, Sequence[int]]] = []
        hand_over = whole_lines.hand_over

        def hold(self: AckWindow, packet_ids: Sequence[int]) -> Callable[[], None]:
            early.append((self, packet_ids))
            return lambda: None

        def acknowledge_and_write(source: Any, buffer: Any) -> Any:
            while early:
                window, packet_ids = early.pop(0)
                window.release(packet_ids)
            assert world.process is not None
            for connection in world.process.reactor.connections:
                connection.transport.flush()
            return hand_over(source, buffer)

        self.patch(AckWindow, "hold", hold)
        self.patch(direct, "hand_over", acknowledge_and_write)
        world.send("a", 1)
        world.clock.run(1.0)
        self.assertEqual(world.violations, [])
        self.kill_at(world, "sending")
        world.send("a", 1)
        world.clock.run(1.0)
        self.assertRegex(world.violations[0], "acknowledged before the reader had it")

    def test_what_is_being_read(self) -> None:
        """An answer that the process is reading when it ends may not have been counted yet."""
        clock = SimClock(Random(1))
        stream = Stream(clock, 100)
        counts: list[tuple[int, int]] = []
        stream.receive = lambda _data: counts.append((stream.delivered, stream.handled))
        stream.write(b"x")
        clock.run(1.0)
        self.assertEqual((counts, stream.handled), ([(1, 0)], 1))


def _state(world: World) -> list[Any]:
    """Return what a process has an effect on."""
    reader, ledger, accounting = world.reader, world.ledger, world.accounting
    assert isinstance(reader, PipeReader)
    return [
        dict(ledger.delivered),
        set(ledger.nothing),
        accounting.dropped,
        len(accounting._excuses),
        set(world.steps._running),
        dict(world.steps.ticked_s),
        reader._pipe.unread,
        {path: file.data for path, file in world.disk._files.items()},
        sum(
            len(client.connection.to_peer._buffer)
            for broker in world.brokers.values()
            for client in broker.clients
        ),
        len(world.trace),
        len(world.clock._queue),
    ]
