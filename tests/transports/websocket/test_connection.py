"""The life of a WebSocket connection: it comes back without end, one socket at a time."""

from __future__ import annotations

from twisted.internet import error
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase
from wsproto.events import AcceptConnection, CloseConnection, Ping, Pong

from metrics_agent.cause import Cause, CauseError
from metrics_agent.config import Secret
from metrics_agent.errors import MissingDependency
from metrics_agent.transports.outage import PROVEN_S
from metrics_agent.transports.write_gate import STUCK_S
from tests.transports.websocket.scripted import Scripted

PASSWORD = "s3cr3t"
DIGEST = 'Digest realm="live websocket", qop="auth", nonce="0a1b", opaque="2c3d"'


class Case(SynchronousTestCase):
    """Makes scripted connections, and sees to it that none leaves anything behind."""

    def make(self, **changes) -> Scripted:
        script = Scripted(**changes)
        self.addCleanup(self.nothing_is_left, script)
        return script

    def start(self, **changes) -> Scripted:
        script = self.make(**changes)
        script.start()
        return script

    def nothing_is_left(self, script: Scripted) -> None:
        script.connection.stopService()
        script.wait(1)
        self.assertEqual(script.clock.getDelayedCalls(), [])
        for line in script.events:
            self.assertNotIn(PASSWORD, repr(line))


class LifeTests(Case):
    """Starting, receiving, stopping."""

    def test_messages(self) -> None:
        """Messages come out as they came in; one line says that it is connected."""
        script = self.start()
        script.send("one")
        script.send("größer")
        self.assertEqual(script.messages, [b"one", "größer".encode()])
        self.assertEqual(script.logged(), ["Connected to ws://dtu/live."])
        self.assertEqual(script.changes, [True])
        self.assertTrue(script.connection.connected)

    def test_request(self) -> None:
        """Host and path are asked for, without a login."""
        script = self.start(url="dtu:8080/a?b=c")
        self.assertEqual((script.request.host, script.request.target), ("dtu:8080", "/a?b=c"))
        self.assertEqual(script.authorization(), "")

    def test_stop(self) -> None:
        """A close frame goes out; when the server has closed it is done; twice is harmless."""
        script = self.start()
        stopped = [script.connection.stopService(), script.connection.stopService()]
        self.assertIsInstance(script.heard()[0], CloseConnection)
        script.feed(b"\x81\x04late")
        self.assertEqual(script.messages, [])
        self.assertNoResult(stopped[0])
        script.transport.lost(error.ConnectionDone())
        for each in stopped:
            self.successResultOf(each)
        self.assertEqual(script.changes, [True], "a stop is no outage")
        self.assertEqual(script.logged(), ["Connected to ws://dtu/live."])

    def test_stop_with_a_server_that_does_not_close(self) -> None:
        """A server that keeps the socket open is not waited for longer than a moment."""
        script = self.start()
        stopped = script.connection.stopService()
        script.clock.advance(0.3)
        self.successResultOf(stopped)
        self.assertTrue(script.transport.aborted)

    def test_stop_at_any_time(self) -> None:
        """Before the start, while dialling, in the handshake and while waiting: at once."""
        script = self.make()
        self.successResultOf(script.connection.stopService())
        script.connection.startService()
        self.successResultOf(script.connection.stopService())
        self.assertTrue(script.attempts[0].cancelled)
        script = self.make()
        script.connection.startService()
        script.accept_socket()
        self.successResultOf(script.connection.stopService())
        self.assertTrue(script.transport.aborted)
        script = self.make()
        script.connection.startService()
        script.attempts[0].fail(error.ConnectionRefusedError())
        self.successResultOf(script.connection.stopService())
        script.wait(100)
        self.assertEqual(len(script.attempts), 1)

    def test_what_is_noted(self) -> None:
        """Pending at first, then why there is none, that there is one, why it is gone."""
        script = self.make()
        script.connection.startService()
        script.attempts[0].fail(error.ConnectionRefusedError())
        pending, (address, failed) = script.noted
        self.assertEqual((pending, address), (("ws://dtu/live", None), "ws://dtu/live"))
        self.assertIn("cannot connect: connection refused", failed or "")
        script = self.start()
        script.transport.lost(error.ConnectionDone())
        pending, opened, (_address, lost) = script.noted
        self.assertEqual(opened, ("ws://dtu/live", ""))
        self.assertIn("lost the connection: ", lost or "")

    def test_large_message(self) -> None:
        """It is dropped and counted, and the connection goes on."""
        script = self.start(max_message=1024)
        script.send("x" * 1025)
        script.send("ok")
        self.assertEqual((script.messages, script.oversized), ([b"ok"], 1))
        self.assertTrue(script.connection.connected)


