"""The way to a host by its name, with or without TLS, for all transports."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint

from metrics_agent.cause import Cause
from metrics_agent.host_port import NAME
from metrics_agent.transports.reconnecting import Dial
from metrics_agent.transports.settings import TlsSettings

__all__ = ["dial_host"]


def dial_host(
    reactor: Any, host: str, port: int, timeout_s: float, tls: TlsSettings | None = None
) -> Dial:
    """Prepare an attempt to connect; certificates are read again for each.

    Args:
        reactor: the reactor.
        host: name or IP address; the name in the certificate unless ``tls_server_name`` is set.
        port: of the server.
        timeout_s: for each address that the name has.
        tls: the settings of TLS; None to do without it.

    Raises:
        CauseError: a certificate cannot be read.
        MissingDependency: TLS is asked for, and its packages are not installed or were not loaded
            when the process started.
    """
    # Twisted refuses some names beyond ASCII that the check of a configuration takes.
    name = host if host.isascii() else host.encode("idna").decode("ascii")
    endpoint = HostnameEndpoint(reactor, name, port, timeout=timeout_s)
    if NAME.fullmatch(name):
        # Twisted refuses names with an underscore since no domain may be registered so, but the
        # names of containers often have one, such as mqtt_broker, and the resolver finds them.
        endpoint._badHostname = False  # noqa: SLF001 - Twisted has no public way
    return Dial(endpoint) if tls is None else _over_tls(endpoint, host, tls, reactor)


def _over_tls(endpoint: Any, host: str, tls: TlsSettings, reactor: Any) -> Dial:
    # OpenSSL costs 13 MB.
    from metrics_agent.transports.tls import VerifyingCreator, tls_options, wrap_tls

    options = tls_options(
        ca_file=tls.tls_ca,
        certificate_file=tls.tls_certificate,
        key_file=tls.tls_key,
        key_password=tls.tls_key_password,
        insecure=tls.tls_insecure,
    )
    creator = VerifyingCreator(
        options,
        tls.tls_server_name or host,
        insecure=tls.tls_insecure,
        ca_hint=tls.ca_hint,
    )

    def explain(cause: Cause) -> Cause:
        """Replace what OpenSSL said about a failed verification."""
        return creator.why or cause

    return Dial(wrap_tls(creator, endpoint, reactor), explain)
