"""MQTT inside a WebSocket, against wsproto in the part of the server."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint, ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from zope.interface.verify import verifyObject

from metrics_agent.broker_address import parse_address
from metrics_agent.cause import CauseError
from metrics_agent.errors import ProtocolError
from metrics_agent.transports.mqtt.websocket_stream import over_websocket
from tests.transports.mqtt.scripted import FakeEndpoint


class Inner(Protocol):
    """Notes what it sees of its stream."""

    def __init__(self) -> None:
        self.reads: list[bytes] = []
        self.reason = None

    @property
    def data(self) -> bytes:
        return b"".join(self.reads)

    def dataReceived(self, data: bytes) -> None:
        self.reads.append(data)

    def connectionLost(self, reason) -> None:
        self.reason = reason


class WebSocketTests(SynchronousTestCase):
    """The inner protocol sees bytes in order and a transport."""

    def open(self, url: str = "ws://broker:8080/mqtt?x=1") -> Deferred:
        below = FakeEndpoint(None)
        endpoint = over_websocket(below, parse_address(url))
        verifyObject(IStreamClientEndpoint, endpoint)
        self.server = WSConnection(ConnectionType.SERVER)
        opened = endpoint.connect(Factory.forProtocol(Inner))
        self.transport = below.open()
        return opened

    def received(self) -> list:
        self.server.receive_data(self.transport.value())
        self.transport.clear()
        return list(self.server.events())

    def send(self, *events) -> None:
        data = b"".join(map(self.server.send, events))
        self.transport.protocol.dataReceived(data)

    def accepted(self) -> Inner:
        opened = self.open()
        self.received()
        self.send(AcceptConnection(subprotocol="mqtt"))
        return self.successResultOf(opened)

    def test_handshake(self) -> None:
        """Host with port, path with query, and the subprotocol of MQTT."""
        opened = self.open()
        [request] = self.received()
        self.assertIsInstance(request, Request)
        self.assertEqual(
            (request.host, request.target, request.subprotocols),
            ("broker:8080", "/mqtt?x=1", ["mqtt"]),
        )
        self.assertNoResult(opened)
        self.send(AcceptConnection(subprotocol="mqtt"))
        verifyObject(ITransport, self.successResultOf(opened).transport)

    def test_host_header(self) -> None:
        """The standard port is left out and an IPv6 address is in brackets."""
        for url, host in (
            ("ws://broker/mqtt", "broker"),
            ("wss://broker/mqtt", "broker"),
            ("ws://[::1]:81/mqtt", "[::1]:81"),
        ):
            self.open(url)
            self.assertEqual(self.received()[0].host, host)

    def test_bytes_both_ways(self) -> None:
        """Frames and packets need not line up, byte by byte or in one."""
        inner = self.accepted()
        inner.transport.writeSequence([b"ab", b"c"])
        self.assertEqual([bytes(event.data) for event in self.received()], [b"abc"])
        data = self.server.send(BytesMessage(data=b"one", message_finished=False))
        data += self.server.send(BytesMessage(data=b"two"))
        for byte in data:
            self.transport.protocol.dataReceived(bytes([byte]))
        self.assertEqual(inner.data, b"onetwo")

    def test_data_in_the_read_of_the_handshake(self) -> None:
        """Frames right behind the acceptance are not lost."""
        opened = self.open()
        self.received()
        self.send(AcceptConnection(subprotocol="mqtt"), BytesMessage(data=b"hello"))
        self.assertEqual(self.successResultOf(opened).data, b"hello")

    def test_ping(self) -> None:
        """A ping of the server is answered."""
        self.accepted()
        self.send(Ping(payload=b"x"))
        self.assertIsInstance(self.received()[0], Pong)

    def test_refused(self) -> None:
        """Another status, another subprotocol and something else entirely: each is reported."""
        opened = self.open()
        self.received()
        self.send(RejectConnection(status_code=403))
        self.assertIn("HTTP status 403", str(self.failureResultOf(opened, CauseError).value))
        opened = self.open()
        self.received()
        self.send(AcceptConnection())
        self.assertIn("not carry MQTT", str(self.failureResultOf(opened, CauseError).value))
        opened = self.open()
        self.transport.protocol.dataReceived(b"SSH-2.0-x\r\n\r\n")
        self.assertIn("not speak WebSocket", str(self.failureResultOf(opened, CauseError).value))
        self.assertTrue(self.transport.aborted)

    def test_refused_for_odd_bytes(self) -> None:
        """An answer whose header fields are not ASCII is not a WebSocket's."""
        opened = self.open()
        self.received()
        answer = self.server.send(AcceptConnection(subprotocol="mqtt"))
        self.transport.protocol.dataReceived(answer.replace(b"mqtt", b"\xffqtt"))
        self.assertIn("not speak WebSocket", str(self.failureResultOf(opened, CauseError).value))

    def test_lost_in_the_handshake(self) -> None:
        """A socket that closes before the acceptance fails the attempt with its reason."""
        opened = self.open()
        self.transport.lost(ConnectionDone())
        self.failureResultOf(opened, ConnectionDone)

    def test_cancelled_in_the_handshake(self) -> None:
        """An attempt that is given up cuts its socket."""
        opened = self.open()
        opened.cancel()
        self.failureResultOf(opened)
        self.assertTrue(self.transport.aborted)

    def test_broken_frames(self) -> None:
        """Text, and what is not a frame, end the connection as a breach of the protocol."""
        for breach in (lambda: self.send(TextMessage(data="no")), self._no_frame):
            inner = self.accepted()
            breach()
            inner.reason.trap(ProtocolError)
            self.assertTrue(self.transport.gone)

    def _no_frame(self) -> None:
        self.transport.protocol.dataReceived(b"\xff\xff\xff\xff")

    def test_closed_by_the_server(self) -> None:
        """A close frame is answered and the socket closed."""
        inner = self.accepted()
        self.send(CloseConnection(code=1000))
        inner.reason.trap(ConnectionDone)

    def test_writes_after_the_server_closed(self) -> None:
        """While the socket below is still closing, what is written is forgotten, and no error."""
        for breach in (lambda: self.send(CloseConnection(code=1000)), self._no_frame):
            inner = self.accepted()
            self.transport.hangs_at_close = True
            breach()
            self.transport.clear()
            inner.transport.write(b"late")
            inner.transport.loseConnection()
            self.assertEqual(self.transport.value(), b"")

    def test_empty_frames(self) -> None:
        """A frame without bytes is nothing: a stream has no empty reads."""
        inner = self.accepted()
        self.send(BytesMessage(data=b"one", message_finished=False), BytesMessage(data=b""))
        self.assertEqual(inner.reads, [b"one"])

    def test_closed_by_us(self) -> None:
        """Closing sends a close frame once, and nothing after it."""
        inner = self.accepted()
        self.transport.hangs_at_close = True
        inner.transport.loseConnection()
        inner.transport.loseConnection()
        inner.transport.write(b"late")
        [event] = self.received()
        self.assertIsInstance(event, CloseConnection)
        self.send(event.response())
        self.assertTrue(self.transport.disconnecting)

    def test_producers_go_through(self) -> None:
        """Pausing, resuming and the write buffer are the socket's."""
        inner = self.accepted()
        inner.transport.pauseProducing()
        self.assertEqual(self.transport.producerState, "paused")
        inner.transport.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")
        producer = object()
        inner.transport.registerProducer(producer, streaming=True)
        self.assertIs(self.transport.producer, producer)
        inner.transport.unregisterProducer()
        self.assertIsNone(self.transport.producer)
        self.assertEqual(inner.transport.getPeer(), self.transport.getPeer())
        self.assertEqual(inner.transport.getHost(), self.transport.getHost())
        inner.transport.abortConnection()
        self.assertTrue(self.transport.aborted)
