"""Noticing a reader that went away while there is nothing to write."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from metrics_agent.process.kernel import Kernel
from metrics_agent.timer import Timer

__all__ = ["GONE", "IDLE_CHECK_S", "HangupCheck"]

IDLE_CHECK_S = 1.0

GONE = "the reader of the output has gone"


class HangupCheck:
    """Asks once a second, for what the reactor cannot watch without reading from it.

    Args:
        kernel: its calls.
        reactor: the clock.
        fd: a pipe, socket or terminal; must stay open until `stop`.
        on_gone: called once.
    """

    def __init__(
        self,
        kernel: Kernel,
        reactor: IReactorTime,
        fd: int,
        on_gone: Callable[[str], None],
    ) -> None:
        self._kernel = kernel
        self._fd = fd
        self._on_gone = on_gone
        self._timer = Timer(reactor, self._check)

    def start(self) -> None:
        """Check in a second, and again."""
        self._timer.start(IDLE_CHECK_S)

    def stop(self) -> None:
        """Check no more; harmless when called again."""
        self._timer.stop()

    def _check(self) -> float | None:
        if not self._kernel.hung_up(self._fd):
            return IDLE_CHECK_S
        self.stop()
        self._on_gone(GONE)
        return None
