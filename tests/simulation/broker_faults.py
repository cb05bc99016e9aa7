"""Faults of brokers that keep running: other clients, access rules, limits, expiry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tests.simulation.rival import Rival

if TYPE_CHECKING:
    from tests.simulation.broker import ModelBroker
    from tests.simulation.world import World

__all__ = ["BROKER_KINDS", "expire_sessions"]

_REFUSALS: Final = (
    *("client_id", "unavailable", "bad_login", "not_authorised", "busy", "banned", "quota", "rate"),
)


def _taken_over(world: World) -> Callable[[], None] | None:
    chance, broker = world.chance, world.chance.choice(world.scoped_brokers)
    held = [each for each in broker.sessions.values() if each.client and each.client.is_ours]
    if not held or not broker.up:
        return None
    rival = Rival(
        broker,
        chance.choice(held).client_id,
        clean=chance.random() < 0.2,
        returns_after_s=chance.choice((0.1, 1.0, 10.0)),
    )
    rival.join()
    return rival.leave


def _connect_refused(world: World) -> Callable[[], None]:
    broker = world.chance.choice(world.scoped_brokers)
    broker.refusal = world.chance.choice(_REFUSALS)
    _cut_some(world, broker)

    def heal() -> None:
        broker.refusal = ""

    return heal


def _access_withdrawn(world: World) -> Callable[[], None]:
    """Withhold messages without an error; half of the time refuse the subscription too."""
    broker = world.chance.choice(world.scoped_brokers)
    filters = {f"{module}/#" for module in world.scope.modules} | {"tele/#", "ha/#"}
    filters = {each for each in sorted(filters) if world.chance.random() < 0.5}
    broker.unreadable |= filters
    if world.chance.random() < 0.5:
        broker.refused_filters |= filters
        _cut_some(world, broker)

    def heal() -> None:
        broker.unreadable -= filters
        broker.refused_filters -= filters

    return heal


def _session_expired(world: World) -> None:
    for broker in world.scoped_brokers:
        expire_sessions(world, broker)


def expire_sessions(world: World, broker: ModelBroker) -> None:
    """End some sessions of a broker, with their connections."""
    for client in tuple(broker.clients):
        session = client.session
        if session is not None and world.chance.random() < 0.5:
            client.cut(in_order=world.chance.random() < 0.5)
            broker.end_session(session, "session_expired")


def _subscribe_cut(world: World) -> Callable[[], None]:
    """End connections as they subscribe: the session is there then, without the filters."""
    broker = world.chance.choice(world.scoped_brokers)
    broker.cuts_at_subscribe = world.chance.choice((1, 2, 5))
    expire_sessions(world, broker)

    def heal() -> None:
        broker.cuts_at_subscribe = 0

    return heal


def _queue_limit(world: World) -> Callable[[], None]:
    broker = world.chance.choice(world.scoped_brokers)
    options, usual = broker.options, broker.usual
    options.max_queued, options.max_queued_bytes = world.chance.choice(((1, 0), (20, 0), (0, 200)))

    def heal() -> None:
        options.max_queued, options.max_queued_bytes = usual.max_queued, usual.max_queued_bytes

    return heal


def _packet_size(world: World) -> Callable[[], None]:
    """Lower the broker's Maximum Packet Size, which clients learn when they connect."""
    broker = world.chance.choice(world.scoped_brokers)
    broker.options.max_packet = world.chance.choice((30, 90, 120, 200))
    _cut_some(world, broker, share=1.0)

    def heal() -> None:
        broker.options.max_packet = broker.usual.max_packet
        _cut_some(world, broker, share=1.0)

    return heal


def _cut_some(world: World, broker: ModelBroker, share: float = 0.5) -> None:
    for client in tuple(broker.clients):
        if world.chance.random() < share:
            client.cut(in_order=world.chance.random() < 0.5)


BROKER_KINDS: Final = {
    "taken_over": _taken_over,
    "connect_refused": _connect_refused,
    "access_withdrawn": _access_withdrawn,
    "session_expired": _session_expired,
    "subscribe_cut": _subscribe_cut,
    "queue_limit": _queue_limit,
    "packet_size": _packet_size,
}
