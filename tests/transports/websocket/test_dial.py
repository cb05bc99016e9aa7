"""The way to an address, on a reactor in memory."""

from __future__ import annotations

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.cause import Cause, CauseError
from metrics_agent.transports import tls
from metrics_agent.transports.websocket.connection import dial
from metrics_agent.transports.websocket.settings import WebSocketSettings
from tests.transports.mqtt.test_dial import Reactor


class DialTests(SynchronousTestCase):
    """Each kind of address ends in the right call of the reactor."""

    def dial(self, url: str, **settings):
        self.reactor = Reactor()
        way = dial(self.reactor, WebSocketSettings(url=url, **settings))
        connected = way.endpoint.connect(Factory.forProtocol(Protocol))
        connected.addErrback(lambda _: None)
        self.reactor.advance(1)
        return way

    def test_tcp(self) -> None:
        """A name is resolved and its port connected to."""
        for url, port in (("http://dtu.example", 80), ("ws://dtu.example:8080/x", 8080)):
            way = self.dial(url)
            self.assertEqual(self.reactor.tcpClients[0][:2], ("192.0.2.1", port))
            cause = Cause("refused", "nothing there")
            self.assertIs(way.explain(cause), cause)

    def test_tls(self) -> None:
        """The first bytes are a TLS hello, which names the host."""
        for url in ("https://dtu.example", "wss://dtu.example/x"):
            way = self.dial(url)
            self.assertEqual(self.reactor.tcpClients[0][:2], ("192.0.2.1", 443))
            transport = StringTransport()
            self.reactor.tcpClients[0][2].buildProtocol(None).makeConnection(transport)
            self.assertEqual(transport.value()[:2], b"\x16\x03")
            self.assertIn(b"dtu.example", transport.value())
            cause = Cause("closed", "cut")
            self.assertIs(way.explain(cause), cause)

    def test_what_the_verification_noted(self) -> None:
        """It replaces what the socket says."""
        made = []
        creator = tls.VerifyingCreator

        def note(*args, **kwargs):
            made.append(creator(*args, **kwargs))
            return made[0]

        self.patch(tls, "VerifyingCreator", note)
        way = self.dial("wss://dtu.example")
        made[0]._refuse("tls_expired", "its certificate has expired")
        cause = way.explain(Cause("closed", "cut"))
        self.assertEqual(cause.text, "its certificate has expired; it is not trusted")
        self.assertTrue(cause.needs_user_action)

    def test_file_that_cannot_be_used(self) -> None:
        """It is named by its key and path."""
        fault = self.assertRaises(CauseError, self.dial, "wss://dtu", tls_ca="/no/such")
        self.assertIn("tls_ca '/no/such'", str(fault))
