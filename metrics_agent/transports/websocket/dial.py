"""The way to a WebSocket's address: TCP, and TLS in it."""

from __future__ import annotations

from typing import Any

from metrics_agent.transports.causes import CannotConnect, Cause
from metrics_agent.transports.hostname import hostname_endpoint
from metrics_agent.transports.reconnecting import Dial
from metrics_agent.transports.tls_settings import tls_arguments
from metrics_agent.transports.websocket.settings import WebSocketSettings

__all__ = ["dial"]


def dial(reactor: Any, settings: WebSocketSettings) -> Dial:
    """Prepare an attempt to connect; certificates are read anew for each.

    Raises:
        CannotConnect: a certificate cannot be read.
        MissingDependency: TLS is asked for and its packages are not installed.
    """
    address = settings.address
    endpoint: Any = hostname_endpoint(
        reactor, address.host, address.port, timeout=float(settings.connect_timeout)
    )
    return _over_tls(reactor, settings, endpoint) if address.secure else Dial(endpoint)


def _over_tls(reactor: Any, settings: WebSocketSettings, endpoint: Any) -> Dial:
    from metrics_agent.transports.tls import TlsFileError, VerifyingCreator, tls_options, wrap_tls

    try:
        options = tls_options(**tls_arguments(settings))
    except TlsFileError as fault:
        raise CannotConnect(Cause(fault.key, fault.text, for_a_person=True)) from fault
    name = settings.tls_server_name or settings.address.host
    creator = VerifyingCreator(options, name, insecure=settings.tls_insecure)

    def explain(cause: Cause) -> Cause:
        if creator.why is None:
            return cause
        return Cause(creator.why.kind, f"{creator.why.text}; it is not trusted", for_a_person=True)

    return Dial(wrap_tls(creator, endpoint, reactor), explain)
