"""The page where a user logs in: a small web server, by default on loopback, for a few minutes.

::

    GET  /?token=...    the first page; the token is in the log, see `gate`
    POST /start         begins a login and sends the browser to the service
    GET  /              the first page again, for the browser that has begun one
    GET  <path of the redirect address>?code=...&state=...
                        the browser comes back; ends in one of
    GET  /done      GET /failed

The code in the address that the browser comes back to is used at once, and the browser goes on to
an address without it, so that neither its history nor a reload shows or sends it again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from metrics_agent.deferreds import as_deferred
from metrics_agent.errors import MetricsAgentError
from metrics_agent.limited_site import LimitedSite
from metrics_agent.limits import LOGIN_CONNECTIONS
from metrics_agent.oauth2.gate import Gate, HostMatch
from metrics_agent.oauth2.html import STYLE_SOURCE, Look, Page
from metrics_agent.oauth2.logins import Granted, Logins, RedirectRefused, Unknown
from metrics_agent.oauth2.provider import Provider
from metrics_agent.oauth2.requests import LOGIN_LIMITS, RequestCounter

__all__ = ["CannotServe", "LoginPage"]

_COOKIE: Final = b"metrics_agent_login"
_LINGER_S: Final = 10.0
"""How long after a success the last page can still be had, if no browser asks for it before."""

_MAX_QUERY: Final = 8192
_MAX_FIELDS: Final = 32


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
        address: of the first page, with the token that lets one browser in.
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
        gate = Gate(provider.redirect_uri, port)
        root = _Root(self, gate, provider, look, logins, finish, log, reactor.seconds)
        self._server = LimitedSite(root, LOGIN_LIMITS, reactor)
        self._listening: Any = None
        self._end: Any = None
        self.address = gate.first_address
        self.completed: Deferred[None] = Deferred()

    def start(self) -> None:
        """Begin to listen.

        Raises:
            CannotServe: another process has the port, or there is no such host.
        """
        try:
            self._listening = self._reactor.listenTCP(
                self._port, self._server, interface=self._host, backlog=LOGIN_CONNECTIONS
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


class _Root(Resource):
    """All addresses."""

    isLeaf = True

    def __init__(
        self,
        page: LoginPage,
        gate: Gate,
        provider: Provider,
        look: Look,
        logins: Logins,
        finish: Callable[[Granted], Awaitable[None]],
        log: Logger,
        seconds: Callable[[], float],
    ) -> None:
        super().__init__()
        self._page = page
        self._provider = provider
        self._pages = Page(look)
        self._logins = logins
        self._finish = finish
        self._log = log
        self._gate = gate
        self._counter = RequestCounter(seconds)
        self._redirect_path = urlsplit(provider.redirect_uri).path or "/"
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

    def render(self, request: Any) -> Any:
        """Answer a request: what everybody's has to fulfil, then what it asks for."""
        query = request.uri.partition(b"?")[2].decode("ascii", "replace")
        token = _token(query)
        cookie = (request.getCookie(_COOKIE) or b"").decode("ascii", "replace")
        is_known = self._gate.knows(cookie) or self._gate.fits(token)
        if not is_known and not self._counter.allows(request.getClientAddress().host):
            return self._answer(request, self._pages.busy(), 429)
        if request.method not in {b"GET", b"POST"}:
            self._answer(request, b"", 405)
            request.setHeader(b"allow", b"GET, POST")
            return b""
        hosts = request.requestHeaders.getRawHeaders(b"host", [])
        place = self._gate.place([host.decode("ascii", "replace") for host in hosts])
        if place is HostMatch.FOREIGN:
            return self._answer(request, self._pages.locked(), 421)
        if place is HostMatch.ALIAS:
            return self._send_on(request, self._gate.address(token))
        if request.method == b"POST":
            return self._post(request, cookie)
        return self._get(request, query, token, cookie)

    def _get(self, request: Any, query: str, token: str, cookie: str) -> Any:
        path = request.path.decode("ascii", "replace")
        if path == self._redirect_path and ("state=" in query or "code=" in query):
            return self._come_back(request, query, cookie)
        if path == "/":
            return self._first_page(request, token, cookie)
        if path == "/done":
            request.notifyFinish().addBoth(lambda _result: self._page.last_page_sent())
            return self._answer(request, self._pages.done())
        if path == "/failed" and self._has_failed:
            return self._answer(request, self._failure)
        return self._answer(request, self._pages.not_found(), 404)

    def _first_page(self, request: Any, token: str, browser: str) -> bytes:
        if self._gate.knows(browser):
            return self._answer(request, self._pages.start())
        if self._gate.fits(token):
            return self._answer(request, self._pages.start(token))
        return self._answer(request, self._pages.locked(), 403)

    def _post(self, request: Any, browser: str) -> Any:
        """Begin a login."""
        if request.path != b"/start":
            return self._answer(request, self._pages.not_found(), 404)
        host, origin, site = map(request.getHeader, ("host", "origin", "sec-fetch-site"))
        if not self._gate.is_own_form(host or "", origin, site):
            return self._answer(request, self._pages.locked(), 403)
        if not self._gate.knows(browser):
            [token, *_] = request.args.get(b"token", [b""])
            if not self._gate.fits(token.decode("ascii", "replace")):
                return self._answer(request, self._pages.locked(), 403)
            browser = self._gate.enter()
            request.addCookie(
                _COOKIE,
                browser.encode(),
                path=b"/",
                httpOnly=True,
                sameSite=b"lax",
                secure=self._gate.is_secure,
                max_age=b"900",
            )
        return self._send_on(request, self._logins.begin(browser))

    def _come_back(self, request: Any, query: str, cookie: str) -> Any:
        try:
            granted = self._logins.end(query, cookie)
        except Unknown as fault:
            self._log.warn("A login was not accepted: {why}.", why=str(fault))
            # No redirect: a login on a terminal may wait for this very address.
            return self._answer(request, self._pages.unknown(_sentence(fault)), 400)
        except RedirectRefused as refusal:
            self._log.warn(
                "The login at {name} was refused: {why!r}.",
                name=self._provider.name,
                why=str(refusal),
            )
            page = self._pages.declined() if refusal.declined else self._refused(refusal)
            return self._fail(request, page)
        work = as_deferred(self._finish(granted))
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
            # With no-referrer browsers hide the origin of our own forms, too.
            ("referrer-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ):
            request.setHeader(name.encode(), value.encode())


def _token(query: str) -> str:
    try:
        fields = parse_qs(query[:_MAX_QUERY], max_num_fields=_MAX_FIELDS)
    except ValueError:
        return ""
    return fields.get("token", [""])[0]


def _sentence(fault: BaseException) -> str:
    text = str(fault)
    return f"{text[:1].upper()}{text[1:]}."
