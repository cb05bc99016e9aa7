"""Which host names are connected to."""

from __future__ import annotations

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.transports.dial import dial_host
from tests.transports.mqtt.test_dial import Reactor


class HostnameEndpointTests(SynchronousTestCase):
    """With a resolver that knows every name."""

    def test_names(self) -> None:
        """A name with an underscore, as containers have it, is one."""
        for host in (
            "mqtt_broker",
            "a_b.local.",
            "broker.example",
            "192.0.2.1",
            "bücher.example",
            "☃.example",
        ):
            reactor = Reactor()
            endpoint = dial_host(reactor, host, 1883, 5).endpoint
            endpoint.connect(Factory.forProtocol(Protocol)).addErrback(lambda _: None)
            reactor.advance(1)
            self.assertEqual(reactor.tcpClients[0][:2], ("192.0.2.1", 1883), host)

    def test_no_names(self) -> None:
        """What no resolver could take is refused before."""
        for host in ("$HOST", "a..b", "n" * 64, ""):
            endpoint = dial_host(Reactor(), host, 1883, 5).endpoint
            self.failureResultOf(endpoint.connect(Factory.forProtocol(Protocol)), ValueError)
