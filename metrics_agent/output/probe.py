"""Tries whether the socket of the setting `output` can be reached; sends no lines."""

from __future__ import annotations

from random import random
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from metrics_agent.backoff import Backoff
from metrics_agent.cause import Cause
from metrics_agent.config.output import (
    OutputSettings,
    Target,
    needs_tls,
    read_output,
    without_query,
)
from metrics_agent.errors import OutputError
from metrics_agent.logs.logger import make_logger
from metrics_agent.output.dial import make_dial
from metrics_agent.transports.causes import of_connect_failure
from metrics_agent.transports.mqtt.client_id import throwaway_id
from metrics_agent.transports.reconnecting import Dial

__all__ = ["probe"]


def probe(
    reactor: Any, setting: str, timeout_s: float, settings: OutputSettings | None = None
) -> Deferred[str]:
    """Connect, with TLS up to the end of the handshake, to a broker up to its welcome; close again.

    Args:
        reactor: the reactor.
        setting: see `config.output.read_output`; not stdout and not a file.
        timeout_s: how long it may take.
        settings: how to get at it; None for the defaults.

    Returns:
        A Deferred of what is wrong, a clause; empty if nothing is.
    """
    target = read_output(setting)
    if target.broker is not None:
        return _probe_broker(reactor, setting, target, timeout_s, settings or OutputSettings())
    factory: Any = Factory.forProtocol(lambda: _Probe(reached, secure=needs_tls(setting)))
    factory.noisy = False
    connecting: Deferred[Any]
    reached: Deferred[str] = Deferred(lambda _reached: connecting.cancel())
    way: Dial | None = None
    try:
        way = make_dial(reactor, target, setting, settings)()
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


def _probe_broker(
    reactor: Any, setting: str, target: Target, timeout_s: float, settings: OutputSettings
) -> Deferred[str]:
    """Log in at a broker with a client id of its own; publish nothing."""
    from metrics_agent.output.mqtt.settings import broker_settings
    from metrics_agent.transports.mqtt.publisher import Publisher

    reached: Deferred[str] = Deferred()
    try:
        dial = make_dial(reactor, target, setting, settings)
    except OutputError as error:
        return succeed(f"cannot connect: {error}")
    broker = broker_settings(target, settings)
    publisher = Publisher(
        reactor,
        evolve(broker, connect_timeout=min(timeout_s, broker.connect_timeout)),
        client_id=throwaway_id(broker.client_id),
        name=without_query(setting),
        dial=dial,
        owner=_Guest(reached),
        backoff=Backoff(timeout_s, timeout_s, random),
        log=make_logger(),
    )
    publisher.start()

    def over(found: str) -> Deferred[str]:
        # In another turn: this one is the connection's own.
        closed = deferLater(reactor, 0, publisher.close)
        return closed.addCallback(lambda _closed: found)

    return reached.addCallback(over)


class _Guest:
    """Wants no more than to be let in."""

    def __init__(self, reached: Deferred[str]) -> None:
        self._reached = reached

    def ready(self) -> None:
        self._found("")

    def down(self, cause: Cause) -> None:
        self._found(f"cannot connect: {cause.text}")

    def up(self) -> None:
        """Nothing to do: `ready` follows."""

    def answered(self, _code: int) -> None:
        """Nothing is published."""

    def unanswered(self) -> None:
        """Nothing is published."""

    def _found(self, what: str) -> None:
        if not self._reached.called:
            self._reached.callback(what)


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
