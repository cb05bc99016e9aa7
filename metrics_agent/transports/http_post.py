"""Posts to one address again and again: one request at a time, on a connection that is kept.

Bounded as `http.HttpClient` is: one time limit for a whole exchange, and one for the bytes that
come in. A longer body is read up to its limit, what follows is not waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from metrics_agent._version import __version__
from metrics_agent.cause import Cause, CauseError
from metrics_agent.http_interface import HttpReply
from metrics_agent.transports.http_faults import cause_of, causes_of, was_cancelled
from metrics_agent.transports.http_limits import BoundedConnection, BoundedEndpoint, BytesProducer
from metrics_agent.transports.reconnecting import Dial

__all__ = ["Poster"]

_OVERHEAD: Final = 64 * 1024
"""Bytes that an answer may take beside its body."""

_IDLE_S: Final = 60
"""A connection that was not used for so long is closed, before a server does: nginx after 75 s."""


@implementer(IAgentEndpointFactory)
class Poster:
    """Sends bodies to one URL.

    Args:
        reactor: the reactor.
        url: where to.
        dial: makes the way to its host, see `output.dial`.
        headers: of each request; the values may be secret.
        timeout_s: for one exchange as a whole.
        body_limit: bytes of an answer's body that are read.
    """

    def __init__(
        self,
        reactor: Any,
        url: str,
        *,
        dial: Callable[[], Dial],
        headers: Mapping[str, str],
        timeout_s: float,
        body_limit: int,
    ) -> None:
        self._reactor = reactor
        self._url = url.encode("ascii")
        self._dial = dial
        self._headers = Headers(
            {
                name: [value]
                for name, value in {
                    "User-Agent": f"metrics-agent/{__version__}",
                    "Accept-Encoding": "identity",
                    **headers,
                }.items()
            }
        )
        self._timeout_s = timeout_s
        self._body_limit = body_limit
        self._pool = HTTPConnectionPool(reactor, persistent=True)
        self._pool.maxPersistentPerHost = 1
        self._pool.cachedConnectionTimeout = _IDLE_S
        self._pool.retryAutomatically = False
        self._agent: Any = Agent.usingEndpointFactory(reactor, self, self._pool)
        self._connection: BoundedConnection | None = None
        self._way: Dial | None = None
        self._room = 0
        self._exchange: _Exchange | None = None

    def post(self, body: bytes) -> Deferred[HttpReply]:
        """Send a body; not while another one is on its way.

        Returns:
            A Deferred of the answer; fails with a CauseError if there is none in time. May be
            cancelled.
        """
        exchange = self._exchange = _Exchange()
        self._room = self._body_limit + _OVERHEAD
        work: Deferred[HttpReply] = ensureDeferred(self._work(body))

        def expire() -> None:
            exchange.fault = Cause("timeout", f"no answer within {self._timeout_s:g} s")
            work.cancel()

        deadline = self._reactor.callLater(self._timeout_s, expire)

        def over(result: HttpReply | Failure) -> HttpReply | Failure:
            self._exchange = None
            if deadline.active():
                deadline.cancel()
            if isinstance(result, Failure):
                # Whatever state it is in, the next request begins on a new one.
                self._abort()
                return self._explain(result, exchange)
            return result

        return work.addBoth(over)

    def close(self) -> Deferred[None]:
        """Close the connection that is kept."""
        self._abort()
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed

    # What Twisted's agent calls, and the connection.

    def endpointForURI(self, _uri: URI) -> Any:
        """Return the way to the server, with the limits on it."""
        self._way = self._dial()
        return BoundedEndpoint(self._way.endpoint, self)

    def connected(self, connection: BoundedConnection) -> None:
        """Remember the connection, so that it can be ended."""
        self._connection = connection
        if self._exchange is None:
            connection.abortConnection()

    def allows(self, count: int) -> bool:
        """Count bytes that came in; False if they are too many."""
        self._room -= count
        if self._room >= 0:
            return True
        if self._exchange is not None and self._exchange.fault is None:
            text = f"its answer is larger than {self._body_limit + _OVERHEAD} bytes"
            self._exchange.fault = Cause("too_large", text)
        self._abort()
        return False

    # Inside.

    async def _work(self, body: bytes) -> HttpReply:
        response = await self._agent.request(b"POST", self._url, self._headers, BytesProducer(body))
        received = _Body(self._body_limit)
        response.deliverBody(received)
        content = await received.complete
        if received.cut:
            self._abort()
        headers = {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in response.headers.getAllRawHeaders()
        }
        return HttpReply(response.code, content, headers)

    def _explain(self, failure: Failure, exchange: _Exchange) -> Failure:
        if exchange.fault is not None:
            return Failure(CauseError(exchange.fault))
        if isinstance(failure.value, CauseError):
            return failure
        fault: Any = failure.value
        causes = causes_of(fault)
        if was_cancelled(causes):
            return Failure(CancelledError())
        cause = cause_of(causes, self._timeout_s)
        return Failure(CauseError(cause if self._way is None else self._way.explain(cause)))

    def _abort(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abortConnection()


class _Exchange:
    """One request and its answer.

    Attributes:
        fault: why we ended it, None if we did not.
    """

    def __init__(self) -> None:
        self.fault: Cause | None = None


class _Body(Protocol):
    """Gathers a body up to its limit.

    Args:
        limit: bytes.

    Attributes:
        complete: fires with what was gathered.
        cut: there was more.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self.cut = False
        self.complete: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        if self.cut:
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size > self._limit:
            self.cut = True
            self.complete.callback(b"".join(self._pieces)[: self._limit])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.complete.called:
            return
        body = b"".join(self._pieces)
        if isinstance(reason.value, ResponseDone):
            self.complete.callback(body)
        elif isinstance(reason.value, PotentialDataLoss):
            # Without a length the end of the connection is the end of the body. If there is no
            # text before it, it may be a page that was cut, and must not count as an empty answer.
            if body.strip():
                self.complete.callback(body)
            else:
                self.complete.errback(Failure(ConnectionLost()))
        else:
            self.complete.errback(reason)
