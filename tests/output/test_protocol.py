"""A connection of the output over TLS; plain ones are in test_targets."""

from __future__ import annotations

import socket

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.output import protocol as protocol_module
from metrics_agent.output.protocol import OutputProtocol
from metrics_agent.output.whole_lines import EMPTY_CHECK_S
from metrics_agent.process.kernel import Kernel
from tests.output.fakes import FakeReactor, FakeSource

LINE = b"x" * 999 + b"\n"


class Lower:
    """The transport under TLS: a real socket, which the reactor writes to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def getHandle(self) -> socket.socket:
        return self.sock


class Tls:
    """A transport over TLS without ciphers; its reactor is the test."""

    def __init__(self, reactor: FakeReactor, sock: socket.socket) -> None:
        self.reactor = reactor
        self.transport = Lower(sock)
        self.records: list[bytes] = []
        self.producer = None
        self.ended = ""

    def write(self, chunk: bytes) -> None:
        self.records.append(chunk)
        self.reactor.addWriter(self.transport)
        if len(self.records) == 5:
            self.producer.pauseProducing()

    def flush(self) -> list[bytes]:
        """Send all that waits to the peer, and return it."""
        records, self.records = self.records, []
        self.transport.sock.sendall(b"".join(records))
        self.reactor.removeWriter(self.transport)
        return records

    def registerProducer(self, producer, streaming) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def loseConnection(self) -> None:
        self.ended = "lose"

    def abortConnection(self) -> None:
        self.ended = "abort"


class Owner:
    """Notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def connected(self) -> None:
        self.heard.append("connected")

    def disconnected(self, _protocol, cause) -> None:
        self.heard.append(cause.text)


class TlsTests(SynchronousTestCase):
    """What is written, when, and what counts as taken."""

    def setUp(self) -> None:
        self.patch(protocol_module, "_tls_class", lambda: Tls)
        ours, self.peer = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        self.reactor = FakeReactor()
        self.source = FakeSource()
        self.owner = Owner()
        self.tls = Tls(self.reactor, ours)
        self.protocol = OutputProtocol(Kernel(), self.reactor, self.owner, self.source)
        self.protocol.makeConnection(self.tls)

    def shake_hands(self) -> None:
        self.protocol.handshakeCompleted()

    def test_begins_after_the_handshake(self) -> None:
        """Nothing is written, taken or reported before."""
        self.source.add(LINE)
        self.protocol.wake()
        self.assertEqual((self.tls.records, self.owner.heard), ([], []))
        self.assertIsNone(self.protocol.untaken())
        self.shake_hands()
        self.assertEqual((self.tls.records, self.owner.heard), ([LINE], ["connected"]))

    def test_a_record_is_whole_lines(self) -> None:
        """No record is longer than TLS allows, so none is divided."""
        self.shake_hands()
        self.source.add(LINE * 40)
        self.protocol.wake()
        self.assertEqual([len(record) for record in self.tls.records], [16_000, 16_000, 8000])

    def test_taken_once_nothing_waits_and_the_peer_has_it(self) -> None:
        """What TLS has not sent counts, and so does what the kernel holds."""
        self.shake_hands()
        self.source.add(LINE)
        self.protocol.wake()
        self.assertEqual(self.protocol.untaken(), 1000)
        self.tls.flush()
        self.assertGreaterEqual(self.protocol.untaken(), 1000)
        self.peer.recv(10_000)
        self.assertEqual(self.protocol.untaken(), 0)

    def test_waits_while_tls_is_full(self) -> None:
        """A paused connection counts as untaken even where nothing waits in the transport."""
        self.shake_hands()
        self.source.add(LINE * 200)
        self.protocol.wake()
        self.assertEqual(len(self.tls.flush()), 5)
        self.peer.recv(1 << 20)
        self.protocol.wake()
        self.assertEqual((self.tls.records, self.protocol.untaken()), ([], 80_000))
        self.protocol.resumeProducing()
        self.assertEqual(len(self.tls.flush()), 5)

    def test_a_line_longer_than_a_record_waits_until_all_is_taken(self) -> None:
        """Its records could not be sent as a whole otherwise."""
        self.shake_hands()
        self.source.add(b"a\n")
        self.protocol.wake()
        self.source.add(b"x" * 20_000 + b"\n")
        self.protocol.wake()
        self.assertEqual(self.tls.flush(), [b"a\n"])
        self.reactor.advance(EMPTY_CHECK_S)
        self.assertEqual(self.tls.records, [])
        self.peer.recv(10)
        self.reactor.advance(EMPTY_CHECK_S)
        self.assertEqual(len(self.tls.records[0]), 20_001)

    def test_no_timer_is_left_when_the_connection_is_lost(self) -> None:
        """A long line that waited waits for the next connection."""
        self.test_a_line_longer_than_a_record_waits_until_all_is_taken()
        self.source.add(b"x" * 20_000 + b"\n")
        self.protocol.wake()
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.owner.heard[1:], ["the other side closed the connection"])
        self.assertIsNone(self.protocol.untaken())

    def test_disconnect(self) -> None:
        """It ends in order; a peer that does not read is not waited for."""
        self.shake_hands()
        self.assertFalse(self.protocol.stalled)
        self.protocol.disconnect()
        self.assertEqual(self.tls.ended, "lose")

    def test_disconnect_while_full(self) -> None:
        """The same, without waiting."""
        self.shake_hands()
        self.source.add(LINE * 200)
        self.protocol.wake()
        self.assertTrue(self.protocol.stalled)
        self.protocol.disconnect()
        self.assertEqual(self.tls.ended, "lose")

    def test_a_handshake_that_takes_too_long(self) -> None:
        """It is cut off, and the owner hears why."""
        self.protocol.accept_timed_out(30)
        self.assertEqual(self.tls.ended, "abort")
        self.protocol.connectionLost(Failure(ConnectionAborted()))
        self.assertEqual(self.owner.heard, ["no answer to the TLS handshake within 30 s"])

    def test_end_during_the_handshake(self) -> None:
        """There is nothing to wait for."""
        self.protocol.disconnect()
        self.assertEqual(self.tls.ended, "abort")
