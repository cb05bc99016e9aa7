"""An HTTP client on which everything is bounded: time, size, where it goes.

One connection for each request, made for servers that are asked every few minutes. The time limit
holds for the whole exchange, from the name's look-up to the last byte of the body, so that a
server that sends a byte a minute is like one that is silent. The size limit counts
what the connection delivers, so that headers, chunk sizes and interim answers are within it too.
Nothing is decompressed (a small body could become a large one), no redirect is followed (it would
carry a token to another host), nothing is sent twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
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
from metrics_agent.transports.dial import dial_host
from metrics_agent.transports.http_faults import cause_of, causes_of, was_cancelled
from metrics_agent.transports.http_limits import BoundedConnection, BoundedEndpoint, BytesProducer
from metrics_agent.transports.settings import TlsSettings

__all__ = ["HttpClient"]

_HEADERS: Final = {
    "User-Agent": f"metrics-agent/{__version__}",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
}
_OVERHEAD: Final = 64 * 1024
"""Bytes that a reply may take beside its body."""


class HttpClient:
    """Sends requests, see `interfaces.Http`.

    Args:
        reactor: clock, TCP, name resolution.
        timeout_s: for one exchange as a whole.
        body_limit: bytes of a body.
        tls: the settings of TLS; None for the defaults.
        may_ask: says whether a request may begin; if not, it is cancelled.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        timeout_s: float,
        body_limit: int,
        tls: TlsSettings | None = None,
        may_ask: Callable[[], bool] = lambda: True,
    ) -> None:
        self._reactor = reactor
        self._timeout_s = timeout_s
        self._body_limit = body_limit
        self._tls = tls or TlsSettings()
        self._may_ask = may_ask

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """Get a resource."""
        if params:
            url += f"{'&' if '?' in url else '?'}{urlencode(params)}"
        return await self._request(b"GET", url, headers, None)

    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str] | None = None
    ) -> HttpReply:
        """Post a body."""
        return await self._request(b"POST", url, headers, body)

    async def _request(
        self,
        method: bytes,
        url: str,
        headers: Mapping[str, str] | None,
        body: bytes | None,
    ) -> HttpReply:
        if not self._may_ask():
            raise CancelledError
        attempt = _Attempt(self._reactor, _host(url), self._timeout_s, self._body_limit, self._tls)
        sent = Headers({name: [value] for name, value in {**_HEADERS, **(headers or {})}.items()})
        work = ensureDeferred(attempt.exchange(method, url, sent, body))
        deadline = self._reactor.callLater(self._timeout_s, attempt.expire, work)
        try:
            return await work
        except Exception as fault:
            raise attempt.explain(fault) from None
        finally:
            attempt.close()
            if deadline.active():
                deadline.cancel()


@implementer(IAgentEndpointFactory)
class _Attempt:
    """One exchange on its own connection: what is allowed, and what went wrong.

    Args:
        reactor: the reactor.
        host: for the texts.
        timeout_s, body_limit, tls: see `HttpClient`.
    """

    def __init__(
        self, reactor: Any, host: str, timeout_s: float, body_limit: int, tls: TlsSettings
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._timeout_s = timeout_s
        self._body_limit = body_limit
        self._room = body_limit + _OVERHEAD
        self._tls = tls
        self._explain: Callable[[Cause], Cause] | None = None
        self._connection: BoundedConnection | None = None
        self._fault: CauseError | None = None
        self._expired = False

    def endpointForURI(self, uri: URI) -> Any:
        """Return the way to a server, with the limits on it."""
        host = uri.host.decode("ascii").strip("[]")
        tls = self._tls if uri.scheme == b"https" else None
        way = dial_host(self._reactor, host, uri.port, self._timeout_s, tls)
        self._explain = way.explain
        return BoundedEndpoint(way.endpoint, self)

    # The connection.

    def connected(self, connection: BoundedConnection) -> None:
        """Remember the connection, so that it can be ended."""
        self._connection = connection
        if self._fault is not None or self._expired:
            connection.abortConnection()

    def allows(self, count: int) -> bool:
        """Count bytes that came in; False if they are too many."""
        self._room -= count
        if self._room >= 0:
            return True
        self._too_large()
        return False

    def abort(self, kind: str, text: str) -> CauseError:
        """End the exchange; the first reason counts."""
        if self._fault is None:
            self._fault = CauseError(Cause(kind, text).at(self._host))
        self.close()
        return self._fault

    def _too_large(self) -> CauseError:
        return self.abort("too_large", f"its answer is larger than {self._body_limit} bytes")

    def expire(self, work: Deferred[Any]) -> None:
        """End the exchange, its time is over."""
        self._expired = True
        work.cancel()
        self.close()

    def close(self) -> None:
        """Leave no connection behind."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abortConnection()

    # The result.

    async def exchange(
        self, method: bytes, url: str, headers: Headers, body: bytes | None
    ) -> HttpReply:
        """Send a request; wait for the answer and its body."""
        pool = HTTPConnectionPool(self._reactor, persistent=False)
        agent = Agent.usingEndpointFactory(self._reactor, self, pool)
        producer = None if body is None else BytesProducer(body)
        response = await agent.request(method, url.encode("ascii"), headers, producer)
        coding = b",".join(response.headers.getRawHeaders(b"content-encoding", []))
        if coding.strip().lower() not in {b"", b"identity"}:
            raise self.abort("encoding", f"its answer is encoded as {coding[:40]!r}, unasked")
        length = response.length
        if isinstance(length, int) and length > self._body_limit:
            raise self._too_large()
        received = _Body(self)
        response.deliverBody(received)
        content = await received.complete
        if len(content) > self._body_limit:
            raise self._too_large()
        reply_headers = {
            name.decode("latin-1").lower(): values[-1].decode("latin-1")
            for name, values in response.headers.getAllRawHeaders()
        }
        return HttpReply(response.code, content, reply_headers)

    def explain(self, fault: Exception) -> Exception:
        """Return what to raise: a CauseError, or the cancellation if the caller cancelled."""
        if self._fault is not None:
            return self._fault
        if self._expired:
            cause = Cause("timeout", f"no answer within {self._timeout_s:g} s")
            return CauseError(cause.at(self._host))
        causes = causes_of(fault)
        if was_cancelled(causes):
            return CancelledError()
        cause = cause_of(causes, self._timeout_s)
        if self._explain is not None:
            cause = self._explain(cause)
        return CauseError(cause.at(self._host))


class _Body(Protocol):
    """Gathers a body."""

    def __init__(self, attempt: _Attempt) -> None:
        self._pieces: list[bytes] = []
        self.complete: Deferred[bytes] = Deferred(lambda _complete: attempt.close())

    def dataReceived(self, data: bytes) -> None:
        self._pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.complete.called:
            return
        # Without a length the end of the connection is the end of the body.
        if isinstance(reason.value, (ResponseDone, PotentialDataLoss)):
            self.complete.callback(b"".join(self._pieces))
        else:
            self.complete.errback(reason)


def _host(url: str) -> str:
    return urlsplit(url).hostname or url[:60]
