"""The way to an ``output`` that is a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import frozen
from twisted.internet import endpoints

from metrics_agent.config.output import EXPECTED_OUTPUT, Target, needs_tls
from metrics_agent.errors import OutputError, how_to_install
from metrics_agent.host_port import shown
from metrics_agent.transports.dial import dial_host
from metrics_agent.transports.reconnecting import Dial
from metrics_agent.transports.settings import TlsSettings

__all__ = ["CONNECT_TIMEOUT_S", "make_dial"]

CONNECT_TIMEOUT_S: Final = 30.0
"""From looking up the name to a connection, with TLS to the end of the handshake."""


@frozen
class _SystemTrust(TlsSettings):
    """An output has no settings of TLS."""

    ca_hint = "add it to those of this machine"


def make_dial(reactor: Any, target: Target, setting: str) -> Callable[[], Dial]:
    """Return what makes the way to a target that is a socket; connects nothing yet.

    Raises:
        OutputError: the setting cannot be used.
    """
    api: Any = endpoints
    if needs_tls(setting) and api.TLSMemoryBIOFactory is None:
        raise OutputError(f"got {shown(setting)}, but TLS is missing: {how_to_install('tls')}")

    def dial() -> Dial:
        if target.kind == "unix":
            return Dial(api.UNIXClientEndpoint(reactor, target.path))
        if target.kind == "endpoint":
            return Dial(api.clientFromString(reactor, target.description))
        tls = _SystemTrust() if target.kind == "tls" else None
        return dial_host(reactor, target.host, target.port, CONNECT_TIMEOUT_S, tls)

    try:
        dial()  # what is wrong with it shows now
    except Exception as error:  # plugins raise what they like: ValueError, TypeError, KeyError
        reason = str(error) or type(error).__name__
        raise OutputError(f"got {shown(setting)} ({reason}), expected {EXPECTED_OUTPUT}") from error
    return dial
