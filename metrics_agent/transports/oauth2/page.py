"""The page where a person logs in: a small web server, by default on loopback, for a few minutes.

::

    GET  /          the first page
    POST /start     begins a login and sends the browser to the service
    GET  <path of the redirect address>?code=...&state=...
                    the browser comes back; ends in one of
    GET  /done      GET /failed

The code in the address that the browser comes back to is used at once, and the browser goes on to
an address without it, so that neither its history nor a reload shows or sends it again. Nothing
is logged of a request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from metrics_agent.errors import MetricsAgentError
from metrics_agent.transports.oauth2.logins import Granted, Logins, RedirectRefused, Unknown
from metrics_agent.transports.oauth2.pages import STYLE_SOURCE, Look, Page
from metrics_agent.transports.oauth2.provider import Provider

__all__ = ["CannotServe", "LoginPage"]

_COOKIE: Final = b"metrics_agent_login"
_MAX_BODY: Final = 4096
_MAX_CONNECTIONS: Final = 32
_IDLE_S: Final = 30
_LINGER_S: Final = 10.0
"""How long after a success the last page can still be had, if no browser asks for it before."""

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class CannotServe(MetricsAgentError):  # noqa: N818 - says what is the case
    """The port cannot be had."""


class LoginPage:
    """The page, and its server.

    Args:
        reactor: the reactor.
        host, port: where to listen.
        provider: who people log in to.
        look: what the pages say.
        logins: the logins under way.
        finish: turns a code into tokens; what it raises is shown.
        log: where to; nothing of a request.

    Attributes:
        address: of the first page.
        completed: fires when a login is complete and the page is closed.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        provider: Provider,
        look: Look,
        logins: Logins,
        finish: Callable[[Granted], Awaitable[None]],
        log: Logger,
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        root = _Root(self, provider, look, logins, finish, log)
        site = _Site(root, _Request, timeout=_IDLE_S, reactor=reactor)  # type: ignore[no-untyped-call]
        self._server = _Few(site)  # type: ignore[no-untyped-call]  # Twisted's is
        self._listening: Any = None
        self._end: Any = None
        self.address = _first_address(provider.redirect_uri)
        self.completed: Deferred[None] = Deferred()

    def start(self) -> None:
        """Begin to listen.

        Raises:
            CannotServe: somebody else has the port, or there is no such host.
        """
        try:
            self._listening = self._reactor.listenTCP(
                self._port, self._server, interface=self._host, backlog=_MAX_CONNECTIONS
            )
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or error.socketError
            raise CannotServe(f"{self._host} port {self._port}: {reason}") from None

    @property
    def is_completing(self) -> bool:
        """A login is complete, and the browser may still ask for the last page."""
        return self._end is not None

    def succeeded(self) -> None:
        """Close when the browser has its last page."""
        if self._end is None:
            self._end = self._reactor.callLater(_LINGER_S, self._linger_over)

    def last_page_sent(self) -> None:
        """Close soon."""
        if self._end is not None and self._end.active():
            self._end.reset(0)

    def _linger_over(self) -> None:
        self._end = None
        self.stop().addCallback(self.completed.callback)

    def stop(self) -> Deferred[None]:
        """Close; harmless before the start and the second time."""
        end, self._end = self._end, None
        if end is not None and end.active():
            end.cancel()
        listening, self._listening = self._listening, None
        done: Deferred[None] = Deferred()
        if listening is None:
            done.callback(None)
            return done
        stopped = listening.stopListening()
        self._server.drop_connections()
        if isinstance(stopped, Deferred):
            stopped.addBoth(lambda _result: done.callback(None))
        else:
            done.callback(None)
        return done


async def _awaited(work: Awaitable[Any]) -> None:
    await work


def _first_address(redirect_uri: str) -> str:
    parts = urlsplit(redirect_uri)
    return f"{parts.scheme}://{parts.netloc}/"


class _Request(Request):
    """A request that holds no more than a form's few bytes."""

    channel: Any

    def gotLength(self, length: int | None) -> None:
        if length is None or length > _MAX_BODY:
            self.channel.persistent = False
            self.channel.transport.abortConnection()
            length = 0
        super().gotLength(length)  # type: ignore[no-untyped-call]  # Twisted's is


class _Site(Site):
    """A server that logs nothing."""

    noisy = False
    displayTracebacks = False

    def log(self, request: Any) -> None:
        """Write nothing: an address may hold a code."""


class _Few(WrappingFactory):
    """Takes few connections at once, and knows them."""

    noisy = False

    def buildProtocol(self, addr: Any) -> Any:
        """Make the protocol of a connection, unless there are many."""
        if len(self.protocols) >= _MAX_CONNECTIONS:
            return None
        return super().buildProtocol(addr)

    def drop_connections(self) -> None:
        """End what connections are left, after they have sent what they have to send."""
        for each in list(self.protocols):
            each.loseConnection()


