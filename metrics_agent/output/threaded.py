"""The writer for what can block and must not be made non-blocking: a thread waits for it.

Used where a pipe or terminal cannot be opened again (it belongs to another user, there is no
/proc) and for odd devices. O_NONBLOCK on the shared description would leak to the parent and its
shell, and "restored at exit" is a promise that kill -9 breaks; a thread that hangs in a write does
no harm, and as a daemon it does not keep the process from ending.
"""

from __future__ import annotations

from typing import Any

from metrics_agent.output.buffers import Buffer, PipeBuffer, PlainBuffer
from metrics_agent.output.hangup import GONE, HangupCheck
from metrics_agent.output.whole_lines import EMPTY_CHECK_S, next_chunk
from metrics_agent.output.writer import Source
from metrics_agent.process.descriptors import Kind
from metrics_agent.process.kernel import Kernel
from metrics_agent.timer import Timer

__all__ = ["ThreadWriter"]


class ThreadWriter:
    """Hands one chunk at a time to a thread of its own.

    Args:
        kernel: its calls.
        reactor: IReactorTime and IReactorFromThreads.
        fd: owned by the writer from now on; blocking.
        kind: determines how to ask what the reader has taken.
        source: where the bytes come from.
    """

    def __init__(self, kernel: Kernel, reactor: Any, fd: int, kind: Kind, source: Source) -> None:
        self._reactor = reactor
        self._source = source
        self._in_hand = 0
        self._closed = False
        self._buffer: Buffer = (
            PipeBuffer(kernel, fd) if kind is Kind.PIPE else PlainBuffer(kernel, fd)
        )
        self._empty_checks = Timer(reactor, self.wake)
        self._check = HangupCheck(kernel, reactor, fd, self._gone)
        if kind in {Kind.PIPE, Kind.TERMINAL}:
            self._check.start()
        self._thread = kernel.writing_thread(
            fd, lambda failed: self._reactor.callFromThread(self._written, failed)
        )

    def wake(self) -> None:
        """Hand over a chunk, unless the thread has one."""
        if self._in_hand or self._closed:
            return
        chunk = next_chunk(self._source, self._buffer)
        if chunk is None:
            self._empty_checks.start(EMPTY_CHECK_S)
        elif chunk:
            self._in_hand = len(chunk)
            self._source.advance(len(chunk))
            self._thread.write(chunk)

    def untaken(self) -> int | None:
        """Count the thread's chunk as untaken, beside what is in the pipe."""
        if self._closed:
            return None
        return self._in_hand + self._buffer.unread()

    def close(self) -> None:
        """Let the thread finish its chunk and close the descriptor."""
        if not self._closed:
            self._closed = True
            self._check.stop()
            self._empty_checks.stop()
            self._thread.close()

    def _written(self, failed: OSError | None) -> None:
        if self._closed:
            return
        if failed is not None:
            self._gone(f"{GONE} ({failed.strerror})")
            return
        self._in_hand = 0
        self.wake()

    def _gone(self, reason: str) -> None:
        if not self._closed:
            self.close()
            self._source.lost(reason)
