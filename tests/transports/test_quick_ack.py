"""Acknowledging on TCP at once."""

from __future__ import annotations

import socket

from OpenSSL import SSL
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.interfaces import Message
from metrics_agent.transports.mqtt.acknowledge import FEW
from metrics_agent.transports.quick_ack import acknowledge_now
from tests.transports.mqtt.scripted import Scripted, publish


class Transport:
    """One over a socket."""

    def __init__(self, made: socket.socket) -> None:
        self.made = made

    def getHandle(self) -> socket.socket:
        return self.made


class QuickAckTests(SynchronousTestCase):
    """Sockets of all kinds."""

    def test_tcp(self) -> None:
        """The option is set where it was not."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            self.addCleanup(client.close)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            acknowledge_now(Transport(client))
            self.assertEqual(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK), 1)

    def test_tls_and_websocket(self) -> None:
        """It is done on the socket below, whatever is above it."""

        class Above:
            """As TLS, whose handle has no socket, or as a WebSocket, which has no handle."""

            def __init__(self, transport: object, handle: object = None) -> None:
                self.transport = transport
                if handle is not None:
                    self.getHandle = lambda: handle

        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            self.addCleanup(client.close)
            tls = Above(Transport(client), SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None))
            for top in (tls, Above(Transport(client)), Above(tls)):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
                acknowledge_now(top)
                self.assertEqual(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK), 1)

    def test_others(self) -> None:
        """Nothing happens without a socket, without TCP, and on a closed one."""
        pair = socket.socketpair()
        for each in pair:
            self.addCleanup(each.close)
        acknowledge_now(Transport(pair[0]))
        pair[0].close()
        acknowledge_now(Transport(pair[0]))
        acknowledge_now(StringTransport())


class LinkTests(SynchronousTestCase):
    """When a connection to a broker does it."""

    def setsockopt(self, *option: int) -> None:
        self.options.append(option)

    def getHandle(self) -> LinkTests:
        return self

    def test_small_window(self) -> None:
        """After each read while messages wait for our acknowledgement; in a large window few."""
        for settings, times in (
            ({"protocol": "3.1.1"}, 4),
            ({"protocol": "5", "receive_maximum": 20}, 4),
            ({"protocol": "5", "receive_maximum": 1000}, FEW),
        ):
            self.options: list[tuple[int, ...]] = []
            script = Scripted(**settings)
            script.connection.subscribe("a", 1, script.lines_of)
            transport = script.start()
            transport.getHandle = self.getHandle
            for packet_id in range(1, 5):
                script.send(publish(script.v5, b"a", b"1", packet_id))
            for batch in script.batches:
                batch.settle()
            script.send(publish(script.v5, b"a", b"1"))
            wanted = (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            self.assertEqual(self.options, [wanted] * times, settings)
            script.connection.stopService()
            script.clock.pump([0, 1])

    def test_not_beside_an_acknowledgement(self) -> None:
        """What is written while a read is handled acknowledges that read on TCP too."""
        self.options = []
        script = Scripted()

        def handle(message: Message, lines: list[bytes]) -> None:
            for batch in script.batches:
                batch.settle()
            script.lines_of(message, lines)

        script.connection.subscribe("a", 1, handle)
        script.start().getHandle = self.getHandle
        for packet_id in range(1, 5):
            script.send(publish(script.v5, b"a", b"1", packet_id))
        self.assertEqual(len(self.options), 1)
        script.connection.stopService()
        script.clock.pump([0, 1])