class SignsOfLifeTests(Case):
    """Silence is not death, and death is noticed."""

    def test_nothing_to_say(self) -> None:
        """A server that sends nothing for a day but answers pings is left alone."""
        script = self.start()
        for _ in range(24 * 60 * 4):
            script.clock.advance(15)
            script.say(*(event.response() for event in script.heard() if isinstance(event, Ping)))
        self.assertEqual(len(script.attempts), 1)
        self.assertEqual(script.logged(), ["Connected to ws://dtu/live."])

    def test_dead(self) -> None:
        """A server that answers no ping is given up, with one line."""
        script = self.start(ping_interval=15, ping_timeout=10)
        script.wait(25)
        self.assertTrue(script.transport.aborted)
        [line] = script.logged(LogLevel.warn)
        self.assertIn("Lost the connection to ws://dtu/live: no answer to a ping within 10 s", line)

    def test_data_instead_of_a_pong(self) -> None:
        """A whole message is a sign of life too: a busy server may drop pongs."""
        script = self.start()
        for _ in range(20):
            script.wait(10)
            script.send("x")
        self.assertFalse(script.transport.aborted)

    def test_endless_frame(self) -> None:
        """Bytes of a frame that never ends are no sign of life."""
        script = self.start()
        script.feed(b"\x81\x7f" + (1 << 40).to_bytes(8, "big"))
        for _ in range(60):
            script.wait(0.5)
            if not script.transport.gone:
                script.feed(b"x" * 1000)
        self.assertTrue(script.transport.aborted)

    def test_pings_of_the_server(self) -> None:
        """They are answered, unless the server does not read the answers."""
        script = self.start()
        script.say(Ping(payload=b"a"))
        self.assertEqual(script.heard(), [Pong(payload=b"a")])
        script.transport.producer.pauseProducing()
        script.say(*[Ping(payload=b"b")] * 1000)
        self.assertEqual(script.transport.value(), b"")
        script.transport.producer.resumeProducing()
        script.say(Ping(payload=b"c"))
        self.assertEqual(script.heard(), [Pong(payload=b"c")])
        script.transport.producer.stopProducing()

    def test_server_that_never_reads_again_is_left(self) -> None:
        """After a while the connection ends, though messages go on to come."""
        script = self.start()
        script.transport.producer.pauseProducing()
        for _ in range(int(STUCK_S) - 1):
            script.wait(1)
            script.send("x")
        self.assertFalse(script.transport.aborted)
        script.wait(1)
        self.assertTrue(script.transport.aborted)
        [line] = script.logged(LogLevel.warn)
        self.assertIn(f"the other side has read nothing for {STUCK_S:g} s", line)

    def test_slow_handshake(self) -> None:
        """An answer that drips in byte by byte has one limit for all of it."""
        script = self.make(connect_timeout=10)
        script.connection.startService()
        script.accept_socket()
        answer = script.server.send(AcceptConnection())
        for index in range(12):
            if not script.transport.gone:
                script.feed(answer[index : index + 1])
            script.clock.advance(1)
        self.assertTrue(script.transport.aborted)
        [line] = script.logged()
        self.assertIn("Cannot connect to ws://dtu/live: no answer to the handshake within", line)

    def test_late_transport(self) -> None:
        """What it took is missing for the handshake: one deadline for all of an attempt."""
        script = self.make(connect_timeout=10)
        script.connection.startService()
        script.wait(9)
        script.accept_socket()
        script.wait(1)
        self.assertTrue(script.transport.aborted)
        self.assertIn("no answer to the handshake within 10 s", script.logged()[0])

    def test_server_that_never_takes_the_socket(self) -> None:
        """Connecting has its limit too."""
        script = self.make(connect_timeout=10)
        script.connection.startService()
        script.wait(10)
        self.assertTrue(script.attempts[0].cancelled)
        self.assertIn("no connection within 10 s", script.logged()[0])


