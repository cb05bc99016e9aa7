"""The door to WebSockets and HTTP, and to what calls back by itself."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, TextMessage

from metrics_agent.supervision.context import Context
from metrics_agent.transports.websocket.settings import WebSocketSettings
from tests.supervision.fakes import FAULTS, ContextCase, raiser
from tests.transports.mqtt.scripted import FakeTransport
from tests.transports.web import WebReactor

URL = "http://device.example/live"


class GuardedTests(ContextCase):
    """Calls that are handed to a library."""

    def test_faults(self) -> None:
        """Whatever it raises is contained, logged and counted under its place."""
        context = self.make_context()
        for fault in FAULTS:
            context.guarded(raiser(fault), place="library")()
        self.assertEqual(self.counters.errors, {"library": len(FAULTS)})
        self.assertEqual(len(self.logged()), len(FAULTS))

    def test_arguments(self) -> None:
        """It gets what it is called with."""
        got: list[object] = []
        self.make_context().guarded(lambda *given: got.append(given))(1, "a")
        self.assertEqual(got, [(1, "a")])

    def test_after_the_stop(self) -> None:
        """It does nothing once the module is gone."""
        context = self.make_context()
        call = context.guarded(raiser(ValueError()))
        context.close()
        call()
        self.assertEqual(self.counters.errors, {})


class TransportCase(ContextCase):
    """Makes contexts on a reactor in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = WebReactor()
        self.noted: list[tuple[str, str, str | None]] = []
        self.resources = evolve(
            self.resources,
            reactor=self.reactor,
            note_connection=lambda *note: self.noted.append(note),
            random=lambda: 0.5,
        )

    def nothing_is_left(self) -> None:
        self.reactor.advance(1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class WebSocketTests(TransportCase):
    """One WebSocket of a module."""

    def setUp(self) -> None:
        super().setUp()
        self.frames: list[bytes] = []
        self.changes: list[bool] = []
        self.fault: Exception | None = None

    def received(self, data: bytes) -> None:
        self.frames.append(data)
        if self.fault is not None:
            raise self.fault

    def open(self, context: Context) -> Any:
        """Open a WebSocket; the server accepts it."""
        socket = context.websocket(
            WebSocketSettings(url=URL), self.received, changed=self.changes.append
        )
        factory = self.reactor.tcpClients.pop()[2]
        self.transport = FakeTransport()
        self.transport.protocol = factory.buildProtocol(None)
        self.transport.protocol.makeConnection(self.transport)
        self.server = WSConnection(ConnectionType.SERVER)
        self.server.receive_data(self.transport.value())
        list(self.server.events())
        self.send(AcceptConnection())
        return socket

    def send(self, event: Any) -> None:
        self.transport.protocol.dataReceived(self.server.send(event))

    def test_frames(self) -> None:
        """They are handed on; a fault with one is contained, and the next one comes."""
        self.open(self.make_context())
        self.fault = ValueError("odd")
        self.send(TextMessage(data="a"))
        self.fault = None
        self.send(TextMessage(data="b"))
        self.assertEqual([bytes(frame) for frame in self.frames], [b"a", b"b"])
        self.assertEqual(self.counters.errors, {"frame": 1})
        self.assertEqual(self.changes, [True])
        self.assertEqual([problem for _name, _url, problem in self.noted], [None, ""])

    def test_no_deferred_for_a_frame(self) -> None:
        """A frame is guarded without a Deferred."""
        self.open(self.make_context())
        made: list[object] = []
        create = Deferred.__init__

        def note(deferred: Any, *args: Any) -> None:
            made.append(deferred)
            create(deferred, *args)

        self.patch(Deferred, "__init__", note)
        for number in range(100):
            self.send(TextMessage(data=str(number)))
        self.assertEqual((len(self.frames), made), (100, []))

    def test_cancel(self) -> None:
        """The module can wait until the socket is closed; it is not left behind then."""
        context = self.make_context()
        closed = self.open(context).cancel()
        self.assertNoResult(closed)
        self.reactor.advance(1)
        self.successResultOf(closed)
        self.assertEqual((context.close(), self.changes), ("", [True]))
        self.nothing_is_left()

    def test_left_behind(self) -> None:
        """What the module leaves is closed, and what it sends meanwhile goes nowhere."""
        context = self.make_context()
        self.open(context)
        self.assertEqual(context.close(), "1 connection")
        self.send(TextMessage(data="late"))
        self.assertEqual((self.frames, self.counters.errors), ([], {}))
        self.reactor.advance(1)
        self.assertTrue(self.transport.gone)
        self.nothing_is_left()

    def test_after_the_stop(self) -> None:
        """Code that was left over opens none."""
        context = self.make_context()
        context.close()
        socket = context.websocket(WebSocketSettings(url=URL), self.received)
        self.successResultOf(socket.cancel())
        self.assertEqual(self.reactor.tcpClients, [])


class HttpTests(TransportCase):
    """Requests of a module."""

    def test_get(self) -> None:
        """A request has its limits."""
        client = self.make_context().http(timeout_s=5, body_limit=10)
        request = ensureDeferred(client.get(URL))
        self.reactor.accept().reply(b"a")
        self.assertEqual(self.successResultOf(request).body, b"a")
        request = ensureDeferred(client.get(URL))
        self.reactor.accept().reply(b"a" * 11)
        self.assertIn("larger than 10 bytes", self.failureResultOf(request).getErrorMessage())
        self.nothing_is_left()

    def test_after_the_stop(self) -> None:
        """What is under way is finished, since the server may have acted on it; none begins."""
        context = self.make_context()
        client = context.http(timeout_s=5, body_limit=10)
        request = ensureDeferred(client.post(URL, b"token"))
        connection = self.reactor.accept()
        self.assertEqual(context.close(), "")
        connection.reply(b"new token")
        self.assertEqual(self.successResultOf(request).body, b"new token")
        self.failureResultOf(ensureDeferred(client.get(URL)), CancelledError)
        self.assertEqual(self.reactor.tcpClients, [])
        self.nothing_is_left()
