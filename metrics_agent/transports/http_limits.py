"""What HTTP clients share: connections whose bytes are counted, and a body from memory."""

from __future__ import annotations

from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

__all__ = ["BoundedConnection", "BoundedEndpoint", "BytesProducer", "Counter"]


class Counter(Protocol):
    """Who counts."""

    def connected(self, connection: BoundedConnection) -> None:
        """Remember the connection, so that it can be ended."""
        ...

    def allows(self, count: int) -> bool:
        """Count bytes that came in; False if they are too many: they are not handed on."""
        ...


class BoundedConnection(ProtocolWrapper):
    """Counts what a connection delivers."""

    factory: _Factory

    def makeConnection(self, transport: Any) -> None:
        """Note the connection."""
        super().makeConnection(transport)
        self.factory.counter.connected(self)

    def dataReceived(self, data: bytes) -> None:
        """Hand on what is allowed."""
        if self.factory.counter.allows(len(data)):
            super().dataReceived(data)


class _Factory(WrappingFactory):
    protocol = BoundedConnection
    noisy = False

    def __init__(self, wrapped: Any, counter: Counter) -> None:
        super().__init__(wrapped)
        self.counter = counter


@frozen
class BoundedEndpoint:
    """An endpoint whose connections are counted.

    Attributes:
        endpoint: an IStreamClientEndpoint.
        counter: who counts.
    """

    endpoint: Any
    counter: Counter

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect; gives the protocol of the factory."""
        connecting: Deferred[Any] = self.endpoint.connect(_Factory(factory, self.counter))
        return connecting.addCallback(lambda wrapper: wrapper.wrappedProtocol)


@implementer(IBodyProducer)
class BytesProducer:
    """Sends a small body at once; Twisted's own reads a file with the global reactor."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Write all of it."""
        consumer.write(self._data)
        return succeed(None)

    def stopProducing(self) -> None:
        """Do nothing, all is sent."""

    def pauseProducing(self) -> None:
        """Do nothing, all is sent."""

    def resumeProducing(self) -> None:
        """Do nothing, all is sent."""
