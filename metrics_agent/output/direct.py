"""The writer for what never makes anyone wait: files and /dev/null."""

from __future__ import annotations

import errno
import os

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from metrics_agent.output.writer import MAX_CHUNKS_PER_TURN, Source

__all__ = ["RETRY_S", "DirectWriter"]

RETRY_S = 1.0

# Trying again cannot help: not open for writing, or not something to be written at all.
_FINAL = frozenset({errno.EBADF, errno.EINVAL, errno.EPIPE})


class DirectWriter:
    """Writes at once; a full disk or a failing one is named and tried again.

    The descriptor is used as it is: its position stays shared with whoever writes to the same
    file before and after us, as in ``(echo a; metrics-agent; echo b) > file``.

    Args:
        reactor: the clock.
        fd: owned by the writer from now on.
        source: where the bytes come from.
    """

    def __init__(self, reactor: IReactorTime, fd: int, source: Source) -> None:
        self._reactor = reactor
        self._fd = fd
        self._source = source
        self._again: IDelayedCall | None = None
        self._closed = False

    def wake(self) -> None:
        """Write everything, unless a new try is already due."""
        if self._again is None and not self._closed:
            self._pump()

    def untaken(self) -> int:
        """Nobody takes bytes out of a file: written is taken."""
        return 0

    def close(self) -> None:
        """Stop and close the descriptor."""
        if not self._closed:
            self._closed = True
            if self._again is not None:
                self._again.cancel()
            os.close(self._fd)

    def _pump(self) -> None:
        self._again = None
        for _ in range(MAX_CHUNKS_PER_TURN):
            chunk = self._source.peek()
            if not chunk:
                return
            try:
                written = os.write(self._fd, chunk)
            except OSError as error:
                self._failed(error)
                return
            self._source.recovered()
            self._source.advance(written)
        self._again = self._reactor.callLater(0, self._pump)

    def _failed(self, error: OSError) -> None:
        reason = f"{error.strerror} ({errno.errorcode.get(error.errno or 0, error.errno)})"
        if error.errno in _FINAL:
            self.close()
            self._source.lost(reason)
        else:
            self._again = self._reactor.callLater(RETRY_S, self._pump)
            self._source.trouble(reason)
