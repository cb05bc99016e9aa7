"""TLS to a broker; imported only when an address asks for it, since OpenSSL costs 13 MB."""

from __future__ import annotations

from typing import Any

from metrics_agent.transports.mqtt.causes import CannotConnect, Cause
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.reconnecting import Dial
from metrics_agent.transports.tls import TlsFileError, VerifyingCreator, tls_options, wrap_tls
from metrics_agent.transports.tls_settings import tls_arguments

__all__ = ["over_tls"]


def over_tls(endpoint: Any, settings: MqttSettings, host: str, clock: Any) -> Dial:
    """Wrap an endpoint in TLS.

    Args:
        endpoint: of the bytes below.
        settings: the ``tls_*`` settings.
        host: of the address; the name in the certificate unless ``tls_server_name`` is set.
        clock: the reactor.

    Returns:
        The way with TLS.

    Raises:
        CannotConnect: a file cannot be read or holds something else.
        MissingDependency: the process was started without TLS.
    """
    try:
        options = tls_options(**tls_arguments(settings))
    except TlsFileError as fault:
        raise CannotConnect(Cause(fault.key, fault.text, for_a_person=True)) from fault
    name = settings.tls_server_name or host
    creator = VerifyingCreator(options, name, insecure=settings.tls_insecure)

    def explain(cause: Cause) -> Cause:
        """Replace what OpenSSL said about a failed verification."""
        if creator.why is None:
            return cause
        text = f"{creator.why.text}; the broker is not trusted"
        return Cause(creator.why.kind, text, for_a_person=True)

    return Dial(wrap_tls(creator, endpoint, clock), explain)
