"""The kinds of faults: how each begins and, if it lasts, how it ends."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tests.simulation.announced import ANNOUNCED_KINDS
from tests.simulation.broker_faults import BROKER_KINDS, expire_sessions
from tests.simulation.configuration import BROKEN, GLOBALS, NUMBERED
from tests.simulation.http_device_faults import DEVICE_KINDS
from tests.simulation.http_faults import HTTP_KINDS
from tests.simulation.joint_faults import JOINT_KINDS, MOST_WAITING, numbered
from tests.simulation.recovery import backlog

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["KINDS", "Fault", "Heal"]

Heal = Callable[[], None] | None
Fault = Callable[["World"], Heal]


def _sighup(world: World) -> Heal:
    if world.process is not None and world.process.alive:
        world.process.hang_up()
    elif world.signals is not None:
        world.signals.send(signal.SIGHUP)
    return None


def _sighup_then_sigterm(world: World) -> Heal:
    process = world.process
    if process is not None:
        process.hang_up()
        delay_s = world.chance.choice((0.0, 0.001, 0.02, 0.06, 0.3)) * world.chance.random()
        world.clock.later(delay_s, process.terminate)
    return None


def _signal(*numbers: signal.Signals) -> Fault:
    """Send these, which also a process gets that is starting, with up to some seconds between."""

    def fault(world: World) -> Heal:
        chance, signals = world.chance, world.signals
        if signals is None:
            return None
        signals.send(numbers[0])
        for number in numbers[1:]:
            delay_s = chance.choice((0.0, 0.02, 0.999, 1.001, 3.0)) * chance.choice(
                (1.0, chance.random())
            )
            world.clock.later(delay_s, signals.send, number)
        return None

    return fault


def _signals_at_start(world: World) -> Heal:
    """Have the next process get signals before anything of it is there."""
    chance = world.chance
    numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
    world.early_signals[:] = [chance.choice(numbers) for _ in range(chance.choice((1, 1, 2, 3)))]
    if chance.random() < 0.5:
        world.kill_agent()
    return world.early_signals.clear


def _kill(world: World) -> Heal:
    world.kill_agent()
    return None


def _freeze(world: World) -> Heal:
    process = world.process
    if process is None:
        return None
    world.excuse_unconnected(process, 15.0)
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
    # Its connection ends, under back-pressure together with unread and set-aside messages.
    world.excuse(module, 30.0)
    world.config.write()
    return _sighup(world)


def _reload_without(world: World) -> Heal:
    module = world.chance.choice(world.scope.modules)
    world.config.modules[module] = False
    world.config.absent = world.chance.random() < 0.5
    world.excuse(module, 30.0)
    world.config.write()
    _sighup(world)

    def heal() -> None:
        world.config.modules[module] = True
        world.config.write()
        _sighup(world)

    return heal


def _reload_broken(world: World) -> Heal:
    world.config.write(world.chance.choice(BROKEN))
    _sighup(world)
    return world.config.write


def _config_unreadable(world: World) -> Heal:
    world.config.damage(world.chance)
    world.excuse("", 30.0)
    if world.chance.random() < 0.5:
        _sighup(world)

    def heal() -> None:
        world.config.write()
        _sighup(world)

    return heal


def _reload_renamed(world: World) -> Heal:
    config = world.config
    module = world.chance.choice(NUMBERED)
    world.excuse(module, 30.0)
    config.renamed ^= {module}
    config.write()
    _sighup(world)

    def heal() -> None:
        if module in config.renamed:
            world.excuse(module, 30.0)
            config.renamed -= {module}
            config.write()
            _sighup(world)

    return heal


def _reload_global(world: World) -> Heal:
    world.config.settings = world.chance.choice(GLOBALS)
    world.config.write()
    return _sighup(world)


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
            stream.free()

    return heal


def _link_slow(world: World) -> Heal:
    chance = world.chance
    slow = [
        stream
        for broker in world.scoped_brokers
        for client in broker.clients
        for stream in (client.connection.to_peer, client.connection.from_peer)
        if chance.random() < 0.5
    ]
    for stream in slow:
        stream.slow = chance.choice((0.002, 0.05, 0.5)), chance.choice((10, 200, 1460))

    def heal() -> None:
        for stream in slow:
            stream.free()

    return heal


def _filter_refused(world: World) -> Heal:
    broker = world.chance.choice(world.scoped_brokers)
    names = {f"{name}/#" for name in world.scope.modules if world.chance.random() < 0.5}
    broker.refused_filters |= names
    if world.chance.random() < 0.8:
        # A session's filters stay in force without a new SUBSCRIBE.
        expire_sessions(world, broker)

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
    if world.process is not None and world.process.alive:
        world.process.stdin.end()
    return None


def _module_step(step: str, *ways: str) -> Fault:
    def fault(world: World) -> Heal:
        module = world.chance.choice(numbered(world))
        wrong, times = world.chance.choice(ways), world.chance.choice((1, 2, 5))
        instance = world.config.instance(module)
        world.steps.go_wrong(instance, step, wrong, times)
        if step == "start" and wrong in {"hangs", "slow"} and world.chance.random() < 0.5:
            # As a rule its stop takes its time too.
            world.steps.go_wrong(instance, "stop", "slow", times)
        wants_reload = step in {"start", "stop", "make"} and not world.scope.bystanders
        if wants_reload and world.chance.random() < 0.7:
            _sighup(world)
        return None

    return fault


def _power(world: World) -> Heal:
    world.lose_power()
    return None


def _slow_disk(world: World) -> Heal:
    world.clock.thread_s = 20.0

    def heal() -> None:
        world.clock.thread_s = 1.0

    return heal


def _burst(world: World) -> Heal:
    if backlog(world) > MOST_WAITING:
        return None
    module = world.chance.choice(world.scope.modules)
    qos = world.chance.randint(0, 1)
    for _ in range(world.chance.choice((100, 300, 1500))):
        world.send(module, qos)
    return None


def _disk(world: World) -> Heal:
    chance, disk = world.chance, world.disk
    disk.error = chance.choice((errno.ENOSPC, errno.EROFS, errno.EIO, errno.EACCES))
    disk.fails_in = chance.choice((None, chance.randint(0, 10)))
    disk.unreadable = chance.random() < 0.3

    return world.disk.heal


def _clock_jump(world: World) -> Heal:
    seconds = world.chance.choice((-3600, -10, 10, 3600, 86400))
    # Not by whole seconds: messages sent once a second would get the same times again.
    world.clock.wall_offset_ns += round((seconds + world.chance.random()) * 10**9)
    return None


KINDS: Final[dict[str, Fault]] = {
    "sighup": _sighup,
    "sighup_then_sigterm": _sighup_then_sigterm,
    "sigterm": _signal(signal.SIGTERM),
    "sigint": _signal(signal.SIGINT),
    "sigterm_again": _signal(signal.SIGTERM, signal.SIGTERM),
    "sigint_and_sigterm": _signal(signal.SIGINT, signal.SIGTERM),
    "sigterm_then_sighup": _signal(signal.SIGTERM, signal.SIGHUP),
    "signals_at_start": _signals_at_start,
    "kill": _kill,
    "power": _power,
    "freeze": _freeze,
    "reload_changed": _reload_changed,
    "reload_without": _reload_without,
    "reload_broken": _reload_broken,
    "reload_renamed": _reload_renamed,
    "reload_global": _reload_global,
    "config_unreadable": _config_unreadable,
    "broker_restart": _broker_restart,
    "broker_cuts": _broker_cuts,
    "broker_silent": _broker_silent,
    "broker_version": _broker_version,
    **BROKER_KINDS,
    **JOINT_KINDS,
    "connection_vanishes": _connection_vanishes,
    "stream_stalls": _stream_stalls,
    "link_slow": _link_slow,
    "filter_refused": _filter_refused,
    "reader_stalls": _reader_stalls,
    "reader_slow": _reader_slow,
    "reader_dies": _reader_dies,
    "output_cut": _output_cut,
    "stdin_speaks": _stdin_speaks,
    "stdin_ends": _stdin_ends,
    "module_make": _module_step("make", "raises"),
    "module_start": _module_step(
        "start", "raises", "exits", "raises late", "fails later", "hangs", "hangs", "slow"
    ),
    "module_stop": _module_step("stop", "raises", "exits", "hangs", "slow"),
    "module_message": _module_step("message", "raises", "exits", "nothing", "fails"),
    "module_tick": _module_step("tick", "raises", "exits", "hangs", "late", "fails"),
    "module_timer": _module_step("timer", "raises", "exits"),
    "module_work": _module_step("work", "raises", "exits", "hangs", "late"),
    "module_callback": _module_step("callback", "raises", "exits", "late"),
    "module_thread": _module_step("thread", "raises", "exits", "hangs", "late"),
    **DEVICE_KINDS,
    **ANNOUNCED_KINDS,
    **HTTP_KINDS,
    "burst": _burst,
    "disk": _disk,
    "slow_disk": _slow_disk,
    "clock_jump": _clock_jump,
}
