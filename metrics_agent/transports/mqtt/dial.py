"""The way to a broker's address: TCP, TLS, Unix socket, WebSocket, and each inside the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.endpoints import UNIXClientEndpoint

from metrics_agent.transports.hostname import hostname_endpoint
from metrics_agent.transports.mqtt.address import BrokerAddress
from metrics_agent.transports.mqtt.causes import Cause
from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = ["Dial", "dial"]


def _unchanged(cause: Cause) -> Cause:
    return cause


@frozen
class Dial:
    """One attempt to connect.

    Attributes:
        endpoint: an IStreamClientEndpoint.
        explain: makes a cause more precise by what this attempt has noted.
    """

    endpoint: Any
    explain: Callable[[Cause], Cause] = _unchanged


def dial(reactor: Any, settings: MqttSettings, address: BrokerAddress) -> Dial:
    """Prepare an attempt to connect; certificates are read anew for each.

    Raises:
        CannotConnect: a certificate cannot be read.
        MissingDependency: TLS or WebSocket is asked for and its package is not installed.
    """
    timeout_s = float(settings.connect_timeout)
    if address.kind == "unix":
        return Dial(
            UNIXClientEndpoint(reactor, address.path, timeout=timeout_s)  # type: ignore[no-untyped-call]  # Twisted's is
        )
    endpoint: Any = hostname_endpoint(reactor, address.host, address.port, timeout=timeout_s)
    explain: Callable[[Cause], Cause] = _unchanged
    if address.secure:
        from metrics_agent.transports.mqtt.tls import over_tls

        endpoint, explain = over_tls(endpoint, settings, address.host, reactor)
    if address.websocket:
        from metrics_agent.transports.mqtt.websocket_stream import over_websocket

        endpoint = over_websocket(endpoint, address)
    return Dial(endpoint, explain)