class OutageTests(Case):
    """One line down, one line up, and it comes back without end."""

    def test_one_line_down_one_line_up(self) -> None:
        """However long it lasts and however often it is tried."""
        script = self.start()
        script.clock.advance(PROVEN_S)
        script.transport.lost(error.ConnectionLost())
        for _ in range(50):
            script.until_next_attempt()
            script.attempts[-1].fail(error.ConnectionRefusedError())
        script.until_next_attempt()
        script.accept()
        lines = script.logged()
        self.assertEqual(script.changes, [True, False, True])
        self.assertEqual(len(lines), 3, lines)
        self.assertIn("Lost the connection to ws://dtu/live: the connection was cut.", lines[1])
        self.assertRegex(lines[2], r"Connected to ws://dtu/live again after \d+ s\.")

    def test_backoff(self) -> None:
        """Waits double up to the limit, and are spread by chance."""
        for chance, waits in (
            (1.0, [1, 2, 4, 8, 16, 32, 60, 60]),
            (0.0, [0.5, 1, 2, 4, 8, 16, 30]),
        ):
            script = self.make(random=chance)
            script.connection.startService()
            for seconds in waits:
                script.attempts[-1].fail(error.ConnectionRefusedError())
                self.assertEqual(script.until_next_attempt(), seconds)

    def test_tries_for_ever(self) -> None:
        """A week of outage, and it is tried every minute still."""
        script = self.make(random=1.0)
        script.connection.startService()
        week = 7 * 24 * 60
        for _ in range(week):
            script.attempts[-1].fail(error.TimeoutError())
            script.clock.advance(60)
        self.assertEqual(len(script.attempts), week + 1)
        self.assertEqual(len(script.logged()), 1)

    def test_proven_connection_begins_anew(self) -> None:
        """A connection that held resets the waits, and a new loss is news."""
        script = self.make()
        script.connection.startService()
        for _ in range(5):
            script.attempts[-1].fail(error.ConnectionRefusedError())
            script.until_next_attempt()
        script.accept()
        script.clock.advance(PROVEN_S)
        script.transport.lost(error.ConnectionDone())
        self.assertEqual(script.until_next_attempt(), 1)
        self.assertEqual(len(script.logged(LogLevel.warn)), 2)

    def test_thrown_out_again_and_again(self) -> None:
        """A server that drops us soon each time is reported three times, not each time."""
        script = self.make()
        script.connection.startService()
        for _ in range(20):
            script.accept()
            script.transport.lost(error.ConnectionDone())
            script.until_next_attempt()
        lines = script.logged()
        self.assertEqual(len(lines), 4, lines)
        self.assertIn("(too many clients?)", lines[3])
        script.accept()
        script.clock.advance(PROVEN_S)
        self.assertIn("Connected to ws://dtu/live again", script.logged()[-1])

    def test_one_socket_at_a_time(self) -> None:
        """No attempt begins before the socket before it has ended."""
        script = self.start()
        script.transport.hangs_at_close = True
        script.say(CloseConnection(code=1001, reason="restart"))
        self.assertEqual((script.transport.gone, len(script.attempts)), (False, 1))
        script.wait(0.5)
        self.assertEqual((script.transport.gone, len(script.attempts)), (True, 1))
        self.assertIn("closed the connection with code 1001 ('restart')", script.logged()[-1])
        script.until_next_attempt()
        self.assertEqual(len(script.attempts), 2)

    def test_causes(self) -> None:
        """Each cause of a failed attempt is one clear line with the address."""
        for fault, words in (
            (error.ConnectionRefusedError(), "connection refused"),
            (error.DNSLookupError(), "the host name cannot be resolved"),
            (error.NoRouteError(), "the network is unreachable"),
        ):
            script = self.make()
            script.connection.startService()
            script.attempts[0].fail(fault)
            [line] = script.logged(LogLevel.warn)
            self.assertIn("Cannot connect to ws://dtu/live: ", line)
            self.assertIn(words, line)

    def test_cause_of_tls(self) -> None:
        """What the verification noted replaces what the socket says."""
        script = self.make()
        script.explain = lambda _cause: Cause("tls_expired", "its certificate has expired", True)
        script.connection.startService()
        script.accept_socket()
        script.transport.lost(error.ConnectionLost())
        [line] = script.logged(LogLevel.error)
        self.assertIn("Cannot connect to ws://dtu/live: its certificate has expired.", line)

    def test_closed_before_the_handshake(self) -> None:
        """A server that hangs up is not a WebSocket yet."""
        script = self.make()
        script.connection.startService()
        script.accept_socket()
        script.transport.lost(error.ConnectionDone())
        self.assertIn(
            "closed the connection before answering (is it the right port", script.logged()[0]
        )
        self.assertEqual(script.changes, [False])

    def test_no_websocket_there(self) -> None:
        """Another protocol on the port needs a user; it is tried again all the same."""
        script = self.make()
        script.connection.startService()
        script.accept_socket()
        script.feed(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        [line] = script.logged(LogLevel.error)
        self.assertIn("the port does not speak WebSocket", line)
        self.assertEqual(script.until_next_attempt(), 60)

    def test_broken_frames(self) -> None:
        """A breach of the protocol ends the connection, once and with a line."""
        script = self.start()
        script.feed(b"\xff\xff\xff")
        self.assertIn("the server broke the protocol", script.logged(LogLevel.warn)[0])
        script.until_next_attempt()

    def test_what_cannot_even_be_tried(self) -> None:
        """A certificate that cannot be read, a package that is missing: an error, tried again."""
        for fault in (
            CauseError(Cause("tls_ca", "tls_ca '/x' cannot be read", needs_user_action=True)),
            MissingDependency("TLS needs a package"),
        ):
            script = self.make()
            script.dial_error = fault
            script.connection.startService()
            self.assertIn(str(fault), script.logged(LogLevel.error)[0])
            script.dial_error = None
            self.assertEqual(script.until_next_attempt(), 60)

    def test_hint(self) -> None:
        """What the module knows of a cause is added to it."""
        script = self.make(hints={"http_404": "the DTU's is /livedata"})
        script.connection.startService()
        script.refuse(404)
        self.assertIn("(HTTP 404); the DTU's is /livedata.", script.logged()[0])

    def test_fault_in_the_owner(self) -> None:
        """A receiver that breaks its promise not to raise costs the connection, not more."""
        script = self.start()

        def raising(_data: bytes) -> None:
            raise ValueError("oops")

        self.patch(script.connection, "_received", raising)
        script.send("x")
        self.flushLoggedErrors()
        self.assertIn("a fault of our own", script.logged()[-1])
        script.until_next_attempt()


class RefusalTests(Case):
    """HTTP answers, each a clear line, and when it is tried again."""

    def refused(self, status: int, **headers: str) -> tuple[Scripted, str]:
        script = self.make()
        script.connection.startService()
        script.refuse(status, **headers)
        [line] = script.logged()
        self.assertTrue(script.transport.aborted, "the body is not waited for")
        return script, line

    def test_lines(self) -> None:
        """404, redirects and a page in place of a WebSocket: the longest wait."""
        for status, headers, words in (
            (404, {}, "there is no WebSocket at that path (HTTP 404)"),
            (301, {"location": "https://dtu/live"}, "it redirects to 'https://dtu/live'"),
            (200, {}, "answers with a page"),
        ):
            script, line = self.refused(status, **headers)
            self.assertEqual(line, script.logged(LogLevel.error)[0])
            self.assertIn(words, line)
            self.assertEqual(script.until_next_attempt(), 60)

    def test_too_many_requests(self) -> None:
        """429 is a warning; the server's wish to be left alone is granted."""
        script, line = self.refused(429, retry_after="90")
        self.assertEqual([line], script.logged(LogLevel.warn))
        self.assertIn("too fast (HTTP 429)", line)
        self.assertEqual(script.until_next_attempt(), 90)
        script, _line = self.refused(429)
        self.assertEqual(script.until_next_attempt(), 1)

    def test_server_fault(self) -> None:
        """500 with whatever body is tried again soon."""
        script, line = self.refused(500, content_type="text/html")
        self.assertIn("a fault of its own (HTTP 500)", line)
        self.assertEqual(script.until_next_attempt(), 1)

    def test_endless_headers(self) -> None:
        """An answer that does not end is cut."""
        script = self.make()
        script.connection.startService()
        script.accept_socket()
        script.feed(b"HTTP/1.1 200 OK\r\n")
        for _ in range(1000):
            if not script.transport.gone:
                script.feed(b"X-Header: " + b"x" * 1000 + b"\r\n")
        self.assertTrue(script.transport.aborted)


class LoginTests(Case):
    """Who we are is reported when asked, once an attempt."""

    def make(self, **changes) -> Scripted:
        login = {"username": "admin", "password": Secret(PASSWORD)}
        return super().make(**{**login, **changes})

    def challenge(self, script: Scripted, challenge: str) -> None:
        """Refuse the last attempt and let it come back at once."""
        before = len(script.attempts)
        script.refuse(401, www_authenticate=challenge)
        self.assertTrue(script.transport.gone, "never two sockets")
        script.clock.advance(0)
        self.assertEqual(len(script.attempts), before + 1)

    def test_digest(self) -> None:
        """A challenge is answered at once and without a line about it."""
        script = self.make()
        script.connection.startService()
        self.challenge(script, DIGEST)
        script.accept()
        self.assertTrue(script.authorization().startswith("Digest "))
        self.assertEqual(script.logged(), ["Connected to ws://dtu/live."])

    def test_basic(self) -> None:
        """The same with Basic; set as such it is asked at once."""
        script = self.make()
        script.connection.startService()
        self.challenge(script, 'Basic realm="x"')
        script.accept()
        self.assertTrue(script.authorization().startswith("Basic "))
        script = self.make(login="basic")
        script.start()
        self.assertTrue(script.authorization().startswith("Basic "))

    def test_told_at_once_the_next_time(self) -> None:
        """A reconnect answers the last challenge unasked, counting its nonce up."""
        script = self.make()
        script.connection.startService()
        self.challenge(script, DIGEST)
        script.accept()
        script.clock.advance(PROVEN_S)
        script.transport.lost(error.ConnectionDone())
        script.until_next_attempt()
        script.accept()
        self.assertIn("nc=00000002", script.authorization())

    def test_new_nonce(self) -> None:
        """A nonce that the server does not know any more is replaced at once."""
        script = self.make()
        script.connection.startService()
        self.challenge(script, DIGEST)
        script.accept()
        script.transport.lost(error.ConnectionDone())
        script.until_next_attempt()
        self.challenge(script, DIGEST.replace("0a1b", "9f9f") + ", stale=true")
        script.accept()
        self.assertIn('nonce="9f9f"', script.authorization())
        self.assertEqual(script.logged(LogLevel.error), [])

    def test_wrong_password(self) -> None:
        """One error line and the longest wait; each attempt asks twice, no more."""
        script = self.make()
        script.connection.startService()
        for round_number in range(1, 4):
            self.challenge(script, DIGEST)
            script.refuse(401, www_authenticate=DIGEST)
            self.assertEqual(len(script.attempts), 2 * round_number)
            self.assertEqual(script.until_next_attempt(), 60)
        [line] = script.logged()
        self.assertEqual(script.logged(LogLevel.error), [line])
        self.assertIn("ws://dtu/live: it refuses the user name or password (HTTP 401)", line)

    def test_no_password_set(self) -> None:
        """A server that asks for one: said so."""
        script = self.make(password=None)
        script.connection.startService()
        script.refuse(401, www_authenticate=DIGEST)
        self.assertIn("it wants a login, set the password", script.logged(LogLevel.error)[0])
        self.assertEqual(script.until_next_attempt(), 60)

    def test_password_changed_while_connected(self) -> None:
        """The server closes all sockets and refuses what we know: one line down, one error."""
        script = self.make()
        script.connection.startService()
        self.challenge(script, DIGEST)
        script.accept()
        script.clock.advance(PROVEN_S)
        script.say(CloseConnection(code=1001))
        script.wait(0.5)
        script.until_next_attempt()
        self.challenge(script, DIGEST)
        script.refuse(401, www_authenticate=DIGEST)
        self.assertEqual(len(script.logged(LogLevel.warn)), 1)
        self.assertEqual(len(script.logged(LogLevel.error)), 1)

    def test_stop_before_the_answer(self) -> None:
        """A stop between challenge and answer is a stop."""
        script = self.make()
        script.connection.startService()
        script.refuse(401, www_authenticate=DIGEST)
        self.successResultOf(script.connection.stopService())
        script.wait(100)
        self.assertEqual(len(script.attempts), 1)

    def test_digest_package_missing(self) -> None:
        """The line says what to install."""
        from metrics_agent.transports import http_auth

        def missing(name: str) -> None:
            raise ImportError(name)

        self.patch(http_auth, "import_module", missing)
        script = self.make()
        script.connection.startService()
        script.refuse(401, www_authenticate=DIGEST)
        self.assertIn("pip install '.[digest]'", script.logged(LogLevel.error)[0])

    def test_nothing_shows_the_login(self) -> None:
        """No repr of what is alive shows the password or the header made of it."""
        script = self.make(login="basic")
        script.start()
        link = script.connection._reconnecting.link
        for each in (script.connection, script.connection._settings, link, link._handshake):
            self.assertNotIn(PASSWORD, repr(each))
            self.assertNotIn("Basic", repr(each))