class _Root(Resource):
    """All addresses."""

    isLeaf = True

    def __init__(
        self,
        page: LoginPage,
        provider: Provider,
        look: Look,
        logins: Logins,
        finish: Callable[[Granted], Awaitable[None]],
        log: Logger,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's is
        self._page = page
        self._provider = provider
        self._pages = Page(look)
        self._logins = logins
        self._finish = finish
        self._log = log
        redirect = urlsplit(provider.redirect_uri)
        self._netloc = redirect.netloc
        self._is_local = redirect.hostname in _LOOPBACK
        self._redirect_path = redirect.path or "/"
        self._failure = self._pages.not_found()
        self._has_failed = False
        self._policy = "; ".join(
            (
                "default-src 'none'",
                f"style-src {STYLE_SOURCE}",
                # Browsers hold redirects after a form to this too.
                f"form-action 'self' {provider.authorise_origin}",
                "base-uri 'none'",
                "frame-ancestors 'none'",
            )
        )

    def render_GET(self, request: Any) -> Any:
        """Answer one of the pages."""
        path = request.path.decode("ascii", "replace")
        query = request.uri.partition(b"?")[2].decode("ascii", "replace")
        if self._is_elsewhere(request):
            return self._send_on(request, self._page.address)
        if path == self._redirect_path and ("state=" in query or "code=" in query):
            return self._come_back(request, query)
        if path == "/":
            return self._answer(request, self._pages.start())
        if path == "/done":
            request.notifyFinish().addBoth(lambda _result: self._page.last_page_sent())
            return self._answer(request, self._pages.done())
        if path == "/failed" and self._has_failed:
            return self._answer(request, self._failure)
        return self._answer(request, self._pages.not_found(), 404)

    def render_POST(self, request: Any) -> Any:
        """Begin a login."""
        if request.path != b"/start" or self._is_elsewhere(request):
            return self._answer(request, self._pages.not_found(), 404)
        browser = self._logins.new_browser()
        request.addCookie(
            _COOKIE, browser.encode(), path=b"/", httpOnly=True, sameSite=b"lax", max_age=b"900"
        )
        return self._send_on(request, self._logins.begin(browser))

    def _is_elsewhere(self, request: Any) -> bool:
        """Tell whether the browser knows us by another name: the cookie would be lost there.

        A name that is none of ours may be somebody's who wants to read our pages from his own.
        """
        return self._is_local and request.getHeader(b"host") != self._netloc.encode("ascii")

    def _come_back(self, request: Any, query: str) -> Any:
        cookie = request.getCookie(_COOKIE)
        try:
            granted = self._logins.end(query, (cookie or b"").decode("ascii", "replace"))
        except Unknown as fault:
            self._log.warn("A login was not accepted: {why}.", why=str(fault))
            # No redirect: on a terminal somebody may wait for this very address.
            return self._answer(request, self._pages.unknown(_sentence(fault)), 400)
        except RedirectRefused as refusal:
            self._log.warn(
                "The login at {name} was refused: {why!r}.",
                name=self._provider.name,
                why=str(refusal),
            )
            page = self._pages.declined() if refusal.declined else self._refused(refusal)
            return self._fail(request, page)
        work = ensureDeferred(_awaited(self._finish(granted)))
        work.addCallbacks(
            lambda _result: self._succeed(request),
            lambda failure: self._could_not_finish(request, failure.value),
        )
        return NOT_DONE_YET

    def _refused(self, refusal: RedirectRefused) -> bytes:
        return self._pages.failed(f"{self._provider.name} refused the login: {refusal}.")

    def _succeed(self, request: Any) -> None:
        self._page.succeeded()
        self._send_later(request, "done")

    def _could_not_finish(self, request: Any, fault: BaseException) -> None:
        self._log.error(
            "The login at {name} could not be completed: {fault}.",
            name=self._provider.name,
            fault=str(fault) or type(fault).__name__,
        )
        why = str(fault) if isinstance(fault, MetricsAgentError) else "an error occurred"
        reason = f"The login could not be completed: {why}."
        self._remember(self._pages.failed(reason, "Nothing is lost; begin again."))
        self._send_later(request, "failed")

    # Answers.

    def _answer(self, request: Any, page: bytes, code: int = 200) -> bytes:
        self._set_headers(request, code)
        request.setHeader(b"content-type", b"text/html; charset=utf-8")
        return page

    def _fail(self, request: Any, page: bytes) -> bytes:
        self._remember(page)
        return self._send_on(request, "failed")

    def _remember(self, page: bytes) -> None:
        self._failure = page
        self._has_failed = True

    def _send_on(self, request: Any, address: str) -> bytes:
        self._set_headers(request, 303)
        request.setHeader(b"location", address.encode("ascii"))
        return b""

    def _send_later(self, request: Any, address: str) -> None:
        if request.channel is None:
            return  # the browser did not wait
        body = self._send_on(request, address)
        request.write(body)
        request.finish()

    def _set_headers(self, request: Any, code: int) -> None:
        request.setResponseCode(code)
        for name, value in (
            ("content-security-policy", self._policy),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("server", "metrics-agent"),
        ):
            request.setHeader(name.encode(), value.encode())


def _sentence(fault: BaseException) -> str:
    text = str(fault)
    return f"{text[:1].upper()}{text[1:]}."
