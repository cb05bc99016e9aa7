"""The writer for ``output = "/some/path"``: a file, or whatever is there.

Before each write it looks whether the path still leads to what is open, so that a file that was
renamed or removed gets no more lines. While the last line is cut, by a full disk, it looks at the
size too: in a file that was emptied meanwhile, the rest would be a line of its own, and maybe a
valid one. In both cases the path is opened again and the line is written whole.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred

from metrics_agent.output.descriptor import descriptor_writer
from metrics_agent.output.direct import RETRY_S, DirectWriter
from metrics_agent.output.writer import Source, Writer
from metrics_agent.process.descriptors import Kind
from metrics_agent.process.kernel import Kernel
from metrics_agent.timer import Timer

__all__ = ["PathWriter"]

FILE_MODE = 0o640

_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE})
"""Errors that say that a path leads nowhere; after others the open file is as good as before."""


class PathWriter:
    """Opens a path for appending, and again when it fails, is replaced or loses its reader.

    Is between the writer for the open descriptor and the sink: the writer's source is this.

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
        self._fd = -1
        self._is_file = False
        self._is_fresh = False
        self._cut_size = 0
        self._retries = Timer(reactor, self._open_and_write)
        self._closed = False
        self._open()

    # What the sink calls: `Writer`.

    def wake(self) -> None:
        """Write, to a new file if the old one was renamed or removed."""
        # The writer of a file checks itself: it also writes in turns of its own.
        if self._inner is not None and (self._is_file or self._check()):
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
        """Pass on; while a file ends in mid-line, remember where."""
        self._source.advance(count)
        if self._is_file and self._source.in_line:
            self._cut_size = self._kernel.size(self._fd)

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

    def _check(self) -> bool:
        """Return whether to go on with what is open; if not, it was opened again."""
        if self._is_fresh:
            # At least one write each: some file systems never give the same identity twice.
            self._is_fresh = False
            return True
        if self._leads_here() and not self._was_changed_in_mid_line():
            return True
        inner, self._inner = self._inner, None
        if inner is not None:
            self._source.rewind(inner.untaken())
            inner.close()
        self._open_and_write()
        return False

    def _leads_here(self) -> bool:
        try:
            return self._kernel.identity(self._path) == self._opened
        except OSError as error:
            return error.errno not in _GONE

    def _was_changed_in_mid_line(self) -> bool:
        return (
            self._is_file and self._source.in_line and self._kernel.size(self._fd) != self._cut_size
        )

    def _open(self) -> None:
        try:
            fd, is_new = self._kernel.append_to(self._path, FILE_MODE)
        except OSError as error:
            self._retry(error.strerror or str(error))
            return
        if is_new:
            self._own(fd)
        kernel = self._kernel
        self._fd = fd
        self._opened = kernel.identity(fd)
        self._is_fresh = True
        self._is_file = kernel.kind_of(fd) is Kind.FILE
        if self._is_file:
            self._inner = DirectWriter(kernel, self._reactor, fd, self, self._check)
        else:
            self._inner = descriptor_writer(kernel, self._reactor, fd, self)
        self._source.recovered()

    def _retry(self, reason: str) -> None:
        self.trouble(reason)
        if not self._closed:
            self._retries.start(RETRY_S)

    def _open_and_write(self) -> None:
        self._open()
        self.wake()
