"""The page server, fed with bytes as from a browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import count
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import Logger, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.errors import MetricsAgentError
from metrics_agent.transports.oauth2.logins import Logins
from metrics_agent.transports.oauth2.page import CannotServe, LoginPage
from metrics_agent.transports.oauth2.pages import Look, Page
from tests.transports.oauth2.support import PROVIDER, SECRET

LOOK = Look(
    provider="<Service> & Co",
    gives=("read the values of your stations",),
    register=PROVIDER.redirect_uri,
)
HOST = "localhost:9127"


@define
class Answer:
    """What a browser got."""

    status: int
    headers: dict[str, str]
    body: str


@define(eq=False)
class Browser:
    """Speaks HTTP with the server, and keeps its cookie."""

    reactor: MemoryReactorClock
    host: str = HOST
    cookie: str = ""
    transport: Any = None

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> Answer | None:
        """Send a request on a new connection; None without an answer."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        if self.cookie:
            lines.append(f"Cookie: {self.cookie}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return self.send("\r\n".join([*lines, "", body]).encode())

    def send(self, data: bytes) -> Answer | None:
        """Send bytes on a new connection."""
        factory = self.reactor.tcpServers[-1][1]
        protocol = factory.buildProtocol(None)
        if protocol is None:
            return None
        self.transport = Transport()
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        protocol.dataReceived(data)
        return self.answer()

    def answer(self) -> Answer | None:
        """Return the answer on the last connection, if there is one."""
        head, found, body = self.transport.value().decode().partition("\r\n\r\n")
        if not found:
            return None
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if "set-cookie" in headers:
            self.cookie = headers["set-cookie"].partition(";")[0]
        return Answer(int(first.split()[1]), headers, body)


class Transport(StringTransport):
    """One that can be aborted."""

    protocol: Any = None
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()

    def loseConnection(self) -> None:
        if not self.disconnecting:
            super().loseConnection()
            self.protocol.connectionLost(Failure(ConnectionError()))


@define(eq=False)
class Finish:
    """Turns codes into tokens when the test says so."""

    codes: list[str] = field(factory=list)
    waiting: list[Deferred[None]] = field(factory=list)

    def __call__(self, granted: Any) -> Deferred[None]:
        self.codes.append(granted.code)
        self.waiting.append(Deferred())
        return self.waiting[-1]


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
        self.browser = Browser(self.reactor)
        self.addCleanup(self.nothing_is_left)

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
        self.assertEqual(answer.headers["referrer-policy"], "no-referrer")
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
        self.assertEqual(self.page.address, "http://localhost:9127/")

    def test_success(self) -> None:
        """Button, service, back, done; then the page is gone."""
        first = self.browser.ask("GET", "/")
        self.assertEqual(first.status, 200)
        self.assertIn("read the values of your stations", first.body)
        self.assertIn('<form method="post" action="start">', first.body)
        on = self.browser.ask("POST", "/start", "x=y")
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
        """A person who declines is told so, and can begin again."""
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
    """What is not the person at the browser."""

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
        """Under another name of this machine the browser is sent to ours, where its cookie is."""
        for host in ("127.0.0.1:9127", "evil.example", "localhost"):
            browser = Browser(self.reactor, host)
            answer = browser.ask("GET", "/")
            self.assertEqual(answer.status, 303)
            self.assertEqual(answer.headers["location"], "http://localhost:9127/")
            self.assertEqual(browser.ask("POST", "/start").status, 404)

    def test_behind_a_proxy(self) -> None:
        """With a redirect address of another machine a proxy may call us what it likes."""
        from attrs import evolve

        self.successResultOf(self.page.stop())
        provider = evolve(PROVIDER, redirect_uri="https://home.example/netatmo/callback")
        self.page = self.make(provider=provider)
        self.page.start()
        browser = Browser(self.reactor, "127.0.0.1:9127")
        self.assertEqual(browser.ask("GET", "/").status, 200)
        self.assertEqual(browser.ask("GET", "/netatmo/callback?state=x&code=y").status, 400)

    def test_other_addresses(self) -> None:
        for method, path, status in (
            ("GET", "/favicon.ico", 404),
            ("GET", "/failed", 404),
            ("GET", "/callback", 404),
            ("GET", "/%ff/../etc/passwd", 404),
            ("GET", "/start", 404),
            ("POST", "/", 404),
            ("PUT", "/", 501),
            ("HEAD", "/", 200),
        ):
            answer = self.browser.ask(method, path)
            self.assertEqual(answer.status, status, path)

    def test_large_bodies(self) -> None:
        """A body beyond a form's few bytes ends the connection before it is read."""
        for header in ({"Content_Length": "100000000"}, {"Transfer_Encoding": "chunked"}):
            self.assertIsNone(self.browser.ask("POST", "/start", **header))
            self.assertTrue(self.browser.transport.aborted)

    def test_many_connections(self) -> None:
        """More connections than a few are not taken, until others have ended."""
        transports = []
        for _ in range(40):
            self.browser.send(b"GET / HTTP/1.1\r\n")
            transports.append(self.browser.transport)
        self.assertIsNone(self.browser.ask("GET", "/"))
        transports[0].loseConnection()
        self.assertEqual(self.browser.ask("GET", "/").status, 200)

    def test_slow_and_silent_ones(self) -> None:
        """A connection that says nothing is closed."""
        self.browser.send(b"GET / HT")
        self.reactor.advance(31)
        self.assertTrue(self.browser.transport.disconnecting)

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
        """A port that somebody has is a fault with its number, not an exception of Twisted."""

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

    VOID = frozenset({"meta"})

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
