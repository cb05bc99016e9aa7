"""The way to a host by its name, for all transports."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint

from metrics_agent.host_port import NAME

__all__ = ["hostname_endpoint"]


def hostname_endpoint(reactor: Any, host: str, port: int, **options: Any) -> Any:
    """Return an endpoint that also connects to names with an underscore.

    Twisted refuses them since no domain may be registered so, but the names of containers often
    have one, such as ``mqtt_broker``, and the resolver finds them.

    Args:
        reactor: the reactor.
        host: name or IP address.
        port: of the server.
        options: of `HostnameEndpoint`.
    """
    endpoint: Any = HostnameEndpoint(reactor, host, port, **options)
    if NAME.fullmatch(host):
        endpoint._badHostname = False  # noqa: SLF001 - Twisted has no public way
    return endpoint
