"""Pairs of faults that chance alone rarely brings together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["JOINT_KINDS", "MOST_WAITING"]

MOST_WAITING: Final = 20_000
"""Messages at the brokers, above which no burst is added."""
_KNOWN_DEVICES: Final = "/devices.json"


def _behind_reader_goes(world: World) -> Callable[[], None]:
    """Break the output while much of it is unread, half of the time of a process that is frozen."""
    chance, reader, process = world.chance, world.reader, world.process
    reader.stall()
    for _ in range(chance.choice((10, 100, 1000)) if world.backlog() < MOST_WAITING else 0):
        world.send(chance.choice(world.scope.modules), chance.randint(0, 1))

    def freeze() -> None:
        if world.heals:
            return
        is_busy = chance.random() < 0.5
        if is_busy and process is not None and not process.reactor.is_frozen:
            process.reactor.freeze()
            world.clock.later(0.3 * chance.random() ** 2, process.reactor.thaw)
        world.clock.later(0.0, go)

    def go() -> None:
        if chance.random() < 0.5:
            reader.cut()
        elif reader.alive:
            world.mark_reader_death()
            reader.die()
        reader.resume()

    world.clock.later(chance.choice((0.01, 0.3, 3.0)) * chance.random(), freeze)
    return reader.resume


def _stop_while_stalled(world: World) -> Callable[[], None] | None:
    """Begin a stop while connections or the reader stall; they recover during it or after it."""
    chance, reader, process = world.chance, world.reader, world.process
    if process is None:
        return None
    links = [connection.from_peer for connection in process.reactor.connections]
    streams = [each for each in links if chance.random() < 0.5] if chance.random() < 0.6 else []
    for stream in streams:
        stream.stalled = True
    if not streams or chance.random() < 0.2:
        reader.stall()

    def stop() -> None:
        if world.heals:
            return
        process.terminate()
        world.clock.later(chance.choice((0.3, 2.3, 5.3)) * chance.random(), heal)

    def heal() -> None:
        for stream in streams:
            stream.free()
        reader.resume()

    # Sometimes longer than the time between two pings.
    world.clock.later(chance.choice((0.1, 1.0, 8.0)) * chance.random(), stop)
    return heal


def _devices_forgotten(world: World) -> None:
    """Kill the agent, and remove the file of the devices that it knows."""
    world.kill_agent()
    world.disk.remove_all(_KNOWN_DEVICES)


JOINT_KINDS: Final = {
    "behind_reader_goes": _behind_reader_goes,
    "stop_while_stalled": _stop_while_stalled,
    "devices_forgotten": _devices_forgotten,
}
