"""The writer for an ``output`` that is a socket, with or without TLS: a connection, kept up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred

from metrics_agent.backoff import Backoff
from metrics_agent.cause import Cause
from metrics_agent.output.dial import CONNECT_TIMEOUT_S
from metrics_agent.output.protocol import OutputProtocol
from metrics_agent.output.writer import Source
from metrics_agent.platform import Platform
from metrics_agent.transports.reconnecting import Dial, Reconnecting

__all__ = ["EndpointWriter"]

_RECONNECT_MIN_S: Final = 0.5
_RECONNECT_MAX_S: Final = 30.0


class EndpointWriter:
    """Connects, writes, and connects again until it is closed.

    What the other side had not taken when a connection broke is written again on the next one,
    from the start of its batch: at least once.

    Args:
        platform: the machine.
        reactor: IReactorTime and IReactorFDSet.
        dial: makes the way to the other side, for each attempt.
        name: of the other side, for messages.
        source: where the bytes come from.
    """

    def __init__(
        self,
        platform: Platform,
        reactor: Any,
        dial: Callable[[], Dial],
        name: str,
        source: Source,
    ) -> None:
        self._source = source
        self._reconnecting = Reconnecting(
            reactor,
            addresses=(name,),
            dial=lambda _name: dial(),
            make_link=lambda: OutputProtocol(platform.kernel, reactor, self, source),
            timeout_s=CONNECT_TIMEOUT_S,
            backoff=Backoff(_RECONNECT_MIN_S, _RECONNECT_MAX_S, platform.random),
            report=_Report(source),
            short_lived=_of_short_lives,
            log=platform.make_logger(),
        )
        self._reconnecting.start()

    # What the sink calls: `Writer`.

    def wake(self) -> None:
        """Write if connected."""
        link = self._reconnecting.link
        if link is not None:
            link.wake()

    def untaken(self) -> int | None:
        """Return what the other side has not taken; None while there is no connection."""
        link = self._reconnecting.link
        return None if link is None else link.untaken()

    def close(self) -> Deferred[None] | None:
        """End the connection, or the attempts to get one."""
        link = self._reconnecting.link
        # A peer that stalls is not waited for, the kernel goes on after us.
        stalled = link is not None and link.stalled
        stopped = self._reconnecting.stop()
        return None if stalled or stopped.called else stopped

    # What the protocol calls.

    def connected(self) -> None:
        """Report that the output works."""
        self._reconnecting.accepted()

    def disconnected(self, protocol: OutputProtocol, cause: Cause) -> None:
        """Queue again what was not taken, and connect again."""
        if self._reconnecting.ended(protocol):
            self._source.rewind()
            self._reconnecting.retry(cause)


class _Report:
    """Reports to the sink, which logs one line down and one up."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def failed(self, address: str, cause: Cause) -> None:
        """Report trouble."""
        self._source.trouble(f"{address}: {cause.text}")

    lost = failed

    def up(self, _address: str) -> None:
        """Report its end."""
        self._source.recovered()

    def proven(self) -> None:
        """Nothing to do: the sink compares the reasons."""


def _of_short_lives(_times: int) -> Cause:
    text = "the other side keeps closing the connection soon after accepting it"
    return Cause("short_lives", text)
