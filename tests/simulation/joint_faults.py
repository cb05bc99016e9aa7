"""Pairs of faults that chance alone rarely brings together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from metrics_agent.supervision.lifecycle import State
from tests.simulation.arrivals import Arrivals
from tests.simulation.configuration import KNOWN_DEVICES, NUMBERED, RESTART_LIMIT
from tests.simulation.lost_while_aside import lost_while_set_aside
from tests.simulation.moments import READS_NO_MORE, SAVES_DEVICES
from tests.simulation.recovery import backlog

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.process import AgentProcess
    from tests.simulation.world import World

__all__ = ["JOINT_KINDS", "MOST_WAITING", "numbered"]

MOST_WAITING: Final = 20_000
"""Messages at the brokers, above which no burst is added."""
_FILL_EVERY_S: Final = 0.05
_FILLS: Final = 20
_LOOK_EVERY_S: Final = 0.25
_LOOKS: Final = 20
_FREEZES: Final = 3
_ROUNDED_S: Final = 1e-9
"""By so much a clock may seem to be early."""
_FROZEN_SHARE: Final = 0.4
"""In this share of stops the process is frozen for some seconds."""
_FULL_SHARE: Final = 0.5
"""In this share of stops in a reload the output is full, and it is not the time that decides when
the stop begins, but that what was read is handed on."""
_IN_STOP_S: Final = ((0.0, 0.3), (0.0, 2.3), (2.5, 5.0), (5.0, 5.2), (9.0, 9.0))
"""When something recovers in a stop: soon, before the output is drained, meanwhile, when the time
for that is over, or after the stop."""
_OVER_SHARE: Final = 0.3
"""In this share of stops the reader goes on when the agent has said goodbye to brokers, which do
not close at once."""
_SAYS_GOODBYE_S: Final = 7.0
"""When that is over at the latest, from the beginning of the stop."""
_STALLS_S: Final = 4.5
"""When brokers stall: what they have sent has been read, and no goodbye is said before 5 s."""
_GOODBYE_LOOK_S: Final = 0.01


def _fill(
    world: World, process: AgentProcess | None, then: Callable[[], object], fills: int = _FILLS
) -> None:
    """Send messages until the output is full or some time has passed, then call."""
    chance = world.chance

    def more(times: int) -> None:
        is_over = process is None or not process.alive
        if process is not None and process.agent._parts.sink._pressed:
            is_over = is_over or not world.reader.has_room
        if world.heals:
            return
        if is_over or not times or backlog(world) > MOST_WAITING:
            then()
            return
        # Many of one module at a time, so that the agent writes many lines at once.
        module = chance.choice(world.scope.modules)
        for _ in range(100):
            world.send(module, int(chance.random() < 0.1))
        world.clock.later(_FILL_EVERY_S, more, times - 1)

    more(fills)


def _behind_reader_goes(world: World) -> Callable[[], None]:
    """Break the output, or kill the agent, while much is unread; sometimes the agent was frozen."""

    def begin(times: int) -> None:
        process = world.process
        if world.heals:
            return
        if times and (process is None or not _writes(process)):
            world.clock.later(_LOOK_EVERY_S, begin, times - 1)
            return
        world.reader.stall()
        _have_much(world, process, lambda: _break_output_soon(world))

    def heal() -> None:
        world.reader.resume()

    begin(_LOOKS)
    return heal


def _have_much(world: World, process: AgentProcess | None, then: Callable[[], object]) -> None:
    """Send messages, often until the output is full, then call."""
    chance = world.chance
    if chance.random() < 0.75:
        _fill(world, process, then)
        return
    for _ in range(chance.choice((10, 100, 1000)) if backlog(world) < MOST_WAITING else 0):
        world.send(chance.choice(world.scope.modules), chance.randint(0, 1))
    then()


def _break_output_soon(world: World) -> None:
    chance = world.chance

    def break_it() -> None:
        process = world.process
        if world.heals:
            return
        after_s = 0.0
        is_busy = chance.random() < 0.7
        if is_busy and process is not None and not process.reactor.is_frozen:
            # What comes due before the break runs before the agent can notice the break.
            world.accounting.beside.add("freeze")
            process.reactor.freeze()
            frozen_s = 0.3 * chance.random()
            world.clock.later(frozen_s, process.reactor.thaw)
            after_s = chance.choice((0.0, 1.0, 1.0)) * frozen_s * chance.random()
        world.clock.later(after_s, _break_output, world, chance)

    world.clock.later(chance.choice((0.01, 0.3, 3.0)) * chance.random(), break_it)


def _writes(process: AgentProcess) -> bool:
    """Say whether a process is at work and has an output that works."""
    is_at_work = process.alive and not process.stopping and process.agent._working is None
    return is_at_work and not process.agent._parts.sink.problem


def _break_output(world: World, chance: Random) -> None:
    reader = world.reader
    way = chance.choice(reader.breaks)
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
        self._is_over = chance.random() < _OVER_SHARE
        if self._is_over or chance.random() < 0.4:
            self._streams.clear()
        for stream in self._streams:
            stream.stalled = True
        if self._is_over or not self._streams or chance.random() < 0.5:
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
        if chance.random() < 0.5:
            Arrivals(world, self._process, world.scope.modules, in_stop=True).send(6)
        if self._is_over:
            for _ in range(5):
                world.send(chance.choice(world.scope.modules), 1)
        self._process.terminate()
        times = ((9.0, 9.0),) * 2 if self._is_over else chance.choices(_IN_STOP_S, k=2)
        if self._is_over:
            world.clock.later(_STALLS_S, self._stall)
            self._look_for_goodbye(world.clock.now_s + _SAYS_GOODBYE_S)
        if not self._is_over and chance.random() < _FROZEN_SHARE:
            world.excuse_unconnected(self._process, 15.0)
            thaws_s = chance.uniform(3.0, 7.0)
            world.clock.later(0.2 * chance.random(), reactor.freeze)
            world.clock.later(thaws_s, reactor.thaw)
            # Often in the time that the stop has left, since it stood still.
            times = (chance.choice((times[0], (thaws_s, thaws_s + 4.0))), times[1])
        for recovers, within_s in zip((world.reader.resume, self._go_on), times, strict=True):
            world.clock.later(chance.uniform(*within_s), recovers)

    def _stall(self) -> None:
        """Have nothing come from brokers any more, not even the ends of connections."""
        if self._world.heals:
            return
        self._streams = [each.from_peer for each in self._process.reactor.connections]
        for stream in self._streams:
            stream.stalled = True

    def _look_for_goodbye(self, until_s: float) -> None:
        """Have the reader go on when a connection is to end before all is acknowledged."""
        world, process = self._world, self._process
        links = (each._link for each in process.agent._parts.connections.all())
        is_said = any(
            link is not None and link._said_goodbye and len(link.acknowledgements) for link in links
        )
        if is_said or not process.alive or world.clock.now_s > until_s:
            world.reader.resume()
        else:
            world.clock.later(_GOODBYE_LOOK_S, self._look_for_goodbye, until_s)

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
    is_full = chance.random() < _FULL_SHARE

    def begin() -> None:
        process.hang_up()
        if is_full:
            world.stop_in_moment(READS_NO_MORE)
        else:
            world.clock.later(chance.choice((0.01, 0.1, 1.0)) * chance.random(), process.terminate)

    if is_full:
        world.reader.stall()
        _fill(world, process, begin)
    else:
        begin()

    def heal() -> None:
        world.reader.resume()
        for stream in streams:
            stream.free()

    return heal


def _stop_right_after_reload(world: World) -> None:
    """Have both signals come in one turn of the reactor, while messages are unread."""
    process = world.process
    if process is not None:
        Arrivals(world, process, world.scope.modules, in_stop=True).send(6)
        process.hang_up()
        process.terminate()


def numbered(world: World) -> list[str]:
    """Return the test modules among those that the faults concern; each broker has some."""
    return [each for each in world.scope.modules if each in NUMBERED]


def _parked_while_stalled(world: World) -> None:
    """Have a module parked while its messages are not acknowledged, and send more."""
    chance, process = world.chance, world.process
    if process is None:
        return
    module = chance.choice(numbered(world))
    instance = world.config.instance(module)

    def look(times: int) -> None:
        if world.heals or not times or not process.alive or process.stopping:
            return
        states = {each.module_name: each.state for each in process.agent.supervisors}
        if world.steps.will_go_wrong(instance) or states.get(instance) is not State.RUNNING:
            world.clock.later(0.1, look, times - 1)
            return
        world.reader.stall()
        more()
        world.clock.later(0.1, world.steps.go_wrong, instance, "message", "fails", 1)
        for after_s in (0.2, 0.4, 0.8):
            world.clock.later(after_s, more)
        world.clock.later(chance.uniform(1.0, 5.0), world.reader.resume)

    def more() -> None:
        if not world.heals:
            for _ in range(3):
                world.send(module, 1)

    world.steps.go_wrong(instance, "message", "fails", RESTART_LIMIT)
    look(150)


def _reload_in_calm(world: World) -> None:
    """Change a connection's settings when messages have just come by it, which are all read."""
    chance, process = world.chance, world.process
    if process is None or not process.alive or process.reactor.is_frozen:
        return
    module = chance.choice(world.scope.modules)
    world.config.vary(module, chance)
    world.config.write()
    Arrivals(world, process, {module}, in_stop=False).send(40)
    # Not what comes later: the connection is read until the answer to a PING.
    world.accounting.excuse_from_now(module, 30.0)
    process.hang_up()


