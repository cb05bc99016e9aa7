"""Whether the socket of `output` can be reached."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config.output import OutputSettings
from metrics_agent.output.probe import probe
from tests.transports.mqtt.scripted import FakeTransport, connack

LIMIT_S = 5.0
CONNECT, DISCONNECT = 0x10, 0xE0
SETTING = "unix:///run/telegraf.sock"


class ProbeTests(SynchronousTestCase):
    """With a reactor of memory and a Unix socket, which needs no name to be resolved."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()

    def tearDown(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_reached(self) -> None:
        """Nothing is wrong; nothing is sent, and the connection is closed."""
        reached = probe(self.reactor, SETTING, LIMIT_S)
        [(path, factory, *_)] = self.reactor.unixClients
        self.assertEqual(path, "/run/telegraf.sock")
        transport = StringTransport()
        factory.buildProtocol(None).makeConnection(transport)
        self.assertEqual(self.successResultOf(reached), "")
        self.assertEqual((transport.value(), transport.disconnecting), (b"", True))

    def test_refused(self) -> None:
        """The cause is named."""
        reached = probe(self.reactor, SETTING, LIMIT_S)
        [(_path, factory, *_)] = self.reactor.unixClients
        factory.clientConnectionFailed(self.reactor.connectors[0], Failure(Refused()))
        self.assertIn("cannot connect: connection refused", self.successResultOf(reached))

    def test_a_handshake_that_is_cut_short(self) -> None:
        """The port may speak something else than TLS."""
        for reason in (ConnectionDone(), ConnectionLost()):
            problem: list[str] = []
            probe(self.reactor, SETTING, LIMIT_S).addCallback(problem.append)
            _path, factory, *_ = self.reactor.unixClients[-1]
            factory.clientConnectionFailed(self.reactor.connectors[-1], Failure(reason))
            self.assertEqual(
                problem,
                ["cannot connect: the server ended the TLS handshake (does the port speak TLS?)"],
            )

    def test_no_answer(self) -> None:
        """After the time limit it is given up."""
        reached = probe(self.reactor, SETTING, LIMIT_S)
        self.reactor.advance(LIMIT_S)
        self.assertEqual(self.successResultOf(reached), "cannot connect: no connection within 5 s")

    def test_wrong_setting(self) -> None:
        """Also what no endpoint can be made of is reported, not raised."""
        reached = probe(self.reactor, "nothing:like:this", LIMIT_S)
        self.assertIn("cannot connect: got", self.successResultOf(reached))


class BrokerTests(SynchronousTestCase):
    """With a broker that the test plays."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        settings = OutputSettings(username="me", client_id="mine")
        self.reached = probe(self.reactor, "mqtt://127.0.0.1/t", LIMIT_S, settings)

    def tearDown(self) -> None:
        self.reactor.pump([0, 1, 1])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def answer(self, data: bytes) -> FakeTransport:
        """Open the connection, and have the broker say something."""
        transport = FakeTransport()
        transport.protocol = self.reactor.tcpClients[0][2].buildProtocol(None)
        transport.protocol.makeConnection(transport)
        self.assertEqual(transport.value()[0], CONNECT)
        self.assertIn(b"mine-", transport.value(), "another client id than that of the agent")
        transport.clear()
        transport.protocol.dataReceived(data)
        self.reactor.pump([0, 1, 1])
        return transport

    def test_reached(self) -> None:
        """It is let in, says goodbye and publishes nothing."""
        transport = self.answer(connack(True))
        self.assertEqual(self.successResultOf(self.reached), "")
        self.assertEqual(transport.value()[0], DISCONNECT)
        self.assertEqual(len(transport.value()), 2)
        self.assertEqual(len(self.reactor.tcpClients), 1)

    def test_login(self) -> None:
        """A refused login is named."""
        self.answer(connack(True, 0x87))
        found = self.successResultOf(self.reached)
        self.assertIn("cannot connect: the broker does not authorise this login", found)

    def test_no_answer(self) -> None:
        """So is a broker that is silent."""
        self.reactor.advance(LIMIT_S)
        self.reactor.pump([0, 1, 1])
        self.assertIn("cannot connect: ", self.successResultOf(self.reached))
