"""Messages at QoS 0 that have come to the agent's host, although it has not read them yet."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from metrics_agent.supervision.lifecycle import State
from metrics_agent.transports.mqtt.inflow import ENDING
from tests.simulation.configuration import module_of, owner_of

if TYPE_CHECKING:
    from tests.simulation.process import AgentProcess
    from tests.simulation.world import World

__all__ = ["Arrivals"]

_EVERY_S: Final = 0.01


class Arrivals:
    """Sends messages at QoS 0 to modules that run, just before a stop or a reload.

    Other losses at QoS 0 count from when the agent has read a message, these from when they were
    sent: both wait for what brokers have delivered. Unless something comes in between: a stream
    that stalls or is slow, an end of the connection that is not ours, a process or a module that
    does not run, or back-pressure in a reload.

    Args:
        world: of the simulation.
        process: gets them.
        modules: they are for.
        in_stop: it is a stop, which reads although the output is full.
    """

    def __init__(
        self, world: World, process: AgentProcess, modules: Collection[str], *, in_stop: bool
    ) -> None:
        self._world = world
        self._process = process
        self._in_stop = in_stop
        self._modules = {*modules}
        named = process.agent._parts.connections.named()
        self._links: dict[str, Any] = {
            module_of(instance): connection._link
            for instance, connection in named
            if module_of(instance) in modules and connection._link is not None
        }
        self._disturbed: set[str] = set()

    def send(self, count: int) -> None:
        """Send so many to each."""
        ledger = self._world.ledger
        if self._has_begun():
            # They come too late, or their modules do not run.
            self._links.clear()
        for module in self._modules - self._links.keys():
            self._disturb(module)
        self._look()
        for module in tuple(self._links):
            for _ in range(count):
                before = len(ledger.on_socket)
                self._world.send(module, 0)
                for key in list(ledger.on_socket)[before:]:
                    self._expect(module, key)

    def _expect(self, module: str, key: Any) -> None:
        on_socket = self._world.ledger.on_socket
        delivered = on_socket[key]
        if key in self._world.ledger.sent and owner_of(key[0]) == module:
            on_socket[key] = lambda: delivered() or module not in self._disturbed

    def _disturb(self, module: str) -> None:
        self._disturbed.add(module)
        if not self._in_stop:
            # A reload ends the connection then with all that is unread.
            self._world.excuse(module, 30.0)

    def _has_begun(self) -> bool:
        """Say whether the stop or the reload reads no more, or the process has ended."""
        reasons = self._process.agent._parts.connections._pause_reasons
        return not self._process.alive or "stop" in reasons or self._process.swaps_modules

    def _look(self) -> None:
        agent = self._process.agent
        if self._has_begun():
            # What ends these connections now is their goodbye.
            for module, link in self._links.items():
                if link.lost is not None and not link._said_goodbye:
                    self._disturb(module)
            if self._in_stop and self._process.swaps_modules:
                # A stop that came in a reload reads when that is over.
                self._world.clock.later(_EVERY_S, self._look)
            return
        running = {
            module_of(each.module_name) for each in agent.supervisors if each.state is State.RUNNING
        }
        is_away = self._process.reactor.is_frozen
        is_away |= not self._in_stop and agent._parts.sink._pressed
        for module, link in tuple(self._links.items()):
            if link._said_goodbye or ENDING in link.inflow._reasons:
                del self._links[module]
            elif is_away or module not in running or not _comes_at_once(link):
                self._disturb(module)
                del self._links[module]
        if self._links:
            self._world.clock.later(_EVERY_S, self._look)


def _comes_at_once(link: Any) -> bool:
    """Say whether what a broker sends is here at once."""
    if not link.alive:
        return False
    connection = link.transport._connection
    stream = connection.from_peer
    return not (connection.vanished or stream.stalled or stream.slow is not None)
