"""The way to an address, on a reactor in memory."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IReactorPluggableNameResolver
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from metrics_agent.cause import Cause, CauseError
from metrics_agent.transports.mqtt import causes
from metrics_agent.transports.mqtt.dial import dial
from metrics_agent.transports.mqtt.settings import MqttSettings


@implementer(IReactorPluggableNameResolver)
class Reactor(MemoryReactorClock):
    """Resolves every name to one address."""

    def __init__(self) -> None:
        super().__init__()
        self.nameResolver = self

    def resolveHostName(self, receiver, name, portNumber=0, **_kwargs):
        receiver.resolutionBegan(self)
        receiver.addressResolved(IPv4Address("TCP", "192.0.2.1", portNumber))
        receiver.resolutionComplete()
        return self


class Unanswered(Reactor):
    """Never resolves anything."""

    def resolveHostName(self, receiver, name, portNumber=0, **_kwargs):
        receiver.resolutionBegan(self)
        self.receiver = receiver
        return self

    def cancel(self) -> None:
        """Give up the resolution."""


class DialTests(SynchronousTestCase):
    """Each kind of address ends in the right call of the reactor."""

    def dial(self, url: str, **settings):
        self.reactor = Reactor()
        made = MqttSettings(broker=url, **settings)
        way = dial(self.reactor, made, made.brokers[0])
        connected = way.endpoint.connect(Factory.forProtocol(Protocol))
        connected.addErrback(lambda _: None)
        self.reactor.advance(1)
        return way

    def test_tcp(self) -> None:
        """A name is resolved and its port connected to."""
        self.dial("tcp://broker.example:1884")
        self.assertEqual(self.reactor.tcpClients[0][:2], ("192.0.2.1", 1884))

    def test_dns_that_does_not_answer(self) -> None:
        """An attempt that hangs in the name's look-up can be given up."""
        reactor = Unanswered()
        settings = MqttSettings(broker="tcp://broker.example")
        way = dial(reactor, settings, settings.brokers[0])
        connected = way.endpoint.connect(Factory.forProtocol(Protocol))
        connected.addTimeout(10, reactor)
        reactor.advance(10)
        cause = causes.of_connect_failure(self.failureResultOf(connected), 10)
        self.assertEqual(cause.text, "the host name cannot be resolved")
        reactor.receiver.resolutionComplete()  # too late, and harmless

    def test_unix(self) -> None:
        """A path is connected to as a Unix socket."""
        self.dial("unix:///run/broker.sock")
        self.assertEqual(self.reactor.unixClients[0][0], "/run/broker.sock")

    def test_websocket(self) -> None:
        """The first bytes are those of a handshake."""
        self.dial("ws://broker.example/mqtt")
        host, port, factory = self.reactor.tcpClients[0][:3]
        self.assertEqual((host, port), ("192.0.2.1", 80))
        transport = StringTransport()
        factory.buildProtocol(None).makeConnection(transport)
        self.assertTrue(transport.value().startswith(b"GET /mqtt HTTP/1.1\r\n"))

    def test_tls(self) -> None:
        """The first bytes are a TLS hello, which names the host; for wss too."""
        for url in ("tls://broker.example", "wss://broker.example/mqtt"):
            self.dial(url)
            transport = StringTransport()
            self.reactor.tcpClients[0][2].buildProtocol(None).makeConnection(transport)
            self.assertEqual(transport.value()[:2], b"\x16\x03")
            self.assertIn(b"broker.example", transport.value())

    def test_tls_server_name(self) -> None:
        """A name that is set is asked for; an IP address never is."""
        self.dial("tls://192.0.2.1", tls_server_name="other.example", tls_insecure=True)
        transport = StringTransport()
        self.reactor.tcpClients[0][2].buildProtocol(None).makeConnection(transport)
        self.assertIn(b"other.example", transport.value())
        self.dial("tls://192.0.2.1")
        transport = StringTransport()
        self.reactor.tcpClients[0][2].buildProtocol(None).makeConnection(transport)
        self.assertNotIn(b"192.0.2.1", transport.value())

    def test_explains_nothing_it_did_not_see(self) -> None:
        """A cause that has nothing to do with a certificate stays as it is."""
        cause = Cause("refused", "nothing there")
        for url in ("tcp://broker", "tls://broker"):
            self.assertIs(self.dial(url).explain(cause), cause)

    def test_files_that_cannot_be_used(self) -> None:
        """Each is named by its key, its path and what is wrong."""
        path = self.mktemp()
        with open(path, "wb") as file:  # noqa: PTH123 - a fixture
            file.write(b"not a certificate")
        for key in ("tls_ca", "tls_certificate"):
            for value, words in ((path, "no PEM certificate"), (f"{path}.no", "No such file")):
                error = self.assertRaises(CauseError, self.dial, "tls://b", **{key: value})
                self.assertIn(f"{key} {value!r}", str(error))
                self.assertIn(words, str(error))
                self.assertTrue(error.cause.needs_user_action)

    def test_a_process_without_tls(self) -> None:
        """Where OpenSSL was left out at start, the text says to restart."""
        from twisted.internet import endpoints

        from metrics_agent.errors import MissingDependency

        self.patch(endpoints, "TLSMemoryBIOFactory", None)
        error = self.assertRaises(MissingDependency, self.dial, "tls://b")
        self.assertIn("restart", str(error))
