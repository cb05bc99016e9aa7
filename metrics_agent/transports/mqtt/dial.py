"""The way to a broker's address: TCP, TLS, Unix socket, WebSocket, and each inside the other."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.endpoints import UNIXClientEndpoint

from metrics_agent.transports.hostname import hostname_endpoint
from metrics_agent.transports.mqtt.address import BrokerAddress
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.reconnecting import Dial

__all__ = ["dial"]


def dial(reactor: Any, settings: MqttSettings, address: BrokerAddress) -> Dial:
    """Prepare an attempt to connect; certificates are read again for each.

    Raises:
        CannotConnect: a certificate cannot be read.
        MissingDependency: TLS or WebSocket is asked for and its package is not installed.
    """
    timeout_s = float(settings.connect_timeout)
    if address.kind == "unix":
        return Dial(UNIXClientEndpoint(reactor, address.path, timeout=timeout_s))
    way = Dial(hostname_endpoint(reactor, address.host, address.port, timeout=timeout_s))
    if address.secure:
        from metrics_agent.transports.mqtt.tls import over_tls

        way = over_tls(way.endpoint, settings, address.host, reactor)
    if address.websocket:
        from metrics_agent.transports.mqtt.websocket_stream import over_websocket

        way = evolve(way, endpoint=over_websocket(way.endpoint, address))
    return way
