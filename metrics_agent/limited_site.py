"""A web server for a few browsers: one request a connection, and a limit on all a client can do.

A connection has some seconds to send its request, however the bytes come, and as many to take each
part of the answer. When there are too many connections, of all clients or of one, the oldest that
is not being answered makes room, so that holding connections open keeps no other client out.
Nothing of a request is logged, and no answer names a server or its version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

__all__ = ["LimitedSite", "SiteLimits"]


@frozen
class SiteLimits:
    """What clients may do.

    Attributes:
        connections: at a time.
        connections_per_peer: those from one address.
        headers: lines of a request.
        header_bytes: of all of them.
        body_bytes: of a request.
        patience_s: how long a client may take to send its request, and to take the answer.
    """

    connections: int
    connections_per_peer: int
    headers: int
    header_bytes: int
    body_bytes: int
    patience_s: float = 10.0


class LimitedSite(Site):
    """Makes the connections, and knows them.

    Args:
        root: answers all requests.
        limits: see there.
        reactor: the clock.
    """

    noisy = False
    displayTracebacks = False

    def __init__(self, root: Resource, limits: SiteLimits, reactor: Any) -> None:
        # The deadline of `_Channel` takes the place of the timeout for silence.
        super().__init__(root, _Request, timeout=None, reactor=reactor)
        self.protocol = _Channel  # type: ignore[assignment]  # what Twisted uses chooses HTTP/2
        self.limits = limits
        self._channels: dict[_Channel, str] = {}

    def startFactory(self) -> None:
        """Set no timer for the time in an access log that is not written."""

    def log(self, request: Any) -> None:
        """Write nothing: an address may hold a secret."""

    def buildProtocol(self, addr: Any) -> Any:
        """Make the protocol of a connection; None, which ends it, if there is no room for it."""
        peer = getattr(addr, "host", "")
        ours = [channel for channel, other in self._channels.items() if other == peer]
        if len(ours) >= self.limits.connections_per_peer and not _drop_oldest(ours):
            return None
        if len(self._channels) >= self.limits.connections and not _drop_oldest([*self._channels]):
            return None
        channel: Any = super().buildProtocol(addr)
        self._channels[channel] = peer
        return channel

    def ended(self, channel: _Channel) -> None:
        """Forget a connection."""
        self._channels.pop(channel, None)

    def drop_connections(self) -> None:
        """End what connections are left, after they have sent what they have to send."""
        for channel in [*self._channels]:
            channel.loseConnection()

    def cut_connections(self) -> None:
        """End what connections are left at once."""
        for channel in [*self._channels]:
            channel.drop()


def _drop_oldest(channels: list[_Channel]) -> bool:
    """End the first connection of a list whose request is not being answered."""
    for channel in channels:
        if not channel.is_answering:
            channel.drop()
            return True
    return False


class _Channel(HTTPChannel):
    """A connection: one request, within limits."""

    site: LimitedSite
    callLater: Callable[..., Any]
    is_answering = False
    _deadline: Any = None

    def connectionMade(self) -> None:
        limits = self.site.limits
        self.maxHeaders = limits.headers
        self.totalHeadersSize = self.MAX_LENGTH = limits.header_bytes
        super().connectionMade()
        self.renew_deadline()

    def checkPersistence(self, request: Any, _version: bytes) -> bool:
        """End the connection after the answer: another request would need limits of its own."""
        request.responseHeaders.setRawHeaders(b"connection", [b"close"])
        return False

    def allContentReceived(self) -> None:
        self._cancel_deadline()
        self.is_answering = True
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        self.is_answering = False
        self.renew_deadline()
        super().requestDone(request)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._cancel_deadline()
        self.site.ended(self)
        super().connectionLost(reason)

    def drop(self) -> None:
        """End the connection at once."""
        self.site.ended(self)
        self.transport.abortConnection()  # type: ignore[union-attr]

    def renew_deadline(self) -> None:
        """Give the client its time again: to send its request, or to take what it was sent."""
        self._cancel_deadline()
        self._deadline = self.callLater(self.site.limits.patience_s, self.drop)

    def _cancel_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()


class _Request(Request):
    """A request that holds no more than a form's few bytes."""

    channel: Any

    def gotLength(self, length: int | None) -> None:
        if length is None or length > self.channel.site.limits.body_bytes:
            self.channel.drop()
            length = 0
        super().gotLength(length)

    def process(self) -> None:
        if self.path == b"*":
            # Twisted answers this one itself.
            self.path = b"/*"
        super().process()

    def setHeader(self, name: Any, value: Any) -> None:
        """Set a header of the answer, but never the name and version of the server."""
        if name.lower() not in {b"server", "server"}:
            super().setHeader(name, value)
