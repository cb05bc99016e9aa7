"""A connection that ends while messages that it has brought wait for announcements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.configuration import PORTS, module_of

if TYPE_CHECKING:
    from tests.simulation.broker import ModelBroker
    from tests.simulation.broker_client import BrokerClient
    from tests.simulation.network import Stream
    from tests.simulation.process import AgentProcess
    from tests.simulation.world import World

__all__ = ["lost_while_set_aside"]

_LOOK_EVERY_S: Final = 0.01
_LOOKS: Final = 1000
_SUBSCRIBING_S: Final = 0.5
"""How long the broker takes to subscribe: messages of a session wait meanwhile."""
_LAST: Final = 30
_SHUTTING_DOWN: Final = 0x8B
"""Reason code of DISCONNECT, MQTT 5."""
_WAYS: Final = (
    "says why",
    "vanishes",
    "falls silent",
    "closes as modules restart",
    "closes in a stop",
)


def lost_while_set_aside(world: World) -> Callable[[], None] | None:
    """End connections to a broker, and end the new ones once they have set messages aside."""
    broker = world.chance.choice(world.scoped_brokers)
    return _Losses(world, broker).heal if broker.up else None


class _Losses:
    """The connections to a broker, which end in one way."""

    def __init__(self, world: World, broker: ModelBroker) -> None:
        self._world, self._broker = world, broker
        self._way = world.chance.choice(_WAYS)
        self._stalled: list[Stream] = []
        self._subscribing_s = broker.options.subscribing_s
        broker.options.subscribing_s = _SUBSCRIBING_S
        for client in tuple(broker.clients):
            client.cut()
        self._look(_LOOKS)

    def heal(self) -> None:
        """Have the broker answer, and subscribe as fast as before."""
        for stream in self._stalled:
            stream.free()
        self._broker.options.subscribing_s = self._subscribing_s

    def _look(self, times: int) -> None:
        world, process = self._world, self._world.process
        if world.heals or not times or process is None or not process.alive:
            return
        waiting = dict(_waiting(process))
        for client in tuple(self._broker.clients):
            module, gate = waiting.get(client.connection, ("", None))
            if gate is not None and gate._frames:
                self._end(client, process)
            elif module:
                world.send(module, 0)
        world.clock.later(_LOOK_EVERY_S, self._look, times - 1)

    def _end(self, client: BrokerClient, process: AgentProcess) -> None:
        if self._way == "says why":
            client.say_goodbye(_SHUTTING_DOWN)
        elif self._way == "vanishes":
            client.connection.vanish()
        elif self._way == "falls silent":
            for stream in (client.connection.to_peer, client.connection.from_peer):
                stream.stalled = True
                self._stalled.append(stream)
        elif self._way == "closes in a stop":
            process.terminate()
            self._world.clock.later(0.01 * self._world.chance.random(), self._send_last, client)
        else:
            client.cut(in_order=True)
            self._world.clock.later(0.01 * self._world.chance.random(), process.hang_up)

    def _send_last(self, client: BrokerClient) -> None:
        """Send much, which is read together with the end."""
        for module, port in PORTS.items():
            if self._world.brokers[port] is self._broker and module in self._world.scope.modules:
                for _ in range(_LAST):
                    self._world.send(module, 0)
        client.cut(in_order=True)


def _waiting(process: AgentProcess) -> Iterator[tuple[Any, tuple[str, Any]]]:
    """Yield the connections that await announcements, each with its module and what waits."""
    for instance, connection in process.agent._parts.connections.named():
        link, module = connection._link, module_of(instance)
        if module in PORTS and link is not None and link.inflow.announcement_gate.active:
            yield link.transport._connection, (module, link.inflow.announcement_gate)
