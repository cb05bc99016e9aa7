"""What becomes of a connection whose other side does not read what we send.

A peer can make us answer (pings, acknowledgements) without ever reading the answers; they would
pile up in memory. So while the transport's buffer is full nothing more is read, which gives us
nothing more to answer, and a buffer that stays full ends the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from metrics_agent.timer import Timer

__all__ = ["STUCK_S", "WriteGate"]

STUCK_S: Final = 30.0
"""How long the buffer may be full. Our side of a connection is some bytes a second at most."""


@implementer(IPushProducer)
class WriteGate:
    """Watches the buffer of a transport; register it there as a streaming producer.

    Args:
        clock: provides callLater.
        on_change: called with True when the buffer is full, with False when it has room again.
        on_stuck: called when the buffer has been full for `STUCK_S`.

    Attributes:
        full: whether the buffer is full.
    """

    def __init__(
        self, clock: Any, on_change: Callable[[bool], object], on_stuck: Callable[[], None]
    ) -> None:
        self.full = False
        self._on_change = on_change
        self._limit = Timer(clock, on_stuck)

    def pauseProducing(self) -> None:
        """Note that the buffer is full; called by the transport."""
        if not self.full:
            self.full = True
            self._limit.start(STUCK_S)
            self._on_change(True)

    def resumeProducing(self) -> None:
        """Note that the buffer has room again; called by the transport."""
        self._limit.stop()
        if self.full:
            self.full = False
            self._on_change(False)

    def stopProducing(self) -> None:
        """Note that the connection is over; called by the transport, or by who owns this."""
        self._limit.stop()
