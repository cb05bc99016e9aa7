"""The writer for ``output = "tcp:host:port"`` or ``"unix:path=..."``: a connection, kept up."""

from __future__ import annotations

from typing import Any, Final

from twisted.application.internet import backoffPolicy
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from metrics_agent.looping import GuardedLoop
from metrics_agent.output.protocol import OutputProtocol
from metrics_agent.output.writer import Source
from metrics_agent.transports.causes import of_connect_failure, of_error

__all__ = ["EndpointWriter", "next_delay_s"]

_CONNECT_TIMEOUT_S: Final = 30.0
"""An endpoint's own, where its description names no other."""

next_delay_s = backoffPolicy(initialDelay=0.5, maxDelay=30.0, factor=1.5)
"""Attempt, from 0, to seconds until the next; with jitter."""


class EndpointWriter:
    """Connects, writes, and connects again for ever.

    What the other side had not taken when a connection broke is written again on the next one,
    from the start of its batch: at least once.

    Args:
        reactor: IReactorTime and IReactorFDSet.
        endpoint: where to connect.
        name: the endpoint's description, for messages.
        source: where the bytes come from.
    """

    def __init__(
        self, reactor: Any, endpoint: IStreamClientEndpoint, name: str, source: Source
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._name = name
        self._source = source
        self._protocol: OutputProtocol | None = None
        self._connecting: Deferred[Any] | None = None
        self._retries = GuardedLoop(reactor, self._connect)
        self._attempts = 0
        self._closed = False
        self._connect()

    # What the sink calls: `Writer`.

    def wake(self) -> None:
        """Write if connected."""
        if self._protocol is not None:
            self._protocol.wake()

    def untaken(self) -> int | None:
        """Return what the other side has not taken; None while there is no connection."""
        return self._protocol.untaken() if self._protocol is not None else None

    def close(self) -> Deferred[None] | None:
        """End the connection, or the attempts to get one."""
        self._closed = True
        self._retries.stop()
        if self._connecting is not None:
            self._connecting.cancel()
        protocol, self._protocol = self._protocol, None
        return protocol.disconnect() if protocol is not None else None

    # What the protocol calls.

    def connected(self, protocol: OutputProtocol) -> None:
        """Take the new connection."""
        self._protocol = protocol
        self._attempts = 0
        self._source.recovered()

    def disconnected(self, reason: Failure) -> None:
        """Queue again what was not taken, and connect again."""
        if not self._closed:
            self._protocol = None
            self._source.rewind()
            ended = isinstance(reason.value, ConnectionDone)
            self._retry("the other side closed the connection" if ended else of_error(reason).text)

    # Inside.

    def _connect(self) -> None:
        factory = Factory.forProtocol(lambda: OutputProtocol(self._reactor, self, self._source))
        self._connecting = self._endpoint.connect(factory)
        self._connecting.addCallbacks(self._is_connected, self._failed)

    def _is_connected(self, _protocol: object) -> None:
        self._connecting = None

    def _failed(self, reason: Failure) -> None:
        self._connecting = None
        if not self._closed:
            self._retry(of_connect_failure(reason, _CONNECT_TIMEOUT_S).text)

    def _retry(self, reason: str) -> None:
        self._source.trouble(f"{self._name}: {reason}")
        if not self._retries.active and not self._closed:
            self._retries.start(next_delay_s(self._attempts))
            self._attempts += 1
