"""Writing to a shared descriptor without ever blocking, and without changing it.

fd 2 is shared: with Telegraf's pipe, a shell's terminal, with fd 1 after ``2>&1``. O_NONBLOCK
belongs to the open file description, so setting it would change it for all of them. Instead:

* a pipe or terminal is opened again through /proc, which gives a private description;
* a socket cannot be opened again, but each send can say MSG_DONTWAIT;
* a file or device never blocks in the sense that matters here;
* where that is not possible (/proc is missing, the pipe belongs to another user, it is the master
  side of a terminal) poll is asked before each write of a piece that is taken at once: PIPE_BUF
  bytes by a pipe, one buffer of 256 bytes by a terminal.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
from typing import Final

from metrics_agent.process.descriptors import reopen

__all__ = ["Descriptor"]

_PIPE_BUF: Final = select.PIPE_BUF
_TERMINAL_BUF: Final = 256  # struct tty_buffer's step; a longer write to a full terminal blocks


class Descriptor:
    """A private way to write to what a descriptor refers to.

    Args:
        fd: it may be closed afterwards, this keeps working.

    Attributes:
        fd: our own descriptor, closed on exec; -1 where ``fd`` was closed.
        never_blocks: ``os.write(self.fd)``, by whomever, does not block either.
    """

    def __init__(self, fd: int) -> None:
        self.fd = -1
        self.never_blocks = True
        self._socket: socket.socket | None = None
        self._piece = _PIPE_BUF
        try:
            mode = os.fstat(fd).st_mode
        except OSError:
            return
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(fd))
            self.fd = self._socket.fileno()
            self.never_blocks = False
        elif stat.S_ISFIFO(mode) or os.isatty(fd):
            self._open_again(fd)
            self._piece = _PIPE_BUF if stat.S_ISFIFO(mode) else _TERMINAL_BUF
        else:
            self.fd = os.dup(fd)

    def _open_again(self, fd: int) -> None:
        try:
            self.fd = reopen(fd)
        except OSError:
            self.fd = os.dup(fd)
            self.never_blocks = False

    def write(self, data: bytes) -> int:
        """Write what is taken at once and return how many bytes that was.

        Raises:
            BlockingIOError: nothing is taken now.
            OSError: nothing is taken at all: the reader is gone, the disk is full ...
        """
        if self.fd < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        if self.never_blocks:
            return os.write(self.fd, data)
        if not self.wait(0):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return os.write(self.fd, data[: self._piece])

    def wait(self, timeout_s: float) -> bool:
        """Wait until something can be written (or fails at once); False if that took longer."""
        if self.fd < 0:
            return True
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        return bool(poll.poll(max(0.0, timeout_s) * 1000))

    def close(self) -> None:
        """Close our own descriptor; harmless when closed."""
        fd, self.fd = self.fd, -1
        if self._socket is not None:
            self._socket.close()
        elif fd >= 0:
            os.close(fd)
