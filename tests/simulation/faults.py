"""What goes wrong: each kind with how it begins and, where it lasts, how it ends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from attrs import frozen

from tests.simulation.configuration import PORTS

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["KINDS", "Faults", "Scope"]

Heal = Callable[[], None] | None
Fault = Callable[["World"], Heal]


def _sighup(world: World) -> Heal:
    if world.process is not None:
        world.process.hang_up()
    return None


def _sighup_then_sigterm(world: World) -> Heal:
    process = world.process
    if process is not None:
        process.hang_up()
        # What comes while no module runs, and none will, stays unread; it may stand still before.
        world.excuse("", 30.0)
        delay_s = world.chance.choice((0.0, 0.001, 0.02, 0.06, 0.3)) * world.chance.random()
        world.clock.later(delay_s, process.terminate)
    return None


def _sigterm(world: World) -> Heal:
    process = world.process
    if process is not None:
        if process.reloads_or_stands_still:
            # It may come within a reload: what is unread then stays unread.
            world.excuse("", 30.0)
        process.terminate()
    return None


def _kill(world: World) -> Heal:
    world.kill_agent()
    return None


def _freeze(world: World) -> Heal:
    process = world.process
    if process is None:
        return None
    process.reactor.freeze()
    return process.reactor.thaw


def _broker_silent(world: World) -> Heal:
    broker = world.chance.choice(world.scoped_brokers)
    broker.silent = True

    def heal() -> None:
        broker.silent = False

    return heal


def _broker_version(world: World) -> Heal:
    broker = world.chance.choice(world.scoped_brokers)
    broker.options.speaks_v5 = not broker.options.speaks_v5
    return _broker_cuts(world)


def _reload_changed(world: World) -> Heal:
    module = world.chance.choice(world.scope.modules)
    world.config.vary(module, world.chance)
    # Its connection ends; under back-pressure with what is unread or set aside.
    world.excuse(module, 30.0)
    world.config.write()
    return _sighup(world)


def _reload_without(world: World) -> Heal:
    module = world.chance.choice(world.scope.modules)
    world.config.modules[module] = False
    world.excuse(module, 30.0)
    world.config.write()
    _sighup(world)

    def heal() -> None:
        world.config.modules[module] = True
        world.config.write()
        _sighup(world)

    return heal


def _reload_broken(world: World) -> Heal:
    world.config.write('\n[modules."numbered:d"\n')
    _sighup(world)
    return world.config.write


def _broker_restart(world: World) -> Heal:
    broker = world.chance.choice(world.scoped_brokers)
    broker.stop(persistent=world.chance.random() < 0.8, in_order=world.chance.random() < 0.5)
    return broker.start


def _broker_cuts(world: World) -> Heal:
    for broker in world.scoped_brokers:
        for client in tuple(broker.clients):
            if world.chance.random() < 0.5:
                client.cut(in_order=world.chance.random() < 0.5)
    return None


def _connection_vanishes(world: World) -> Heal:
    process = world.process
    for connection in () if process is None else tuple(process.reactor.connections):
        if world.chance.random() < 0.3:
            connection.vanish()
    return None


def _stream_stalls(world: World) -> Heal:
    stalled = [
        stream
        for broker in world.scoped_brokers
        for client in broker.clients
        for stream in (client.connection.to_peer, client.connection.from_peer)
        if world.chance.random() < 0.5
    ]
    for stream in stalled:
        stream.stalled = True

    def heal() -> None:
        for stream in stalled:
            stream.stalled = False
            stream.resume()

    return heal


def _filter_refused(world: World) -> Heal:
    broker = world.chance.choice(world.scoped_brokers)
    names = {f"{name}/#" for name in world.scope.modules if world.chance.random() < 0.5}
    broker.refused_filters |= names

    def heal() -> None:
        broker.refused_filters -= names

    return heal


def _reader_stalls(world: World) -> Heal:
    reader = world.reader
    reader.stall()
    return reader.resume


def _reader_slow(world: World) -> Heal:
    reader = world.reader
    reader.bytes_a_turn = world.chance.choice((1, 50, 4096))

    def heal() -> None:
        reader.bytes_a_turn = 1 << 20

    return heal


def _reader_dies(world: World) -> Heal:
    if world.reader.alive:
        world.mark_reader_death()
        world.reader.die()
    return None


def _output_cut(world: World) -> Heal:
    world.reader.cut()
    return None


def _stdin_speaks(world: World) -> Heal:
    if world.process is not None and world.process.alive:
        world.process.stdin.fill(world.chance.choice((1, 100_000)))
    return None


def _stdin_ends(world: World) -> Heal:
    process = world.process
    if process is not None and process.alive:
        if process.reloads_or_stands_still:
            world.excuse("", 10.0)
        process.stdin.end()
    return None


def _module_step(step: str, *ways: str) -> Fault:
    def fault(world: World) -> Heal:
        module = world.chance.choice(world.scope.modules)
        world.plan_module(module, step, world.chance.choice(ways), world.chance.choice((1, 2, 5)))
        wants_reload = step in {"start", "stop", "make"} and not world.scope.bystanders
        if wants_reload and world.chance.random() < 0.7:
            _sighup(world)
        return None

    return fault


def _burst(world: World) -> Heal:
    module = world.chance.choice(world.scope.modules)
    qos = world.chance.randint(0, 1)
    for _ in range(world.chance.choice((100, 1000, 3000))):
        world.send(module, qos)
    return None


def _disk(world: World) -> Heal:
    world.disk_error()

    def heal() -> None:
        world.disk.error = 0

    return heal


def _clock_jump(world: World) -> Heal:
    seconds = world.chance.choice((-3600, -10, 10, 3600, 86400))
    world.clock.wall_offset_ns += seconds * 10**9
    return None


KINDS: Final[dict[str, Fault]] = {
    "sighup": _sighup,
    "sighup_then_sigterm": _sighup_then_sigterm,
    "sigterm": _sigterm,
    "kill": _kill,
    "freeze": _freeze,
    "reload_changed": _reload_changed,
    "reload_without": _reload_without,
    "reload_broken": _reload_broken,
    "broker_restart": _broker_restart,
    "broker_cuts": _broker_cuts,
    "broker_silent": _broker_silent,
    "broker_version": _broker_version,
    "connection_vanishes": _connection_vanishes,
    "stream_stalls": _stream_stalls,
    "filter_refused": _filter_refused,
    "reader_stalls": _reader_stalls,
    "reader_slow": _reader_slow,
    "reader_dies": _reader_dies,
    "output_cut": _output_cut,
    "stdin_speaks": _stdin_speaks,
    "stdin_ends": _stdin_ends,
    "module_make": _module_step("make", "raises"),
    "module_start": _module_step("start", "raises", "raises late", "fails later", "hangs", "slow"),
    "module_stop": _module_step("stop", "raises", "hangs", "slow"),
    "module_message": _module_step("message", "raises", "nothing", "fails"),
    "burst": _burst,
    "disk": _disk,
    "clock_jump": _clock_jump,
}

CONTAINED: Final = (
    "broker_restart",
    "broker_cuts",
    "broker_silent",
    "broker_version",
    "stream_stalls",
    "filter_refused",
    "module_make",
    "module_start",
    "module_stop",
    "module_message",
    "burst",
    "disk",
    "clock_jump",
)
"""Kinds that others must not notice."""


@frozen
class Scope:
    """Whom the faults of a run concern.

    Attributes:
        modules: that may be hit.
        ports: of the brokers that may be.
        bystanders: modules that must not notice; none where a fault may concern all.
    """

    modules: Sequence[str]
    ports: Sequence[int]
    bystanders: frozenset[str] = frozenset()

    @classmethod
    def choose(cls, random: Random) -> Scope:
        """Choose all as a rule, or what uses one broker."""
        if random.random() < 0.8:
            return cls(tuple(PORTS), sorted(set(PORTS.values())))
        port = random.choice(sorted(set(PORTS.values())))
        modules = tuple(module for module in PORTS if PORTS[module] == port)
        return cls(modules, (port,), frozenset(PORTS) - set(modules))


class Faults:
    """Begins and ends faults by chance; each run has a subset of the kinds.

    What is chosen for one fault does not depend on the others, so that a run can be repeated
    without some of them.

    Args:
        world: in which they happen.
        seconds: how long.
        only: the numbers of those to let happen; None for all.

    Attributes:
        plan: number, time and kind of each.
    """

    def __init__(self, world: World, seconds: float, only: Collection[int] | None) -> None:
        self._world = world
        random = Random(f"{world.seed} faults")
        possible = CONTAINED if world.scope.bystanders else KINDS
        # Many kinds meet in ways that few do not, and few excuse less.
        share = random.choice((0.06, 0.15, 0.5))
        chosen = [kind for kind in possible if random.random() < share]
        kinds = [kind for kind in chosen if kind not in world.without] or ["clock_jump"]
        mean_s = random.choice((0.1, 0.5, 2.0, 5.0))
        time_s = 0.0
        self.plan: list[tuple[int, float, str]] = []
        while (time_s := time_s + random.expovariate(1 / mean_s)) < seconds:
            self.plan.append((len(self.plan), time_s, random.choice(kinds)))
        if only is not None:
            self.plan = [each for each in self.plan if each[0] in only]
        self._heals: list[Callable[[], None]] = []
        self._over = False

    def begin(self) -> None:
        """Let them happen from now on."""
        for number, time_s, kind in self.plan:
            self._world.clock.later(time_s, self._strike, number, kind)

    def heal(self) -> None:
        """End all."""
        self._over = True
        heals, self._heals = self._heals, []
        for heal in heals:
            heal()

    def _strike(self, number: int, kind: str) -> None:
        if self._over:
            return
        world = self._world
        world.chance = Random(f"{world.seed} {number}")
        world.episodes[kind] += 1
        world.note(f"fault {number}: {kind}")
        heal = KINDS[kind](world)
        if heal is not None:
            self._heals.append(heal)
            lasts_s = world.chance.choice((0.01, 0.3, 3.0, 15.0)) * world.chance.random()
            world.clock.later(lasts_s, self._end, number, heal)

    def _end(self, number: int, heal: Callable[[], None]) -> None:
        if heal in self._heals:
            self._heals.remove(heal)
            self._world.note(f"fault {number} is over")
            heal()
