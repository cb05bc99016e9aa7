"""Pairs of faults that chance alone rarely brings together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.process import AgentProcess
    from tests.simulation.world import World

__all__ = ["JOINT_KINDS", "MOST_WAITING"]

MOST_WAITING: Final = 20_000
"""Messages at the brokers, above which no burst is added."""
_KNOWN_DEVICES: Final = "/devices.json"
_FILL_EVERY_S: Final = 0.05
_FILLS: Final = 20
_FROZEN_SHARE: Final = 0.2
"""In this share of stops the process is frozen for some seconds."""
_IN_STOP_S: Final = ((0.0, 0.3), (0.0, 2.3), (2.5, 5.0), (5.0, 5.2), (9.0, 9.0))
"""When something recovers in a stop: soon, before the output is drained, meanwhile, when the time
for that is over, or after the stop."""


def _fill(
    world: World, process: AgentProcess | None, then: Callable[[], object], fills: int = _FILLS
) -> None:
    """Send messages until the output is full or some time has passed, then call."""
    chance = world.chance

    def more(times: int) -> None:
        is_full = process is None or not process.alive or process.agent._parts.sink._pressed
        if world.heals:
            return
        if is_full or not times or world.backlog() > MOST_WAITING:
            then()
            return
        for _ in range(100):
            world.send(chance.choice(world.scope.modules), int(chance.random() < 0.1))
        world.clock.later(_FILL_EVERY_S, more, times - 1)

    more(fills)


def _behind_reader_goes(world: World) -> Callable[[], None]:
    """Break the output, or kill the agent, while much is unread; sometimes the agent was frozen."""
    chance, reader, process = world.chance, world.reader, world.process
    reader.stall()

    def freeze() -> None:
        if world.heals:
            return
        is_busy = chance.random() < 0.5
        if is_busy and process is not None and not process.reactor.is_frozen:
            process.reactor.freeze()
            world.clock.later(0.3 * chance.random() ** 2, process.reactor.thaw)
        world.clock.later(0.0, _break_output, world, chance)

    def later() -> None:
        world.clock.later(chance.choice((0.01, 0.3, 3.0)) * chance.random(), freeze)

    if chance.random() < 0.5:
        _fill(world, process, later)
    else:
        for _ in range(chance.choice((10, 100, 1000)) if world.backlog() < MOST_WAITING else 0):
            world.send(chance.choice(world.scope.modules), chance.randint(0, 1))
        later()
    return reader.resume


def _break_output(world: World, chance: Random) -> None:
    reader = world.reader
    way = chance.choice(("cut", "cut", "die", "die", "kill"))
    if way == "cut":
        reader.cut()
    elif way == "kill":
        world.kill_agent()
    elif reader.alive:
        world.mark_reader_death()
        reader.die()
    reader.resume()


class _StalledStop:
    """A stop while connections or the reader stall; they recover during it or after it."""

    def __init__(self, world: World, process: AgentProcess) -> None:
        self._world = world
        self._process = process
        self._chance = chance = world.chance
        links = [connection.from_peer for connection in process.reactor.connections]
        self._streams = [each for each in links if chance.random() < 0.5]
        if chance.random() < 0.4:
            self._streams.clear()
        for stream in self._streams:
            stream.stalled = True
        if not self._streams or chance.random() < 0.5:
            world.reader.stall()

    def begin(self) -> None:
        """Have it begin, often after longer than the time between two pings."""
        chance, world = self._chance, self._world
        after_s = chance.choice((0.0, 1.0, 8.0, 8.0)) * chance.random()
        fills = chance.choice((0, _FILLS))
        _fill(world, self._process, lambda: world.clock.later(after_s, self._stop), fills)

    def _stop(self) -> None:
        world, chance, reactor = self._world, self._chance, self._process.reactor
        if world.heals:
            return
        for _ in range(chance.choice((0, 40))):
            world.send(chance.choice(world.scope.modules), 0)
        self._process.terminate()
        for recovers in (world.reader.resume, self._go_on):
            world.clock.later(chance.uniform(*chance.choice(_IN_STOP_S)), recovers)
        if chance.random() < _FROZEN_SHARE:
            world.excuse_unconnected(self._process, 15.0)
            world.clock.later(0.2 * chance.random(), reactor.freeze)
            world.clock.later(chance.uniform(3.0, 7.0), reactor.thaw)

    def _go_on(self) -> None:
        slow = self._chance.choice(((0.05, 200), None))
        for stream in self._streams:
            stream.free()
            stream.slow = slow

    def heal(self) -> None:
        """Let everything go on."""
        for stream in self._streams:
            stream.free()
        self._world.reader.resume()
        self._process.reactor.thaw()


def _stop_while_stalled(world: World) -> Callable[[], None] | None:
    if world.process is None:
        return None
    stop = _StalledStop(world, world.process)
    stop.begin()
    return stop.heal


def _stop_in_reload(world: World) -> Callable[[], None] | None:
    """Begin a stop while a reload waits for what a connection that it ends has brought."""
    chance, process = world.chance, world.process
    if process is None:
        return None
    module = chance.choice(world.scope.modules)
    world.config.vary(module, chance)
    world.excuse(module, 30.0)
    world.config.write()
    streams = [connection.from_peer for connection in process.reactor.connections]
    for stream in streams:
        stream.slow = chance.choice(((0.02, 1460), (0.5, 200)))
    process.hang_up()
    world.clock.later(chance.choice((0.01, 0.1, 1.0)) * chance.random(), process.terminate)

    def heal() -> None:
        for stream in streams:
            stream.free()

    return heal


def _devices_forgotten(world: World) -> None:
    """Kill the agent, and remove the file of the devices that it knows."""
    world.kill_agent()
    world.disk.remove_all(_KNOWN_DEVICES)


JOINT_KINDS: Final = {
    "behind_reader_goes": _behind_reader_goes,
    "stop_while_stalled": _stop_while_stalled,
    "stop_in_reload": _stop_in_reload,
    "devices_forgotten": _devices_forgotten,
}
