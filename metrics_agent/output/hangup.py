"""Noticing a reader that went away while there is nothing to write."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metrics_agent.process.descriptors import hung_up

__all__ = ["GONE", "IDLE_CHECK_S", "HangupCheck"]

IDLE_CHECK_S = 1.0

GONE = "the reader of the output has gone"


class HangupCheck:
    """Asks once a second, for what the reactor cannot watch without reading from it.

    Args:
        reactor: the clock.
        fd: a pipe, socket or terminal; must stay open until `stop`.
        on_gone: called once.
    """

    def __init__(self, reactor: IReactorTime, fd: int, on_gone: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._fd = fd
        self._on_gone = on_gone
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Check in a second, and again."""
        self._call = self._reactor.callLater(IDLE_CHECK_S, self._check)

    def stop(self) -> None:
        """Check no more; harmless when called again."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _check(self) -> None:
        self._call = None
        if hung_up(self._fd):
            self._on_gone(GONE)
        else:
            self.start()
