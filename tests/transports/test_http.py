"""The bounded HTTP client, without a network."""

from __future__ import annotations

import zlib
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.cause import CauseError
from metrics_agent.http_interface import HttpReply
from metrics_agent.transports.http import HttpClient
from metrics_agent.transports.settings import TlsSettings
from tests.transports.web import Connection, WebReactor

LIMIT = 1000
TIMEOUT_S = 30.0
SECRET = "s3cr3t-token"


class HttpCase(SynchronousTestCase):
    """Makes clients, and looks for what they leave behind."""

    def setUp(self) -> None:
        self.reactor = WebReactor()
        self.client = HttpClient(self.reactor, timeout_s=TIMEOUT_S, body_limit=LIMIT)
        self.addCleanup(self.nothing_is_left)

    def nothing_is_left(self) -> None:
        self.reactor.advance(0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def get(self, url: str = "http://api.example/data", **more: Any) -> Deferred[HttpReply]:
        return ensureDeferred(self.client.get(url, **more))

    def getting(self) -> tuple[Deferred[HttpReply], Connection]:
        """Start a request that carries a secret; return it and its connection."""
        request = self.get(headers={"Authorization": f"Bearer {SECRET}"})
        return request, self.reactor.accept()

    def fault_of(self, request: Deferred[HttpReply]) -> CauseError:
        """Return why there is no reply; it names the host and nothing that was sent."""
        self.reactor.advance(0)
        fault = self.failureResultOf(request, CauseError).value
        self.assertIn("api.example: ", str(fault))
        self.assertNotIn(SECRET, repr(fault) + str(fault))
        return fault


class Replies(HttpCase):
    """What is sent, and what comes back."""

    def test_get(self) -> None:
        """A GET has its parameters and headers; the reply has status, body and headers."""
        request = self.get(params={"favourites": "a&b"}, headers={"Authorization": "Bearer x"})
        connection = self.reactor.accept()
        self.assertEqual((connection.host, connection.port), ("192.0.2.1", 80))
        sent = connection.value().decode()
        self.assertIn("GET /data?favourites=a%26b HTTP/1.1\r\n", sent)
        for line in ("Host: api.example", "Authorization: Bearer x", "Accept-Encoding: identity"):
            self.assertIn(f"\r\n{line}\r\n", sent)
        self.assertIn("\r\nUser-Agent: metrics-agent/", sent)
        connection.reply(b'{"a":1}', "403 Forbidden", Retry_After="5")
        reply = self.successResultOf(request)
        self.assertEqual((reply.status, reply.body), (403, b'{"a":1}'))
        self.assertEqual(reply.headers["retry-after"], "5")
        self.assertNotIn("a", repr(reply).partition("403")[2])
        self.assertTrue(connection.closed)

    def test_query(self) -> None:
        """Parameters come after those that the URL has; without any the URL is sent as it is."""
        for url, params, target in (
            ("http://api.example/data?a=%20b", {"c": "d e"}, "/data?a=%20b&c=d+e"),
            ("http://api.example/data?a=%20b", {}, "/data?a=%20b"),
            ("http://api.example/", {"c": "ä"}, "/?c=%C3%A4"),
        ):
            self.get(url, params=params).addErrback(lambda _fault: None)
            connection = self.reactor.accept()
            self.assertIn(f"GET {target} HTTP/1.1\r\n", connection.value().decode())
            connection.reply(b"")

    def test_post(self) -> None:
        """A POST carries its body."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        request = ensureDeferred(self.client.post("http://api.example/token", b"a=b", headers=form))
        connection = self.reactor.accept()
        sent = connection.value().decode()
        self.assertTrue(sent.startswith("POST /token HTTP/1.1\r\n"))
        self.assertIn("\r\nContent-Length: 3\r\n", sent)
        self.assertTrue(sent.endswith("\r\n\r\na=b"))
        connection.reply(b"")
        self.assertEqual(self.successResultOf(request).body, b"")

    def test_without_length(self) -> None:
        """A body without a length ends with its connection."""
        request, connection = self.getting()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nab")
        connection.send(b"cd")
        self.assertNoResult(request)
        connection.end()
        self.assertEqual(self.successResultOf(request).body, b"abcd")

    def test_chunked(self) -> None:
        request, connection = self.getting()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        connection.send(b"0\r\n\r\n")
        self.assertEqual(self.successResultOf(request).body, b"ab")

    def test_redirects_are_not_followed(self) -> None:
        """A redirect would carry the token to whoever it names: it is a reply like others."""
        request, connection = self.getting()
        connection.reply(b"", "302 Found", Location="http://evil.example/")
        self.assertEqual(self.successResultOf(request).status, 302)
        self.assertEqual(self.reactor.tcpClients, [])

    def test_interim_answers(self) -> None:
        """Answers before the answer are skipped."""
        request, connection = self.getting()
        connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        connection.reply(b"x")
        self.assertEqual(self.successResultOf(request).body, b"x")


class Limits(HttpCase):
    """Time and size."""

    def test_silent_server(self) -> None:
        """Without an answer the request ends when its time is over, and its connection."""
        request, connection = self.getting()
        self.reactor.advance(TIMEOUT_S - 0.1)
        self.assertNoResult(request)
        self.reactor.advance(0.1)
        fault = self.fault_of(request)
        self.assertEqual((fault.cause.kind, fault.cause.needs_user_action), ("timeout", False))
        self.assertEqual(str(fault), "api.example: no answer within 30 s")
        self.assertTrue(connection.closed)

    def test_slow_server(self) -> None:
        """A byte now and then does not buy more time, in the headers or in the body."""
        for start in (b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"):
            request, connection = self.getting()
            connection.send(start)
            for _ in range(int(TIMEOUT_S)):
                self.assertNoResult(request)
                connection.send(b"x")
                self.reactor.advance(1)
            self.assertEqual(self.fault_of(request).cause.kind, "timeout")
            self.assertTrue(connection.closed)

    def test_name_that_is_never_resolved(self) -> None:
        """A resolver that does not answer costs no more time than a server that does not."""
        self.reactor.resolving = False
        request = self.get()
        self.reactor.advance(TIMEOUT_S)
        self.assertEqual(self.fault_of(request).cause.kind, "timeout")

    def test_connection_that_is_never_made(self) -> None:
        request = self.get()
        self.reactor.advance(TIMEOUT_S)
        self.assertEqual(self.fault_of(request).cause.kind, "timeout")

    def test_announced_length(self) -> None:
        """A body that is announced as too large is not read."""
        request, connection = self.getting()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n")
        fault = self.fault_of(request)
        self.assertEqual(fault.cause.kind, "too_large")
        self.assertEqual(str(fault), "api.example: its answer is larger than 1000 bytes")
        self.assertTrue(connection.closed)

    def test_limit(self) -> None:
        """A body of just the limit is taken."""
        request, connection = self.getting()
        connection.reply(b"x" * LIMIT)
        self.assertEqual(len(self.successResultOf(request).body), LIMIT)

    def test_endless_answers(self) -> None:
        """What never ends is cut off soon: a body, chunks, headers, interim answers."""
        for start, more in (
            (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1024),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 100),
            (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100),
            (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50),
        ):
            request, connection = self.getting()
            connection.send(start)
            count = 0
            while not connection.closed and count < 1_000_000:
                connection.send(more)
                count += len(more)
            self.assertEqual(self.fault_of(request).cause.kind, "too_large")
            self.assertLess(count, 100_000)

    def test_body_beyond_its_limit_at_the_end(self) -> None:
        """A body that is too large and ends within the room for headers is refused."""
        request, connection = self.getting()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LIMIT + 1))
        connection.end()
        self.assertEqual(self.fault_of(request).cause.kind, "too_large")

    def test_compressed(self) -> None:
        """A compressed body is refused: how large it will become no one knows."""
        request, connection = self.getting()
        connection.reply(zlib.compress(b"x" * 100_000), Content_Encoding="gzip")
        self.assertEqual(self.fault_of(request).cause.kind, "encoding")
        self.assertTrue(connection.closed)

    def test_cancelled(self) -> None:
        """Who cancels gets no fault, and no connection is left."""
        request, connection = self.getting()
        request.cancel()
        self.reactor.advance(0)
        self.failureResultOf(request, CancelledError)
        self.assertTrue(connection.closed)
        request, connection = self.getting()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx")
        request.cancel()
        self.reactor.advance(0)
        self.failureResultOf(request, CancelledError)
        self.assertTrue(connection.closed)


class Faults(HttpCase):
    """What goes wrong, in words."""

    def test_refused(self) -> None:
        request = self.get()
        self.reactor.refuse()
        # The endpoint looks again after a moment whether all attempts have failed.
        self.reactor.advance(1)
        fault = self.fault_of(request)
        self.assertEqual(fault.cause.kind, "refused")

    def test_unknown_host(self) -> None:
        self.reactor.addresses = []
        fault = self.fault_of(self.get())
        self.assertEqual(fault.cause.kind, "dns")
        self.assertEqual(str(fault), "api.example: the host name cannot be resolved")

    def test_cut_off(self) -> None:
        """A connection that ends too early, at once or within the body."""
        for data in (b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"):
            for reason in (None, ConnectionLost()):
                request, connection = self.getting()
                connection.send(data)
                connection.end(reason)
                fault = self.fault_of(request)
                self.assertIn(fault.cause.kind, {"cut", "protocol"})

    def test_not_http(self) -> None:
        """A peer that speaks something else."""
        for data in (
            b"SSH-2.0-OpenSSH_9\r\n",
            b"\x15\x03\x01\x00\x02\x02\x28\r\n",
            b"HTTP/1.1 x\r\n",
        ):
            request, connection = self.getting()
            connection.send(data)
            self.assertEqual(self.fault_of(request).cause.kind, "protocol")
            self.assertTrue(connection.closed)

    def test_ca_file(self) -> None:
        """A file of authorities that cannot be read is the user's affair."""
        client = HttpClient(
            self.reactor,
            timeout_s=TIMEOUT_S,
            body_limit=LIMIT,
            tls=TlsSettings(tls_ca="/nonexistent.pem"),
        )
        request = ensureDeferred(client.get("https://api.example/"))
        fault = self.failureResultOf(request, CauseError).value
        self.assertTrue(fault.cause.needs_user_action)
        self.assertIn("/nonexistent.pem", str(fault))
