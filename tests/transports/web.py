"""A web server in memory for tests of HTTP clients: connections, name resolution, no reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["Connection", "WebReactor"]


@implementer(IReactorPluggableNameResolver)
class WebReactor(MemoryReactorClock):
    """Resolves names, and hands out the connections that were made.

    Attributes:
        addresses: what a name resolves to; empty for a name that does not exist.
        resolving: whether the resolver answers at all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.nameResolver = self
        self.addresses = ["192.0.2.1"]
        self.resolving = True

    def resolveHostName(self, receiver: Any, name: str, portNumber: int = 0, **_more: Any) -> Any:
        receiver.resolutionBegan(self)
        if self.resolving:
            for address in self.addresses:
                receiver.addressResolved(IPv4Address("TCP", address, portNumber))
            receiver.resolutionComplete()
        return self

    def cancel(self) -> None:
        """Stop resolving."""

    def accept(self) -> Connection:
        """Accept the connection that was asked for last."""
        host, port, factory, _timeout, _bind = self.tcpClients.pop()
        return Connection(self, factory, host, port)

    def refuse(self) -> None:
        """Refuse it."""
        factory = self.tcpClients.pop()[2]
        factory.clientConnectionFailed(None, Failure(error.ConnectionRefusedError()))


class Connection(StringTransport):
    """The server's end of a connection.

    Attributes:
        closed: by either side; the protocol hears of it in the reactor's next turn.
    """

    def __init__(self, reactor: WebReactor, factory: Any, host: str, port: int) -> None:
        super().__init__()
        self.reactor = reactor
        self.host, self.port = host, port
        self.closed = False
        self.protocol = factory.buildProtocol(IPv4Address("TCP", host, port))
        self.protocol.makeConnection(self)

    def send(self, data: bytes) -> None:
        """Let the client receive bytes, as long as it is there."""
        if not self.closed:
            self.protocol.dataReceived(data)
            self.reactor.advance(0)

    def end(self, reason: BaseException | None = None) -> None:
        """End the connection."""
        self._close(reason or error.ConnectionDone())
        self.reactor.advance(0)

    def reply(self, body: bytes, status: str = "200 OK", **headers: str) -> None:
        """Send a whole answer."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def loseConnection(self) -> None:
        self._close(error.ConnectionDone())

    def abortConnection(self) -> None:
        self._close(error.ConnectionAborted())

    def _close(self, reason: BaseException) -> None:
        if not self.closed:
            self.closed = True
            self.reactor.callLater(0, self.protocol.connectionLost, Failure(reason))
