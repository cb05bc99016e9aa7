"""The way to a broker's address: TCP, TLS, Unix socket, WebSocket, and each inside the other."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.endpoints import UNIXClientEndpoint

from metrics_agent.broker_address import BrokerAddress
from metrics_agent.transports.dial import dial_host
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.reconnecting import Dial

__all__ = ["dial"]


def dial(reactor: Any, settings: MqttSettings, address: BrokerAddress) -> Dial:
    """Prepare an attempt to connect, see `dial_host`.

    Raises:
        CauseError, MissingDependency: see there; the latter for WebSocket too.
    """
    timeout_s = float(settings.connect_timeout)
    if address.kind == "unix":
        return Dial(UNIXClientEndpoint(reactor, address.path, timeout=timeout_s))
    tls = settings if address.secure else None
    way = dial_host(reactor, address.host, address.port, timeout_s, tls)
    if address.websocket:
        from metrics_agent.transports.mqtt.websocket_stream import over_websocket

        way = evolve(way, endpoint=over_websocket(way.endpoint, address))
    return way
