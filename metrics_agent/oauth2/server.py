"""The login page's web server: one request a connection, and a limit on all that a client can do.

A connection has 10 s to send its request, however the bytes come. When there are too many
connections, of all clients or of one, the oldest that is not being answered makes room, so that
holding connections open keeps no other client out. Nothing of a request is logged, and no
answer names a server or its version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from metrics_agent.limits import (
    LOGIN_BODY_BYTES,
    LOGIN_CONNECTIONS,
    LOGIN_CONNECTIONS_PER_PEER,
    LOGIN_HEADER_BYTES,
    LOGIN_HEADERS,
    LOGIN_PEERS,
    LOGIN_REQUESTS_PER_MINUTE,
)

__all__ = ["LoginSite", "RequestCounter"]

_REQUEST_S: Final = 10.0
"""How long a client may take to send its request, and to take the answer."""

_MINUTE_S: Final = 60.0


class LoginSite(Site):
    """Makes the connections, and knows them.

    Args:
        root: answers all requests.
        reactor: the clock.
    """

    noisy = False
    displayTracebacks = False

    def __init__(self, root: Resource, reactor: Any) -> None:
        # The deadline of `_Channel` takes the place of the timeout for silence.
        super().__init__(root, _Request, timeout=None, reactor=reactor)
        self.protocol = _Channel  # type: ignore[assignment]  # what Twisted uses chooses HTTP/2
        self._channels: dict[_Channel, str] = {}

    def log(self, request: Any) -> None:
        """Write nothing: an address may hold a code."""

    def buildProtocol(self, addr: Any) -> Any:
        """Make the protocol of a connection; None, which ends it, if there is no room for it."""
        peer = getattr(addr, "host", "")
        ours = [channel for channel, other in self._channels.items() if other == peer]
        if len(ours) >= LOGIN_CONNECTIONS_PER_PEER and not _drop_oldest(ours):
            return None
        if len(self._channels) >= LOGIN_CONNECTIONS and not _drop_oldest([*self._channels]):
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


def _drop_oldest(channels: list[_Channel]) -> bool:
    """End the first connection of a list whose request is not being answered."""
    for channel in channels:
        if not channel.is_answering:
            channel.drop()
            return True
    return False


class _Channel(HTTPChannel):
    """A connection: one request, within limits."""

    maxHeaders = LOGIN_HEADERS
    totalHeadersSize = LOGIN_HEADER_BYTES
    MAX_LENGTH = LOGIN_HEADER_BYTES
    site: LoginSite
    callLater: Callable[..., Any]
    is_answering = False
    _deadline: Any = None

    def connectionMade(self) -> None:
        super().connectionMade()
        self._set_deadline()

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
        self._set_deadline()
        super().requestDone(request)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._cancel_deadline()
        self.site.ended(self)
        super().connectionLost(reason)

    def drop(self) -> None:
        """End the connection at once."""
        self.site.ended(self)
        self.transport.abortConnection()  # type: ignore[union-attr]

    def _set_deadline(self) -> None:
        self._deadline = self.callLater(_REQUEST_S, self.drop)

    def _cancel_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()


class _Request(Request):
    """A request that holds no more than a form's few bytes."""

    channel: Any

    def gotLength(self, length: int | None) -> None:
        if length is None or length > LOGIN_BODY_BYTES:
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


class RequestCounter:
    """Counts the requests of each client within a minute.

    Args:
        seconds: the reactor's clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._since_s = seconds()
        self._counts: dict[str, int] = {}

    def allows(self, peer: str) -> bool:
        """Count a request; return whether it is within the limit."""
        now_s = self._seconds()
        if now_s - self._since_s >= _MINUTE_S:
            self._since_s = now_s
            self._counts.clear()
        if peer not in self._counts and len(self._counts) >= LOGIN_PEERS:
            peer = ""  # all further ones together
        count = self._counts[peer] = self._counts.get(peer, 0) + 1
        return count <= LOGIN_REQUESTS_PER_MINUTE
