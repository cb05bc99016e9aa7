"""The writer for what the reactor can wait for: pipe, terminal, socket."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from metrics_agent.output.buffers import Buffer, PipeBuffer, PlainBuffer, SocketBuffer
from metrics_agent.output.hangup import GONE, HangupCheck
from metrics_agent.output.whole_lines import EMPTY_CHECK_S, Outcome, hand_over
from metrics_agent.output.writer import Source
from metrics_agent.process.descriptors import Kind
from metrics_agent.process.kernel import Kernel
from metrics_agent.timer import Timer

__all__ = ["PollWriter"]

DISCARD_BYTES = 64 * 1024


@implementer(IReadWriteDescriptor)
class PollWriter:
    """Writes until the kernel's buffer is full, then waits for the reactor.

    Args:
        kernel: its calls.
        reactor: IReactorFDSet and IReactorTime.
        fd: owned by the writer from now on. A pipe or terminal must be non-blocking, and so a
            private description; a socket need not be.
        kind: PIPE, TERMINAL or SOCKET.
        source: where the bytes come from.
    """

    def __init__(self, kernel: Kernel, reactor: Any, fd: int, kind: Kind, source: Source) -> None:
        self._kernel = kernel
        self._reactor = reactor
        self._fd = fd
        self._source = source
        self._kind = kind
        self._waiting = False
        self._closed = False
        self._socket = kernel.socket_of(fd) if kind is Kind.SOCKET else None
        self._buffer: Buffer
        if self._socket is not None:
            self._buffer = SocketBuffer(kernel, self._socket)
        else:
            self._buffer = PipeBuffer(kernel, fd) if kind is Kind.PIPE else PlainBuffer(kernel, fd)
        self._empty_checks = Timer(reactor, self._pump)
        self._check = HangupCheck(kernel, reactor, fd, self._gone)
        if kind is Kind.TERMINAL:
            # Waiting to read from it would mean to take the keys from the shell.
            self._check.start()
        else:
            # Nothing to read, but it makes the reactor report when the other side hangs up.
            reactor.addReader(self)

    def wake(self) -> None:
        """Write now, unless we wait for room."""
        if not self._waiting:
            self._pump()

    def untaken(self) -> int | None:
        """Ask the kernel, see `SocketBuffer.unread`."""
        if self._closed:
            return None
        untaken = self._buffer.unread()
        if self._socket is None:
            return untaken
        # A closing peer throws away what it has not read, and that looks just like reading it.
        # The hang-up is visible before that, so it must be looked for after asking.
        if self._kernel.hung_up(self._fd):
            self._gone(GONE)
            return None
        return untaken

    def close(self) -> None:
        """Stop and close the descriptor."""
        if self._closed:
            return
        self._closed = True
        self._check.stop()
        self._empty_checks.stop()
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        if self._socket is not None:
            self._socket.close()
        else:
            self._kernel.close(self._fd)

    # What the reactor calls.

    def fileno(self) -> int:
        """Return the descriptor, -1 when closed."""
        return -1 if self._closed else self._fd

    def logPrefix(self) -> str:
        """Name ourselves in the reactor's own messages."""
        return "output"

    def doWrite(self) -> None:
        """Write, there is room."""
        self._pump()

    def doRead(self) -> None:
        """See whether the reader has gone; what a peer may say to us is discarded."""
        if self._socket is None:
            # Some reactors report a pipe's hang-up as readable.
            if self._kernel.hung_up(self._fd):
                self._gone(GONE)
            return
        try:
            data = self._socket.recv(DISCARD_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:  # stdin may be the same socket, and was faster
            return
        except OSError as error:
            self._gone(f"{GONE} ({error.strerror})")
            return
        if data:
            return
        if self._kernel.hung_up(self._fd):
            self._gone(GONE)
        else:
            # The peer sends no more but may well read on: now only asking shows when it stops.
            self._reactor.removeReader(self)
            self._check.start()

    def connectionLost(self, reason: Failure) -> None:
        """Take a hang-up or an error seen by the reactor."""
        del reason
        self._gone(GONE)

    # Inside.

    def _pump(self) -> None:
        if self._closed:  # by what was read just before; the number may be another file's by now
            return
        try:
            outcome = hand_over(self._source, self._buffer)
        except OSError as error:
            self._gone(f"{GONE} ({error.strerror})")
            return
        self._wait_for_room(wait=outcome is Outcome.FULL or outcome is Outcome.TURN)
        if outcome is Outcome.LONG and not self._closed:
            self._empty_checks.start(EMPTY_CHECK_S)

    def _wait_for_room(self, *, wait: bool) -> None:
        if wait and not self._waiting and not self._closed:
            self._reactor.addWriter(self)
        elif self._waiting and not wait:
            self._reactor.removeWriter(self)
        self._waiting = wait

    def _gone(self, reason: str) -> None:
        if not self._closed:
            self.close()
            self._source.lost(reason)
