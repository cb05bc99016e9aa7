"""The way to an ``output`` that is a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import evolve
from twisted.internet import endpoints

from metrics_agent.cause import CauseError
from metrics_agent.config.output import (
    EXPECTED_OUTPUT,
    OutputSettings,
    Target,
    needs_tls,
    without_query,
)
from metrics_agent.errors import MissingDependency, OutputError, how_to_install
from metrics_agent.host_port import shown
from metrics_agent.transports.dial import dial_host
from metrics_agent.transports.reconnecting import Dial

__all__ = ["CONNECT_TIMEOUT_S", "make_dial"]

CONNECT_TIMEOUT_S: Final = 30.0
"""From looking up the name to a connection, with TLS to the end of the handshake."""


def make_dial(
    reactor: Any, target: Target, setting: str, settings: OutputSettings | None = None
) -> Callable[[], Dial]:
    """Return what makes the way to a target that is reached over a socket; connects nothing yet.

    Args:
        reactor: the reactor.
        target: where to.
        setting: as it was written, for messages.
        settings: for TLS; None for the defaults.

    Raises:
        OutputError: the setting cannot be used.
    """
    api: Any = endpoints
    if needs_tls(setting) and api.TLSMemoryBIOFactory is None:
        got = shown(without_query(setting))
        raise OutputError(f"got {got}, but TLS is missing: {how_to_install('tls')}")

    def dial() -> Dial:
        if target.kind == "unix":
            return Dial(api.UNIXClientEndpoint(reactor, target.path))
        if target.kind == "endpoint":
            return Dial(api.clientFromString(reactor, target.description))
        tls = settings or OutputSettings()
        where = target.broker or target
        timeout_s = CONNECT_TIMEOUT_S
        secure = tls if target.secure else None
        way = dial_host(reactor, where.host, where.port, timeout_s, secure)
        if target.broker is not None and target.broker.websocket:
            from metrics_agent.transports.mqtt.websocket_stream import over_websocket

            way = evolve(way, endpoint=over_websocket(way.endpoint, target.broker))
        return way

    try:
        dial()  # what is wrong with it shows now
    except CauseError:
        pass  # a certificate that cannot be read, which may be there when it is needed
    except MissingDependency as error:
        raise OutputError(f"got {shown(without_query(setting))}, but {error}") from error
    except Exception as error:  # plugins raise what they like: ValueError, TypeError, KeyError
        reason = str(error) or type(error).__name__
        got = shown(without_query(setting))
        raise OutputError(f"got {got} ({reason}), expected {EXPECTED_OUTPUT}") from error
    return dial
