"""Posts on a connection that is kept, without a network."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.cause import CauseError
from metrics_agent.http_interface import HttpReply
from metrics_agent.transports.dial import dial_host
from metrics_agent.transports.http_post import Poster
from tests.transports.web import Connection, WebReactor

LIMIT = 1000
TIMEOUT_S = 30.0


class PosterTests(SynchronousTestCase):
    """One server, one request at a time."""

    def setUp(self) -> None:
        self.reactor = WebReactor()
        self.poster = Poster(
            self.reactor,
            "http://db.example:8086/write?db=a%20b",
            dial=lambda: dial_host(self.reactor, "db.example", 8086, TIMEOUT_S),
            headers={"Authorization": "Token s3cret"},
            timeout_s=TIMEOUT_S,
            body_limit=LIMIT,
        )
        self.addCleanup(self.nothing_is_left)

    def nothing_is_left(self) -> None:
        self.poster.close()
        self.reactor.advance(0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def posting(self) -> tuple[Deferred[HttpReply], Connection]:
        request = self.poster.post(b"m a=1 1\n")
        return request, self.reactor.accept()

    def fault_of(self, request: Deferred[Any]) -> CauseError:
        self.reactor.advance(0)
        fault = self.failureResultOf(request, CauseError).value
        self.assertNotIn("s3cret", str(fault) + repr(fault))
        return fault

    def test_connection_is_kept(self) -> None:
        """Two requests use one connection, and carry path, query, login and body."""
        request, connection = self.posting()
        sent = connection.value().decode()
        self.assertTrue(sent.startswith("POST /write?db=a%20b HTTP/1.1\r\n"), sent)
        for line in ("Host: db.example:8086", "Authorization: Token s3cret", "Content-Length: 8"):
            self.assertIn(f"\r\n{line}\r\n", sent)
        self.assertTrue(sent.endswith("\r\n\r\nm a=1 1\n"))
        connection.send(b"HTTP/1.1 204 No Content\r\nX-Influxdb-Version: 1\r\n\r\n")
        self.assertEqual(self.successResultOf(request).status, 204)
        connection.clear()
        request = self.poster.post(b"m a=2 2\n")
        self.assertEqual(self.reactor.tcpClients, [])
        self.assertTrue(connection.value().endswith(b"m a=2 2\n"))
        connection.reply(b"x" * 5, "400 Bad Request", Retry_After="3")
        reply = self.successResultOf(request)
        self.assertEqual((reply.status, reply.body), (400, b"xxxxx"))
        self.assertEqual(reply.headers["retry-after"], "3")
        self.poster.close()
        self.assertTrue(connection.closed)

    def test_idle_connection_is_closed(self) -> None:
        """After a minute, before a server does it."""
        request, connection = self.posting()
        connection.reply(b"", "204 No Content")
        self.successResultOf(request)
        self.reactor.advance(61)
        self.assertTrue(connection.closed)

    def test_long_body_is_cut(self) -> None:
        """What is over the limit is not waited for, and the next request is on a new connection."""
        request, connection = self.posting()
        connection.send(b"HTTP/1.1 400 Bad\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 900)
        self.assertNoResult(request)
        connection.send(b"y" * 900)
        reply = self.successResultOf(request)
        self.assertEqual((reply.status, reply.body), (400, b"x" * 900 + b"y" * 100))
        self.assertTrue(connection.closed)
        request, connection = self.posting()
        connection.reply(b"", "204 No Content")
        self.successResultOf(request)

    def test_endless_headers(self) -> None:
        """What comes in is bounded, whatever it is."""
        request, connection = self.posting()
        connection.send(b"HTTP/1.1 200 OK\r\n")
        while not connection.closed:
            connection.send(b"A: " + b"b" * 1000 + b"\r\n")
        self.assertIn("larger than", str(self.fault_of(request)))

    def test_timeout(self) -> None:
        """One limit for all of it: while connecting, and for the last byte."""
        request = self.poster.post(b"m a=1 1\n")
        self.reactor.advance(TIMEOUT_S)
        self.assertIn("no answer within 30 s", str(self.fault_of(request)))
        self.reactor.tcpClients.clear()
        request, connection = self.posting()
        connection.send(b"HTTP/1.1 204 No Content\r\n")
        self.reactor.advance(TIMEOUT_S)
        self.assertEqual(self.fault_of(request).cause.kind, "timeout")
        self.assertTrue(connection.closed)

    def test_no_answer(self) -> None:
        """Refused, cut, and no HTTP; each by its kind."""
        request = self.poster.post(b"m a=1 1\n")
        self.reactor.refuse()
        self.reactor.advance(0.5)  # an endpoint waits for further addresses
        self.assertEqual(self.fault_of(request).cause.kind, "refused")
        request, connection = self.posting()
        connection.end()
        self.assertEqual(self.fault_of(request).cause.kind, "cut")
        request, connection = self.posting()
        connection.send(b"garbage\r\n\r\n")
        self.assertEqual(self.fault_of(request).cause.kind, "protocol")

    def test_cut_in_the_body(self) -> None:
        """Half an answer does not count."""
        request, connection = self.posting()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        connection.end()
        self.assertEqual(self.fault_of(request).cause.kind, "cut")

    def test_body_of_unknown_length(self) -> None:
        """Its end is the connection's end; without any text it may be missing as a whole."""
        request, connection = self.posting()
        connection.send(b"HTTP/1.1 400 Bad\r\n\r\nno such path")
        connection.end()
        self.assertEqual(self.successResultOf(request).body, b"no such path")
        for body in (b"", b"\r\n "):
            request, connection = self.posting()
            connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + body)
            connection.end()
            self.assertEqual(self.fault_of(request).cause.kind, "cut")

    def test_cancel(self) -> None:
        """A cancelled request ends its connection."""
        request, connection = self.posting()
        request.cancel()
        self.failureResultOf(request, CancelledError)
        self.assertTrue(connection.closed)

    def test_close_in_flight(self) -> None:
        """Closing leaves nothing behind."""
        request, connection = self.posting()
        request.addErrback(lambda _failure: None)
        self.poster.close()
        self.reactor.advance(0)
        self.assertTrue(connection.closed)
