"""The writer for ``output = "/some/path"``: a file, or whatever stands there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from metrics_agent.output.descriptor import descriptor_writer
from metrics_agent.output.direct import RETRY_S
from metrics_agent.output.writer import Source, Writer
from metrics_agent.process.kernel import Kernel
from metrics_agent.timer import Timer

__all__ = ["PathWriter"]

ROTATION_CHECK_S = 1.0
FILE_MODE = 0o640


class PathWriter:
    """Opens a path for appending, and again when it fails, is renamed or loses its reader.

    Stands between the writer for the open descriptor and the sink: to the one it is the source.

    Args:
        kernel: its calls.
        reactor: IReactorTime, IReactorFDSet and IReactorFromThreads.
        path: made with mode 0640 where it is not there; its directory must be.
        source: where the bytes come from.
        own: called with the descriptor of a file that was made, to give it to its owner.
    """

    def __init__(
        self,
        kernel: Kernel,
        reactor: Any,
        path: str,
        source: Source,
        own: Callable[[int], object],
    ) -> None:
        self._kernel = kernel
        self._reactor = reactor
        self._path = path
        self._own = own
        self._source = source
        self._inner: Writer | None = None
        self._opened = (0, 0)
        self._checked_s = 0.0
        self._retries = Timer(reactor, self._open_and_write)
        self._closed = False
        self._open()

    # What the sink calls: `Writer`.

    def wake(self) -> None:
        """Write, to a new file if the old one was renamed or removed."""
        if self._closed:
            return
        if self._inner is not None and self._reactor.seconds() - self._checked_s > ROTATION_CHECK_S:
            self._checked_s = self._reactor.seconds()
            if self._is_other_file():
                self._source.rewind(self._inner.untaken())
                self._inner.close()
                self._inner = None
                self._open()
        if self._inner is not None:
            self._inner.wake()

    def untaken(self) -> int | None:
        """Ask the writer below; None while the path is not open."""
        return self._inner.untaken() if self._inner is not None else None

    def close(self) -> Deferred[None] | None:
        """Stop and close."""
        self._closed = True
        self._retries.stop()
        inner, self._inner = self._inner, None
        return inner.close() if inner is not None else None

    # What the writer below calls: `Source`.

    @property
    def queued_bytes(self) -> int:
        """Pass on."""
        return self._source.queued_bytes

    @property
    def in_line(self) -> bool:
        """Pass on."""
        return self._source.in_line

    def peek(self, limit: int) -> bytes:
        """Pass on."""
        return self._source.peek(limit)

    def advance(self, count: int) -> None:
        """Pass on."""
        self._source.advance(count)

    def rewind(self, untaken: int | None = None) -> None:
        """Pass on."""
        self._source.rewind(untaken)

    def trouble(self, reason: str) -> None:
        """Pass on, with the path."""
        self._source.trouble(f"{self._path}: {reason}")

    def recovered(self) -> None:
        """Pass on."""
        self._source.recovered()

    def lost(self, reason: str) -> None:
        """Try to open again: a named pipe may get another reader."""
        self._inner = None
        self._source.rewind()
        self._retry(reason)

    # Inside.

    def _is_other_file(self) -> bool:
        try:
            return self._kernel.identity(self._path) != self._opened
        except OSError:
            return True

    def _open(self) -> None:
        try:
            fd, is_new = self._kernel.append_to(self._path, FILE_MODE)
        except OSError as error:
            self._retry(error.strerror or str(error))
            return
        if is_new:
            self._own(fd)
        self._opened = self._kernel.identity(fd)
        self._checked_s = self._reactor.seconds()
        self._inner = descriptor_writer(self._kernel, self._reactor, fd, self)
        self._source.recovered()

    def _retry(self, reason: str) -> None:
        self.trouble(reason)
        if not self._closed:
            self._retries.start(RETRY_S)

    def _open_and_write(self) -> None:
        self._open()
        self.wake()
