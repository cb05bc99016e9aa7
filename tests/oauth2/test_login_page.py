"""The page server, fed with bytes as from a browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import count
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.errors import MetricsAgentError
from metrics_agent.oauth2.html import Look, Page
from metrics_agent.oauth2.login_page import CannotServe, LoginPage
from metrics_agent.oauth2.logins import Logins
from metrics_agent.oauth2.requests import RequestCounter
from tests.browser import HOST, Answer, Browser
from tests.oauth2.support import PROVIDER, SECRET

LOOK = Look(
    provider="<Service> & Co",
    gives=("read the values of your stations",),
    register=PROVIDER.redirect_uri,
)


@define(eq=False)
class Finish:
    """Turns codes into tokens when the test says so."""

    codes: list[str] = field(factory=list)
    waiting: list[Deferred[None]] = field(factory=list)

    def __call__(self, granted: Any) -> Deferred[None]:
        self.codes.append(granted.code)
        self.waiting.append(Deferred())
        return self.waiting[-1]


def browser_for(reactor: MemoryReactorClock, page: LoginPage) -> Browser:
    """Return a browser whose user has read the log."""
    return Browser(reactor, token=page.address.partition("?token=")[2])


class PageCase(SynchronousTestCase):
    """Starts a page."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.events: list[dict[str, Any]] = []
        self.numbers = count()
        self.finish = Finish()
        self.logins = Logins(PROVIDER, self.reactor.seconds, lambda: f"random-{next(self.numbers)}")
        self.page = self.make()
        self.page.start()
        # As a real port does; with it the server would begin to write its own log.
        self.reactor.tcpServers[-1][1].doStart()
        self.token = self.page.address.partition("?token=")[2]
        self.browser = Browser(self.reactor, token=self.token)
        self.addCleanup(self.nothing_is_left)

    def restart_page(self) -> None:
        """Start another page, for a browser that has its token."""
        self.successResultOf(self.page.stop())
        self.page = self.make()
        self.page.start()
        self.reactor.tcpServers[-1][1].doStart()
        self.token = self.page.address.partition("?token=")[2]
        self.browser = Browser(self.reactor, token=self.token)

    def make(self, **changes: Any) -> LoginPage:
        values = {
            "host": "127.0.0.1",
            "port": 9127,
            "provider": PROVIDER,
            "look": LOOK,
            "logins": self.logins,
            "finish": self.finish,
            "log": Logger(observer=self.events.append),  # type: ignore[arg-type]
        }
        return LoginPage(self.reactor, **{**values, **changes})

    def nothing_is_left(self) -> None:
        self.successResultOf(self.page.stop())
        self.successResultOf(self.page.stop())
        for _, factory, *_ in self.reactor.tcpServers:
            factory.doStop()
        self.reactor.advance(0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def begin(self) -> str:
        """Press the button and return the state of the login."""
        answer = self.browser.ask("POST", "/start")
        return re.search("state=([^&]+)", answer.headers["location"])[1]

    def logged(self) -> str:
        return "\n".join(formatEvent(event) for event in self.events)

    def assert_safe(self, answer: Answer) -> None:
        """Every answer is held to the same rules."""
        self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertEqual(answer.headers["referrer-policy"], "same-origin")
        self.assertEqual(answer.headers["connection"], "close")
        self.assertNotIn("server", answer.headers)
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        self.assertEqual(answer.headers["x-frame-options"], "DENY")
        policy = answer.headers["content-security-policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertIn("frame-ancestors 'none'", policy)
        self.assertNotIn("unsafe", policy)
        for word in (SECRET, "c0de", "<script", "http-equiv", "src=", "onclick"):
            self.assertNotIn(word, answer.body)


class Flow(PageCase):
    """From the first click to the last page."""

    def test_listens_where_it_was_told(self) -> None:
        port, _factory, _backlog, interface = self.reactor.tcpServers[0]
        self.assertEqual((port, interface), (9127, "127.0.0.1"))
        self.assertRegex(self.page.address, r"\Ahttp://127\.0\.0\.1:9127/\?token=[\w-]{43}\Z")

    def test_success(self) -> None:
        """Button, service, back, done; then the page is gone."""
        first = self.browser.ask("GET", f"/?token={self.token}")
        self.assertEqual(first.status, 200)
        self.assertIn("read the values of your stations", first.body)
        self.assertIn('<form method="post" action="start">', first.body)
        self.assertIn(f'name="token" value="{self.token}"', first.body)
        on = self.browser.ask("POST", "/start")
        self.assertEqual(on.status, 303)
        self.assertTrue(on.headers["location"].startswith("https://auth.example/oauth2/authorize?"))
        cookie = on.headers["set-cookie"].lower()
        for attribute in ("httponly", "samesite=lax", "path=/"):
            self.assertIn(attribute, cookie)
        state = re.search("state=([^&]+)", on.headers["location"])[1]
        self.assertIsNone(self.browser.ask("GET", f"/callback?state={state}&code=c0de"))
        self.assertEqual(self.finish.codes, ["c0de"])
        self.finish.waiting.pop().callback(None)
        back = self.browser.answer()
        self.assertEqual((back.status, back.headers["location"]), (303, "done"))
        done = self.browser.ask("GET", "/done")
        self.assertEqual(done.status, 200)
        self.assertIn("Connected", done.body)
        for answer in (first, on, back, done):
            self.assert_safe(answer)
        self.reactor.advance(0)
        self.assertIsNone(self.page._listening)
        self.assertEqual(self.logged(), "")

    def test_nobody_looks_at_the_last_page(self) -> None:
        """After a success the page is gone in any case."""
        state = self.begin()
        self.browser.ask("GET", f"/callback?state={state}&code=c0de")
        self.finish.waiting.pop().callback(None)
        self.reactor.advance(9)
        self.assertIsNotNone(self.page._listening)
        self.assertNoResult(self.page.completed)
        self.reactor.advance(1)
        self.assertIsNone(self.page._listening)
        self.successResultOf(self.page.completed)

    def test_browser_leaves_meanwhile(self) -> None:
        """Who closes the browser while the code is being used gets no page, but the tokens."""
        state = self.begin()
        self.browser.ask("GET", f"/callback?state={state}&code=c0de")
        self.browser.transport.loseConnection()
        self.finish.waiting.pop().callback(None)
        self.reactor.advance(30)
        self.assertIsNone(self.page._listening)

    def test_declined(self) -> None:
        """A user who declines is informed, and can begin again."""
        state = self.begin()
        answer = self.browser.ask("GET", f"/callback?error=access_denied&state={state}")
        self.assertEqual((answer.status, answer.headers["location"]), (303, "failed"))
        failed = self.browser.ask("GET", "/failed")
        self.assertIn("Permission was not given", failed.body)
        self.assertIn('href="./"', failed.body)
        self.assertIn("refused: 'access_denied'", self.logged())
        self.assert_safe(failed)
        self.begin()

    def test_error_of_the_service(self) -> None:
        """What the service says is shown as text, whatever it is."""
        state = self.begin()
        self.browser.ask(
            "GET", f"/callback?state={state}&error=x&error_description=%3Cscript%3Ealert(1)"
        )
        failed = self.browser.ask("GET", "/failed")
        self.assertIn("&lt;script&gt;alert(1)", failed.body)
        self.assert_safe(failed)

    def test_code_that_cannot_be_used(self) -> None:
        """A fault in getting the tokens is shown and logged, without a secret."""
        for fault, text in (
            (MetricsAgentError("api.example: no answer"), "completed: api.example: no answer."),
            (RuntimeError("secret c0de"), "completed: an error occurred."),
        ):
            state = self.begin()
            self.browser.ask("GET", f"/callback?state={state}&code=c0de")
            self.finish.waiting.pop().errback(fault)
            self.assertEqual(self.browser.answer().headers["location"], "failed")
            failed = self.browser.ask("GET", "/failed")
            self.assertIn(text.casefold(), failed.body.casefold())
            self.assert_safe(failed)
        self.assertIn("could not be completed: api.example: no answer", self.logged())
        self.assertIsNotNone(self.page._listening)


class Strangers(PageCase):
    """What is not the user at the browser."""

    def test_forged_answers(self) -> None:
        """Answers with an unknown state, a used one, or in another browser do nothing."""
        state = self.begin()
        other = Browser(self.reactor)
        for browser, query in (
            (self.browser, "state=guess&code=c0de"),
            (self.browser, "code=c0de"),
            (other, f"state={state}&code=c0de"),
        ):
            answer = browser.ask("GET", f"/callback?{query}")
            self.assertEqual(answer.status, 400)
            self.assertIn("metrics-agent login", answer.body)
            self.assert_safe(answer)
        self.assertEqual(self.finish.codes, [])
        self.assertNotIn("c0de", self.logged())
        self.browser.ask("GET", f"/callback?state={state}&code=c0de")
        self.assertEqual(self.browser.ask("GET", f"/callback?state={state}&code=c").status, 400)
        self.assertEqual(self.finish.codes, ["c0de"])
        self.finish.waiting.pop().callback(None)

    def test_other_host(self) -> None:
        """At another address of this machine the browser is sent to ours, where its cookie is."""
        for host in ("localhost:9127", "localhost", "192.0.2.1:9127", "[::1]:9127"):
            browser = Browser(self.reactor, host, self.token)
            answer = browser.ask("GET", f"/?token={self.token}")
            self.assertEqual((answer.status, answer.headers["location"]), (303, self.page.address))
            answer = browser.ask("POST", "/start")
            self.assertEqual(answer.headers["location"], "http://127.0.0.1:9127/")
            self.assertNotIn("set-cookie", answer.headers)

    def test_foreign_name(self) -> None:
        """A name that another party may have pointed here gets nothing (DNS rebinding)."""
        for host in (
            "evil.example:9127",
            "127.0.0.1.evil.example",
            "",
            "u@127.0.0.1:9127",
            "[",
            "x",
        ):
            browser = Browser(self.reactor, host, self.token)
            for method, path in (("GET", f"/?token={self.token}"), ("POST", "/start")):
                answer = browser.ask(method, path)
                self.assertEqual(answer.status, 421, host)
                self.assertNotIn(self.token, answer.body)
        two = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: evil.example\r\n\r\n".encode()
        self.assertEqual(self.browser.send(two).status, 421)
        self.assertEqual(self.browser.send(b"GET / HTTP/1.0\r\n\r\n").status, 421)

    def test_other_origins(self) -> None:
        """A form has to be our own, by Origin, Sec-Fetch-Site or both."""
        ours = f"http://{HOST}"
        for origin, site, is_ours in (
            (ours, "", True),
            (ours, "same-origin", True),
            ("", "same-origin", True),
            ("null", "same-origin", True),
            ("", "", False),
            ("null", "", False),
            ("http://evil.example", "", False),
            ("http://evil.example", "same-origin", False),
            ("http://localhost:9127", "", False),
            (f"{ours}.evil.example", "", False),
            (ours, "cross-site", False),
            (ours, "same-site", False),
            ("", "none", False),
        ):
            self.restart_page()
            answer = self.browser.ask("POST", "/start", Origin=origin, Sec_Fetch_Site=site)
            self.assertEqual(answer.status, 303 if is_ours else 403, (origin, site))

    def test_without_the_token(self) -> None:
        """Who has not read the log gets no page with a button, and can begin nothing."""
        for path in ("/", "/?token=", "/?token=guess", f"/?token={self.token}x", "/?token=%ff"):
            answer = self.browser.ask("GET", path)
            self.assertEqual(answer.status, 403, path)
            self.assertNotIn("<form", answer.body)
            self.assert_safe(answer)
        for body in ("x=y", "token=guess", "token=", "token=%ff", "&&="):
            answer = self.browser.ask("POST", "/start", body)
            self.assertEqual(answer.status, 403, body)
            self.assertNotIn("set-cookie", answer.headers)
        for cookie in ("metrics_agent_login=", "metrics_agent_login=guess"):
            self.browser.cookie = cookie
            self.assertEqual(self.browser.ask("GET", "/").status, 403)
            self.assertEqual(self.browser.ask("POST", "/start", "x=y").status, 403)

    def test_used_token(self) -> None:
        """It works in one browser: looking uses nothing up, the button does."""
        first = f"/?token={self.token}"
        other = Browser(self.reactor, token=self.token)
        for browser in (self.browser, other, self.browser):
            self.assertEqual(browser.ask("GET", first).status, 200)
        self.begin()
        self.assertEqual(other.ask("GET", first).status, 403)
        self.assertEqual(other.ask("POST", "/start").status, 403)
        self.assertEqual(other.cookie, "")
        # The browser that was let in may go back and try again.
        self.assertEqual(self.browser.ask("GET", "/").status, 200)
        cookie = self.browser.cookie
        self.assertEqual(self.browser.ask("POST", "/start", "x=y").status, 303)
        self.assertEqual(self.browser.cookie, cookie)

    def test_behind_a_proxy(self) -> None:
        """With a redirect address of another machine a proxy may address us by numbers."""
        from attrs import evolve

        self.successResultOf(self.page.stop())
        provider = evolve(PROVIDER, redirect_uri="https://home.example/netatmo/callback")
        self.page = self.make(provider=provider)
        self.page.start()
        address, _mark, token = self.page.address.partition("?token=")
        self.assertEqual(address, "https://home.example/")
        for host in (HOST, "localhost", "home.example"):
            browser = Browser(self.reactor, host, token)
            self.assertEqual(browser.ask("GET", f"/?token={token}").status, 200)
            self.assertEqual(browser.ask("GET", "/netatmo/callback?state=x&code=y").status, 400)
        browser = Browser(self.reactor, HOST, token)
        answer = browser.ask("POST", "/start", Origin="https://home.example")
        self.assertEqual(answer.status, 303)
        self.assertIn("secure", answer.headers["set-cookie"].lower())
        self.assertEqual(Browser(self.reactor, "evil.example").ask("GET", "/").status, 421)

    def test_other_addresses(self) -> None:
        """Nothing else is there, no other method, and nothing is taken from a file."""
        state = self.begin()
        for method, path, status in (
            ("GET", "/favicon.ico", 404),
            ("GET", "/failed", 404),
            ("GET", "/callback", 404),
            ("GET", "/%ff/../etc/passwd", 404),
            ("GET", "/../../etc/passwd", 404),
            ("GET", "//evil.example/", 404),
            ("GET", "http://evil.example/", 404),
            ("GET", "/start", 404),
            ("GET", "*", 404),
            ("POST", "/", 404),
            ("POST", "*", 404),
            ("PUT", "/", 405),
            ("HEAD", "/", 405),
            ("HEAD", f"/callback?state={state}&code=c0de", 405),
            ("OPTIONS", "*", 405),
            ("OPTIONS", "/start", 405),
            ("TRACE", "/", 405),
            ("CONNECT", "evil.example:443", 405),
        ):
            answer = self.browser.ask(method, path)
            self.assertEqual(answer.status, status, path)
            self.assert_safe(answer)
            if status == 405:
                self.assertEqual((answer.headers["allow"], answer.body), ("GET, POST", ""))
        self.assertEqual(self.finish.codes, [])

    def test_large_bodies(self) -> None:
        """A body beyond a form's few bytes ends the connection before it is read."""
        for header in ({"Content_Length": "100000000"}, {"Transfer_Encoding": "chunked"}):
            self.assertIsNone(self.browser.ask("POST", "/start", **header))
            self.assertTrue(self.browser.transport.aborted)

    def test_many_connections(self) -> None:
        """The oldest that only holds its place makes room: the login goes on."""
        transports = []
        for _ in range(200):
            self.browser.send(b"GET / HTTP/1.1\r\n")
            transports.append(self.browser.transport)
        self.assertEqual(sum(not each.aborted for each in transports), 16)
        self.assertFalse(transports[-1].aborted)
        self.assertEqual(self.browser.ask("GET", f"/?token={self.token}").status, 200)
        for number in range(200):
            self.browser.send(b"GET / HTTP/1.1\r\n", peer=f"192.0.2.{number}")
            transports.append(self.browser.transport)
        self.assertEqual(sum(not each.aborted for each in transports), 32)
        self.begin()

    def test_connections_that_are_being_answered(self) -> None:
        """They are not dropped for others, which are refused when there are only such."""
        for _ in range(16):
            state = self.begin()
            self.browser.ask("GET", f"/callback?state={state}&code=c0de")
        self.assertIsNone(self.browser.ask("GET", "/"))
        self.assertIsNone(self.browser.transport)
        self.finish.waiting.pop().callback(None)
        self.assertEqual(self.browser.ask("GET", "/").status, 200)
        for waiting in self.finish.waiting:
            waiting.callback(None)

    def test_slow_ones(self) -> None:
        """A request has to be there within 10 s, also one that comes byte by byte."""
        request = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX: ".encode()
        self.browser.send(b"")
        for number in range(9):
            self.browser.transport.protocol.dataReceived(request[number : number + 1])
            self.reactor.advance(1)
        self.assertFalse(self.browser.transport.aborted)
        self.reactor.advance(1)
        self.assertTrue(self.browser.transport.aborted)
        # The body is part of it.
        self.browser.send(
            f"POST /start HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9\r\n\r\na".encode()
        )
        self.reactor.advance(10)
        self.assertTrue(self.browser.transport.aborted)

    def test_while_it_is_answered(self) -> None:
        """A login that takes its time is waited for."""
        state = self.begin()
        self.browser.ask("GET", f"/callback?state={state}&code=c0de")
        self.reactor.advance(60)
        self.assertFalse(self.browser.transport.aborted)
        self.finish.waiting.pop().callback(None)
        self.assertEqual(self.browser.answer().headers["location"], "done")

    def test_large_headers(self) -> None:
        """Too many, or too long: refused, and not kept."""
        for lines in (
            "X: y\r\n" * 101,
            f"X: {'y' * 16_000}\r\nY: {'y' * 400}\r\n",
            f"X: {'y' * 100_000}",
        ):
            answer = self.browser.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n".encode())
            self.assertTrue(answer is None or answer.status == 400)
            self.assertTrue(self.browser.transport.disconnecting)
        self.browser.send(b"GET /" + b"x" * 1_000_000)
        self.assertTrue(self.browser.transport.disconnecting)

    def test_one_request_a_connection(self) -> None:
        """What follows on the same connection is not read."""
        request = f"GET /favicon.ico HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
        self.browser.send(request * 10)
        self.assertEqual(self.browser.transport.value().count(b"HTTP/1.1 404"), 1)

    def test_many_requests(self) -> None:
        """120 a minute from one address; the browser with the token or the cookie is exempt."""
        statuses = [self.browser.ask("GET", "/").status for _ in range(130)]
        self.assertEqual(statuses, [403] * 120 + [429] * 10)
        self.assertEqual(self.browser.ask("GET", f"/?token={self.token}").status, 200)
        self.assertEqual(self.browser.ask("GET", "/").status, 429)
        self.reactor.advance(60)
        self.assertEqual(self.browser.ask("GET", "/").status, 403)
        self.begin()
        statuses = [self.browser.ask("GET", "/").status for _ in range(200)]
        self.assertEqual(statuses, [200] * 200)

    def test_many_addresses(self) -> None:
        """They are counted one by one up to 1,024, and those beyond together."""
        counter = RequestCounter(self.reactor.seconds)
        self.assertTrue(all(counter.allows(f"peer {number}") for number in range(1024)))
        allowed = sum(counter.allows(f"other {number}") for number in range(10_000))
        self.assertEqual((allowed, len(counter._counts)), (120, 1025))

    def test_nothing_of_a_request_is_logged(self) -> None:
        """Neither by us nor by twisted.web, whose log would hold the code."""
        from twisted.logger import globalLogPublisher

        seen: list[Any] = []
        globalLogPublisher.addObserver(seen.append)
        self.addCleanup(globalLogPublisher.removeObserver, seen.append)
        state = self.begin()
        self.browser.ask("GET", f"/callback?state={state}&code=c0de")
        self.finish.waiting.pop().callback(None)
        self.assertNotIn("c0de", repr(seen))
        self.assertNotIn("c0de", self.logged())


class Starting(PageCase):
    """The port."""

    def test_port_in_use(self) -> None:
        """A port that someone has is a fault with its number, not an exception of Twisted."""

        def listen(port: int, *_args: Any, **_more: Any) -> None:
            raise CannotListenError("127.0.0.1", port, OSError(98, "Address already in use"))

        self.patch(self.reactor, "listenTCP", listen)
        fault = self.assertRaises(CannotServe, self.make().start)
        self.assertEqual(str(fault), "127.0.0.1 port 9127: Address already in use")


class Html(SynchronousTestCase):
    """The pages are well formed, and hold nothing from elsewhere."""

    def test_well_formed(self) -> None:
        page = Page(LOOK)
        for body in (
            page.start(),
            page.start("t0ken"),
            page.locked(),
            page.busy(),
            page.done(),
            page.declined(),
            page.failed("a <b> & 'c'", "do <this>"),
            page.unknown("x"),
            page.not_found(),
        ):
            text = body.decode()
            parser = Parser()
            parser.feed(text)
            self.assertEqual(parser.open, [], text)
            self.assertEqual(parser.titles, 1)
            self.assertIn("width=device-width", text)
            self.assertNotIn("<Service>", text)
            self.assertNotIn("<this>", text)
            self.assertNotRegex(text, r"(?i)<script|url\(|@import|<img|<link")


class Parser(HTMLParser):
    """Follows the elements."""

    VOID = frozenset({"input", "meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.titles = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.titles += tag == "title"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
