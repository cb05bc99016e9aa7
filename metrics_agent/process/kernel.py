"""What the agent asks of the kernel about its output and stdin, in one place.

A simulation hands in another one, see tests/simulation. The logs and `exit.py` go past it: they
must work when nothing else does.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
import termios
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from metrics_agent.process.bounded_thread import BoundedThread
from metrics_agent.process.descriptors import Kind, ask_kernel, hung_up, kind_of, reopen

__all__ = ["Kernel", "WritingThread"]

_F_GETPIPE_SZ: Final = 1032  # fcntl names it since Python 3.10 only where its build machine did
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY

_CUT: Final = b"#\n"
"""Makes what is there of a line invalid: a time without its last digits would be one of 1970. Where
nothing is there of a line it is a comment."""


class Kernel:
    """System calls on descriptors. Each raises OSError."""

    def kind_of(self, fd: int) -> Kind:
        """Return what a descriptor is, see `descriptors.kind_of`."""
        return kind_of(fd)

    def hung_up(self, fd: int) -> bool:
        """Return whether the other side is gone, see `descriptors.hung_up`."""
        return hung_up(fd)

    def reopen(self, fd: int) -> int:
        """Open a private, non-blocking description, see `descriptors.reopen`."""
        return reopen(fd)

    def read(self, fd: int, limit: int) -> bytes:
        """Read what is there."""
        return os.read(fd, limit)

    def write(self, fd: int, data: bytes) -> int:
        """Write; return how much was taken."""
        return os.write(fd, data)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def unread(self, fd: int) -> int:
        """Return how many bytes of a pipe its reader has not taken."""
        return ask_kernel(fd, termios.FIONREAD)

    def unsent(self, fd: int) -> int:
        """Return how many bytes of a socket the peer has not taken, see `SocketBuffer.unread`."""
        return ask_kernel(fd, termios.TIOCOUTQ)

    def pipe_capacity(self, fd: int) -> int:
        """Return how many bytes a pipe holds."""
        return fcntl.fcntl(fd, _F_GETPIPE_SZ)

    def room_in(self, fd: int) -> Callable[[], bool]:
        """Return what looks whether a socket has room to write."""
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        return lambda: bool(poll.poll(0))

    def socket_of(self, fd: int) -> socket.socket:
        """Make a socket that owns a descriptor."""
        return socket.socket(fileno=fd)

    def append_to(self, path: str, mode: int) -> tuple[int, bool]:
        """Open a file for appending, or a named pipe that has a reader.

        A line that a full disk has cut is ended, so that it is invalid and the next one is not;
        also where this user may not read whether there is one.

        Returns:
            A descriptor, and whether the file was made. It has the mode then, whatever the umask
            is (a daemon of twistd has 077).
        """
        try:
            fd, is_new = os.open(path, _APPEND | os.O_EXCL, mode), True
        except FileExistsError:
            fd, is_new = os.open(path, _APPEND, mode), False
        try:
            if is_new:
                os.fchmod(fd, mode)
            elif _may_end_in_mid_line(path, fd):
                os.write(fd, _CUT)
            # O_NONBLOCK was for opening only: a named pipe without a reader would block there.
            os.set_blocking(fd, True)
        except OSError:
            os.close(fd)
            raise
        return fd, is_new

    def identity(self, file: int | str) -> tuple[int, int]:
        """Return what distinguishes the file behind a descriptor or path from all others."""
        status = os.stat(file)  # noqa: PTH116 - descriptors too
        return status.st_dev, status.st_ino

    def size(self, fd: int) -> int:
        """Return how many bytes a file has."""
        return os.fstat(fd).st_size

    def writing_thread(self, fd: int, written: Callable[[OSError | None], object]) -> WritingThread:
        """Start a thread that writes, see `WritingThread`."""
        return WritingThread(fd, written)


def _may_end_in_mid_line(path: str, fd: int) -> bool:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return False
    try:
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # this user may only write it
        return True
    try:
        return os.pread(reading, 1, status.st_size - 1) != b"\n"
    finally:
        os.close(reading)


class WritingThread:
    """Writes to a blocking descriptor, one chunk after the other, in a thread of its own.

    It is a daemon: a write that hangs does not keep the process from ending. Only this thread
    writes to the descriptor and closes it, so that its number cannot become another file's in the
    middle of a write.

    Args:
        fd: owned by the thread from now on.
        written: called in the thread after each chunk, with the error that ended it or None.
    """

    def __init__(self, fd: int, written: Callable[[OSError | None], object]) -> None:
        self._fd = fd
        self._written = written
        self._chunks: SimpleQueue[bytes | None] = SimpleQueue()
        BoundedThread(self._work, "output", daemon=True).start()

    def write(self, chunk: bytes) -> None:
        """Write all of it."""
        self._chunks.put(chunk)

    def close(self) -> None:
        """Close the descriptor when everything is written."""
        self._chunks.put(None)

    def _work(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            rest = memoryview(chunk)
            failed: OSError | None = None
            try:
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
            except OSError as error:
                failed = error
            self._written(failed)
        os.close(self._fd)
