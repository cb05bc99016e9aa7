"""What lies between a writer and its reader: how much it holds, and takes in one piece."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Final, Protocol

from metrics_agent.output.queue import CHUNK_BYTES
from metrics_agent.process.kernel import Kernel

__all__ = ["ATOMIC_BYTES", "Buffer", "PipeBuffer", "PlainBuffer", "SocketBuffer"]

ATOMIC_BYTES: Final = select.PIPE_BUF
"""4,096: what a buffer with any room takes whole."""

_SHARE: Final = 4
"""A socket counts its bookkeeping as content: this part of its buffer holds that many bytes."""


class Buffer(Protocol):
    """What lies between a writer and its reader.

    Attributes:
        atomic_bytes: as much is taken whole, or not at all, whenever it is `ready`.
    """

    atomic_bytes: int

    def ready(self) -> bool:
        """Return whether it is worth to write."""
        ...

    def unread(self) -> int:
        """Return how many bytes the reader has not taken: more than the truth, but never less."""
        ...

    def capacity(self) -> int:
        """Return how many bytes are taken whole when nothing is unread."""
        ...

    def send(self, chunk: bytes) -> int:
        """Write without waiting; return how much was taken. Raises OSError."""
        ...


class PipeBuffer:
    """A pipe; a blocking one too, whose owner writes what `next_chunk` gave."""

    atomic_bytes = ATOMIC_BYTES

    def __init__(self, kernel: Kernel, fd: int) -> None:
        self._kernel = kernel
        self._fd = fd

    def ready(self) -> bool:
        """Let the write find out."""
        return True

    def unread(self) -> int:
        """Ask the kernel."""
        return self._kernel.unread(self._fd)

    def capacity(self) -> int:
        """Ask the kernel: it gives a user who has many pipes smaller ones."""
        return self._kernel.pipe_capacity(self._fd)

    def send(self, chunk: bytes) -> int:
        """Write."""
        return self._kernel.write(self._fd, chunk)


class SocketBuffer:
    """A stream socket, blocking or not."""

    def __init__(self, kernel: Kernel, stream: socket.socket) -> None:
        self._kernel = kernel
        self._socket = stream
        self._has_room: Callable[[], bool] | None = None
        if stream.family != socket.AF_UNIX:
            self._has_room = kernel.room_in(stream.fileno())
        self.atomic_bytes = min(ATOMIC_BYTES, self.capacity())

    def ready(self) -> bool:
        """Look for room in TCP, which takes a part where it has less."""
        return self._has_room is None or self._has_room()

    def unread(self) -> int:
        """Ask the kernel.

        Of a Unix socket it counts its bookkeeping too, so it says more than the truth but 0 only
        when all is read. Of TCP it says what the peer's kernel has not acknowledged.
        """
        return self._kernel.unsent(self._socket.fileno())

    def capacity(self) -> int:
        """Ask the kernel, which lets the buffer of TCP grow."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // _SHARE

    def send(self, chunk: bytes) -> int:
        """Send."""
        return self._socket.send(chunk, socket.MSG_DONTWAIT)


class PlainBuffer:
    """What gives no promise, or needs none: a terminal, a device, a file."""

    atomic_bytes = CHUNK_BYTES

    def __init__(self, kernel: Kernel, fd: int) -> None:
        self._kernel = kernel
        self._fd = fd

    def ready(self) -> bool:
        """Let the write find out."""
        return True

    def unread(self) -> int:
        """Have no answer: written is taken."""
        return 0

    def capacity(self) -> int:
        """Return the same as always."""
        return CHUNK_BYTES

    def send(self, chunk: bytes) -> int:
        """Write."""
        return self._kernel.write(self._fd, chunk)
