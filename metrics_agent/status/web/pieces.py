"""An answer that is made piece by piece, each in a turn of the reactor, as the client takes it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from metrics_agent.timer import Timer

__all__ = ["Pieces", "gzipped"]

_GZIP: Final = 16 + zlib.MAX_WBITS
_QUICKLY: Final = 1
"""A quarter of the usual time, for a sixth more bytes."""


@implementer(IPushProducer)
class Pieces:
    """Sends an answer; a client that does not take it loses its connection.

    Not a pull producer: Twisted would ask that in turns of the global reactor.

    Args:
        clock: provides callLater.
        request: to answer; its headers are set.
        pieces: of the answer; one without bytes is a turn of the reactor all the same.
        caught: called with a fault of them; the answer is cut then.
    """

    def __init__(
        self,
        clock: Any,
        request: Any,
        pieces: Iterator[bytes],
        caught: Callable[[BaseException], object],
    ) -> None:
        self._request = request
        self._pieces = pieces
        self._caught = caught
        self._timer = Timer(clock, self._turn)

    def start(self) -> None:
        """Send the first piece; the others follow."""
        self._request.notifyFinish().addErrback(lambda _reason: self.stopProducing())
        self._request.registerProducer(self, True)
        self._timer.run()

    def pauseProducing(self) -> None:
        """Wait until the client has taken what there is."""
        self._timer.stop()

    def resumeProducing(self) -> None:
        """Go on; the client has its time again."""
        self._request.channel.renew_deadline()
        self._timer.start(0.0)

    def stopProducing(self) -> None:
        """Make no more pieces: the client is gone."""
        self._timer.stop()
        self._pieces = iter(())

    def _turn(self) -> float | None:
        try:
            piece = next(self._pieces, None)
        except Exception as error:
            self.stopProducing()
            self._request.channel.drop()
            self._caught(error)
            return None
        if piece is None:
            self._request.unregisterProducer()
            self._request.finish()
            return None
        if piece:
            self._request.channel.renew_deadline()
            self._request.write(piece)
        return 0.0


def gzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield pieces as gzip has them; where it keeps one back for the next, no bytes."""
    packer = zlib.compressobj(_QUICKLY, wbits=_GZIP)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()
