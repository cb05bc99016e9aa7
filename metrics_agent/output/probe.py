"""Tries whether the socket of the setting `output` can be reached; sends nothing."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from metrics_agent.config.output import OutputSettings, needs_tls, read_output
from metrics_agent.output.dial import make_dial
from metrics_agent.transports.causes import of_connect_failure
from metrics_agent.transports.reconnecting import Dial

__all__ = ["probe"]


def probe(
    reactor: Any, setting: str, timeout_s: float, settings: OutputSettings | None = None
) -> Deferred[str]:
    """Connect, with TLS up to the end of the handshake, and close again.

    Args:
        reactor: the reactor.
        setting: see `config.output.read_output`; not stdout and not a file.
        timeout_s: how long it may take.
        settings: how to get at it; None for the defaults.

    Returns:
        A Deferred of what is wrong, a clause; empty if nothing is.
    """
    factory: Any = Factory.forProtocol(lambda: _Probe(reached, secure=needs_tls(setting)))
    factory.noisy = False
    connecting: Deferred[Any]
    reached: Deferred[str] = Deferred(lambda _reached: connecting.cancel())
    way: Dial | None = None
    try:
        way = make_dial(reactor, read_output(setting), setting, settings)()
        connecting = way.endpoint.connect(factory)
    except Exception:  # plugins raise what they like
        connecting = Deferred()
        connecting.errback(Failure())

    def failed(failure: Failure) -> None:
        if not reached.called:
            reached.errback(failure)

    def explain(failure: Failure) -> str:
        # Without TLS there is no handshake that could be cut short.
        if isinstance(failure.value, (ConnectionDone, ConnectionLost)):
            text = "the server ended the TLS handshake (does the port speak TLS?)"
        else:
            cause = of_connect_failure(failure, timeout_s)
            text = (cause if way is None else way.explain(cause)).text
        return f"cannot connect: {text}"

    connecting.addErrback(failed)
    return reached.addTimeout(timeout_s, reactor).addErrback(explain)


@implementer(IHandshakeListener)
class _Probe(Protocol):
    """Is satisfied as soon as it is connected."""

    def __init__(self, reached: Deferred[str], *, secure: bool) -> None:
        self._reached = reached
        self._secure = secure

    def connectionMade(self) -> None:
        if not self._secure:
            self._succeed()

    def handshakeCompleted(self) -> None:
        self._succeed()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self._reached.called:
            self._reached.errback(reason)

    def _succeed(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()
        if not self._reached.called:
            self._reached.callback("")