def _module_fails_again(world: World) -> None:
    """Have a module fail more often than may be, but not within the window."""
    instance = world.config.instance(world.chance.choice(numbered(world)))
    step = world.chance.choice(("message", "tick"))
    every_s = world.config.restart_window_s / (RESTART_LIMIT - 0.5)

    def fail() -> None:
        if not world.heals:
            world.steps.go_wrong(instance, step, "fails", 1)

    for number in range(RESTART_LIMIT + 1):
        world.clock.later(number * every_s, fail)


def _frozen_for_intervals(world: World) -> Callable[[], None] | None:
    """Freeze the process for whole intervals of a module's timer, some times in a row.

    Rounding must not give the module a tick too many.
    """
    chance, process, ticked_s = world.chance, world.process, world.steps.ticked_s
    if process is None:
        return None
    reactor = process.reactor

    def freeze(times: int) -> None:
        if world.heals or not times or not ticked_s or reactor.is_frozen:
            return
        world.excuse_unconnected(process, 15.0)
        reactor.freeze()
        until_s = ticked_s[chance.choice(sorted(ticked_s))] + chance.randint(2, 4)
        until_s -= chance.choice((0.0, _ROUNDED_S))
        world.clock.later(max(0.0, until_s - world.clock.now_s), thaw, times)

    def thaw(times: int) -> None:
        reactor.thaw()
        world.clock.later(chance.random(), freeze, times - 1)

    freeze(_FREEZES)
    return reactor.thaw


def _devices_forgotten(world: World) -> None:
    """Kill the agent, and remove the file of the devices that it knows."""
    world.kill_agent()
    world.disk.remove_all(KNOWN_DEVICES)


JOINT_KINDS: Final = {
    "behind_reader_goes": _behind_reader_goes,
    "stop_while_stalled": _stop_while_stalled,
    "stop_in_reload": _stop_in_reload,
    "stop_right_after_reload": _stop_right_after_reload,
    "parked_while_stalled": _parked_while_stalled,
    "reload_in_calm": _reload_in_calm,
    "module_fails_again": _module_fails_again,
    "frozen_for_intervals": _frozen_for_intervals,
    "devices_forgotten": _devices_forgotten,
    "lost_while_set_aside": lost_while_set_aside,
    "stop_while_saving": lambda world: world.stop_in_moment(SAVES_DEVICES),
}
