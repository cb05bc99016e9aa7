"""Between a subscriber and its broker: notes what is delivered and what is acknowledged.

With it every number can be accounted for. What a subscriber has acknowledged and not written is
its own loss; what it never acknowledged and does not get again is the broker's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol

from benchmarks import packets
from benchmarks.endurance.ledger import Series

__all__ = ["Notes", "Pair", "Tap"]

_NUMBER: Final = re.compile(rb'"Total":(\d+)')
_CONNECT_LIMIT_S: Final = 3.0
_QOS: Final = 0x06
_LEVEL_AT: Final = 6
_LEVEL_5: Final = 5
"""Where the version is in a CONNECT, and that of MQTT 5."""


@define
class Notes:
    """What passed between a subscriber and its brokers, by device.

    Attributes:
        delivered: numbers that a broker has sent at QoS 1.
        acknowledged: those for which the subscriber has sent a PUBACK.
        subscribed: by filter, how many SUBSCRIBEs were answered.
    """

    subscribed: Counter[str] = field(factory=Counter)
    delivered: dict[str, Series] = field(factory=dict)
    acknowledged: dict[str, Series] = field(factory=dict)


class Tap:
    """A port that leads to a broker's; ends with the case.

    Args:
        case: whose cleanup ends it.
        broker_port: on the loopback interface.
        notes: shared by the taps of one subscriber.

    Attributes:
        port: to connect to.
        connections: that are open to the broker.
    """

    def __init__(self, case: Any, broker_port: int, notes: Notes) -> None:
        self.broker_port = broker_port
        self.notes = notes
        self.connections: set[Pair] = set()
        self._factory = Factory.forProtocol(_Near)
        self._factory.tap = self
        self._listener = reactor.listenTCP(0, self._factory, interface="127.0.0.1")
        self.port = self._listener.getHost().port
        case.addCleanup(self.end)

    @property
    def in_use(self) -> bool:
        """Whether the subscriber is connected to this broker."""
        return bool(self.connections)

    def close(self) -> Any:
        """Refuse connections, as the port of a broker that does not run."""
        listener, self._listener = self._listener, None
        return None if listener is None else listener.stopListening()

    def open(self) -> None:
        """Accept connections again."""
        if self._listener is None:
            self._listener = reactor.listenTCP(self.port, self._factory, interface="127.0.0.1")

    def end(self) -> Any:
        """Close all."""
        for pair in list(self.connections):
            pair.close()
        return self.close()


@define(eq=False)
class Pair:
    """One connection: the subscriber's half, the broker's half.

    Attributes:
        notes: where to write.
        near, far: the transports; the broker's is None until there is one.
        on_close: called when it ends.
    """

    notes: Notes
    near: Any
    far: Any = None
    on_close: Callable[[Pair], object] = lambda _pair: None
    closed: bool = False
    _waiting: list[bytes] = field(factory=list)
    _v5: bool = False
    _filters: dict[bytes, list[str]] = field(factory=dict)
    _numbers: dict[int, tuple[str, int]] = field(factory=dict)
    _from_broker: packets.PacketReader = field(factory=packets.PacketReader)
    _from_subscriber: packets.PacketReader = field(factory=packets.PacketReader)

    def opened(self, far: Any) -> None:
        """Take the broker's transport."""
        self.far = far
        # A subscriber that does not read holds up the broker as without a tap.
        far.registerProducer(self.near, True)
        self.near.registerProducer(far, True)
        for data in self._waiting:
            far.write(data)
        self._waiting.clear()

    def up(self, data: bytes) -> None:
        """Take what the subscriber has sent."""
        for first, body in self._from_subscriber.feed(data):
            if first >> 4 == packets.CONNECT:
                self._v5 = body[_LEVEL_AT] == _LEVEL_5
            elif first >> 4 == packets.SUBSCRIBE:
                self._filters[body[:2]] = list(packets.filters(body, v5=self._v5))
            elif first >> 4 == packets.PUBACK:
                known = self._numbers.pop(int.from_bytes(body[:2], "big"), None)
                if known is not None:
                    _note(self.notes.acknowledged, *known)
        if self.far is None:
            self._waiting.append(data)
        else:
            self.far.write(data)

    def down(self, data: bytes) -> None:
        """Take what the broker has sent."""
        for first, body in self._from_broker.feed(data):
            if first >> 4 == packets.SUBACK:
                self.notes.subscribed.update(self._filters.pop(body[:2], ()))
            elif first >> 4 == packets.PUBLISH and first & _QOS:
                end = 2 + int.from_bytes(body[:2], "big")
                match = _NUMBER.search(body, end)
                if match is not None:
                    device = body[2:end].decode().split("/")[1]
                    known = device, int(match[1])
                    self._numbers[int.from_bytes(body[end : end + 2], "big")] = known
                    _note(self.notes.delivered, *known)
        self.near.write(data)

    def close(self) -> None:
        """End both halves."""
        if not self.closed:
            self.closed = True
            self.on_close(self)
            for half in (self.near, self.far):
                if half is not None:
                    half.unregisterProducer()
                    half.loseConnection()


class _Near(Protocol):
    """The subscriber's half."""

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        tap = self.factory.tap
        self._pair = Pair(tap.notes, self.transport, on_close=tap.connections.discard)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", tap.broker_port, _CONNECT_LIMIT_S)
        connectProtocol(endpoint, _Far(self._pair, tap)).addErrback(lambda _why: self._pair.close())

    def dataReceived(self, data: bytes) -> None:
        self._pair.up(data)

    def connectionLost(self, reason: Any = None) -> None:
        del reason
        self._pair.close()


class _Far(Protocol):
    """The broker's half."""

    def __init__(self, pair: Pair, tap: Tap) -> None:
        self._pair = pair
        self._tap = tap

    def connectionMade(self) -> None:
        if self._pair.closed:
            self.transport.loseConnection()
            return
        self.transport.setTcpNoDelay(True)
        self._tap.connections.add(self._pair)
        self._pair.opened(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self._pair.down(data)

    def connectionLost(self, reason: Any = None) -> None:
        del reason
        self._pair.close()


def _note(series: dict[str, Series], device: str, number: int) -> None:
    series.setdefault(device, Series()).take(number)
