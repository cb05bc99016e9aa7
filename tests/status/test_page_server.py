"""Where the status page listens, and what happens when it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError

from metrics_agent.limits import STATUS_BODY_BYTES, STATUS_CONNECTIONS, STATUS_HEADER_BYTES
from metrics_agent.status.page_server import LONGEST_WAIT_S
from tests.browser import HOST
from tests.status.page_case import LOOPBACK, TOKEN, PageCase

TOKENS = [
    *(b"GET ", b"POST ", b"HEAD ", b"/", b"/?token=", b"*", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n"),
    *(b"Host: localhost\r\n", b"Cookie: ", b"metrics_agent_status", b"Authorization: Bearer "),
    *(b"Content-Length: ", b"5\r\n", b"-", b"Content-Type: ", b"multipart/form-data; boundary="),
    *(b"application/x-www-form-urlencoded", b"Transfer-Encoding: chunked\r\n", b"Expect: "),
    *(
        b"100-continue\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b" ",
        b":",
        b"=",
        b";",
        b"%",
        b"\xff",
        b"\0",
    ),
]
AGAIN = "It is tried again; everything else works."
GET = f"GET /healthz HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


class ListenTests(PageCase):
    """From the configuration to a port."""

    def ports(self) -> list[tuple[int, str]]:
        """Return the ports that were opened, in order."""
        return [(port, interface) for port, _site, _, interface in self.reactor.tcpServers]

    def test_no_page(self) -> None:
        """Without `listen` nothing is opened, nothing is made and nothing is said."""
        self.configure("")
        self.assertEqual((self.ports(), self.pages, self.events), ([], 0, []))

    def test_listens(self) -> None:
        self.configure()
        self.assertEqual(self.ports(), [(9127, "127.0.0.1")])
        self.assertEqual(self.logged(), ["Status page at http://127.0.0.1:9127/."])

    def test_asks_for_the_token(self) -> None:
        """The log says so, without it."""
        self.configure("tcp:9127", token=TOKEN)
        self.assertEqual(self.ports(), [(9127, "")])
        self.assertEqual(
            self.logged(),
            ["Status page at http://0.0.0.0:9127/; it asks for the token of [status]."],
        )

    def test_a_reload_that_changes_nothing(self) -> None:
        """The port stays as it is, and so does the history."""
        self.configure()
        self.configure(hosts=("pi",))
        self.assertEqual((len(self.ports()), self.pages, len(self.events)), (1, 1, 1))

    def test_another_address(self) -> None:
        """The old one is closed first; the page is the same."""
        self.configure()
        self.browser.send(b"GET /")
        old = self.browser.transport
        self.configure("tcp:9128:interface=127.0.0.1")
        self.assertTrue(old.aborted)
        self.assertEqual(self.ports(), [(9127, "127.0.0.1"), (9128, "127.0.0.1")])
        self.assertEqual(self.pages, 1)

    def test_waits_for_the_old_port(self) -> None:
        """The new address may be the same port; what was wanted meanwhile counts."""
        closed = self.slow_port()
        self.configure("tcp:9127", token=TOKEN)
        self.configure("tcp:9129", token=TOKEN)
        self.assertEqual(self.ports(), [])
        closed.callback(None)
        self.assertEqual([port for port, _ in self.ports()], [9129])

    def test_page_removed(self) -> None:
        """A reload without `listen` leaves nothing: no port, no connection, no timer."""
        self.configure()
        self.browser.send(b"GET /")
        self.configure("")
        self.assertTrue(self.browser.transport.aborted)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.configure()
        self.assertEqual(self.pages, 2)

    def test_stop_waits_for_the_port(self) -> None:
        closed = self.slow_port()
        stopped = self.server.stopService()
        self.assertNoResult(stopped)
        self.server.configure(self.settings())
        closed.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.ports(), [])

    def slow_port(self) -> Deferred[None]:
        """Listen; return what fires when the port is closed."""
        closed: Deferred[None] = Deferred()
        listen = self.reactor.listenTCP

        def slow(*args: Any, **kw: Any) -> Any:
            port = listen(*args, **kw)
            port.stopListening = lambda: closed
            self.reactor.tcpServers.clear()
            self.reactor.listenTCP = listen  # type: ignore[method-assign]
            return port

        self.reactor.listenTCP = slow  # type: ignore[method-assign]
        self.configure()
        return closed


class RetryTests(PageCase):
    """A port that another process has."""

    def setUp(self) -> None:
        super().setUp()
        self.attempts: list[float] = []
        self.error: Exception | None = CannotListenError(
            "127.0.0.1", 9127, OSError(98, "Address already in use")
        )
        listen = self.reactor.listenTCP

        def listen_unless(*args: Any, **kw: Any) -> Any:
            self.attempts.append(self.reactor.seconds())
            if self.error is not None:
                raise self.error
            return listen(*args, **kw)

        self.reactor.listenTCP = listen_unless  # type: ignore[method-assign]

    def test_in_use(self) -> None:
        """One line with the cause, then ever longer waits, then a line that it works."""
        self.configure()
        for _ in range(200):
            self.reactor.advance(1)
        self.assertEqual(self.attempts, [0, 1, 3, 7, 15, 31, 63, 123, 183])
        self.assertEqual(
            self.logged(),
            [f"The status page cannot listen at {LOOPBACK}: Address already in use. {AGAIN}"],
        )
        self.assertEqual(self.server.problem, f"{LOOPBACK}: Address already in use")
        self.error = None
        self.reactor.advance(LONGEST_WAIT_S)
        self.assertEqual(self.logged()[1:], ["Status page at http://127.0.0.1:9127/."])
        self.assertEqual(self.server.problem, "")
        self.configure()
        self.assertEqual(len(self.attempts), 10)

    def test_another_cause(self) -> None:
        """Each cause is said once."""
        self.configure()
        self.error = OSError(13, "Permission denied")
        self.reactor.advance(1)
        self.assertIn("Permission denied", self.logged()[1] or "")

    def test_another_address(self) -> None:
        """A reload is tried at once, and a stop or a reload ends the attempts."""
        self.configure()
        self.configure("tcp:9128:interface=127.0.0.1")
        self.assertEqual((len(self.attempts), len(self.events)), (2, 2))
        self.configure("")
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.server.problem, "")


class UnixTests(PageCase):
    """A Unix socket, for a proxy on this machine."""

    def test_listens(self) -> None:
        self.configure("unix:/run/page.sock:mode=660")
        path = Path("/run/page.sock")
        self.assertEqual(self.sockets.modes, {path: 0o660})
        self.assertEqual(self.logged(), ["Status page at /run/page.sock."])
        self.configure("")
        self.assertTrue(self.sockets.listening.stopped)

    def test_made_again(self) -> None:
        """One that was removed."""
        self.configure("unix:/run/page.sock")
        self.sockets.factories.clear()
        self.sockets.listening.removed()
        self.assertEqual(len(self.sockets.factories), 1)


class ClientTests(PageCase):
    """What clients cannot do."""

    def setUp(self) -> None:
        super().setUp()
        self.configure()

    def test_many_connections(self) -> None:
        """The oldest that has not asked yet makes room."""
        first = self.connect()
        others = [self.connect() for _ in range(STATUS_CONNECTIONS - 1)]
        self.assertFalse(first.aborted)
        self.assertEqual(self.browser.send(GET).status, 200)
        self.assertTrue(first.aborted)
        self.assertFalse(any(each.aborted for each in others))

    def connect(self) -> Any:
        self.browser.send(b"")
        return self.browser.transport

    def test_slow_ones(self) -> None:
        """A request has 10 s, however its bytes come."""
        self.browser.send(GET[:-1])
        for _ in range(9):
            self.reactor.advance(1)
            self.browser.transport.protocol.dataReceived(b"X: y\r\n"[:1])
        self.assertFalse(self.browser.transport.aborted)
        self.reactor.advance(1)
        self.assertTrue(self.browser.transport.aborted)

    def test_large_requests(self) -> None:
        """Headers and bodies are bounded."""
        for request in (
            b"GET /" + b"x" * STATUS_HEADER_BYTES,
            b"GET / HTTP/1.1\r\nX: " + b"x" * STATUS_HEADER_BYTES,
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200,
            f"POST / HTTP/1.1\r\nContent-Length: {STATUS_BODY_BYTES + 1}\r\n\r\n".encode(),
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ):
            self.browser.send(request)
            self.assertTrue(self.browser.transport.disconnecting, request[:30])
        answer = self.browser.ask("POST", "/", "x" * 1000)
        self.assertEqual(answer.status, 405)

    def test_one_request_a_connection(self) -> None:
        """What comes after the first is not read."""
        answer = self.browser.send(GET + GET)
        self.assertEqual(answer.data, b"ok\n")

    def test_garbage(self) -> None:
        """Bytes that are not HTTP cost the connection and no line in the log."""
        for data in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
            b"\0" * 1000 + b"\r\n",
            b"\r\n\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\n: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nCookie: =;;=\xff\r\n\r\n",
            b"GET /?%ff=%zz&&= HTTP/1.1\r\nHost: \xff\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Type: \xff;\r\nContent-Length: 3\r\n\r\na=b",
            b"POST / HTTP/1.1\r\nContent-Type: multipart/form-data\r\nContent-Length: 3\r\n\r\na=b",
        ):
            self.browser.send(data)
            self.reactor.advance(10)
            self.assertTrue(self.browser.transport.disconnecting, data[:30])
        self.assertEqual(len(self.events), 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.sampled_from(TOKENS) | st.binary(max_size=8), max_size=14).map(b"".join))
    def test_any_bytes(self, data: bytes) -> None:
        """Nor do pieces of HTTP in any order."""
        self.browser.send(data)
        self.reactor.advance(11)
        self.assertTrue(self.browser.transport.disconnecting)
        self.assertEqual((len(self.events), self.faults), (1, []))
        self.assertEqual(self.flushLoggedErrors(), [])
