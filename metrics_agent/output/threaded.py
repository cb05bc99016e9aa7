"""The writer for what can block and must not be made non-blocking: a thread waits for it.

Used where a pipe or terminal cannot be opened again (it belongs to another user, there is no
/proc) and for odd devices. O_NONBLOCK on the shared description would leak to the parent and its
shell, and "restored at exit" is a promise that kill -9 breaks; a thread that hangs in a write harms
nobody, and as a daemon it does not keep the process from ending.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from metrics_agent.looping import GuardedLoop
from metrics_agent.output.hangup import GONE, HangupCheck
from metrics_agent.output.whole_lines import (
    EMPTY_CHECK_S,
    Buffer,
    PipeBuffer,
    PlainBuffer,
    next_chunk,
)
from metrics_agent.output.writer import Source
from metrics_agent.process.descriptors import Kind

__all__ = ["ThreadWriter", "start_daemon"]


def start_daemon(work: Callable[[], None]) -> None:
    """Run work in a thread that does not keep the process alive."""
    threading.Thread(target=work, name="output", daemon=True).start()


class ThreadWriter:
    """Hands one chunk at a time to a thread of its own.

    Args:
        reactor: IReactorTime and IReactorFromThreads.
        fd: owned by the writer from now on; blocking. Only the thread writes to it and closes
            it, so that its number cannot become another file's in the middle of a write.
        kind: tells how to ask what the reader has taken.
        source: where the bytes come from.
        start_thread: gets the thread's work.
    """

    def __init__(
        self,
        reactor: Any,
        fd: int,
        kind: Kind,
        source: Source,
        start_thread: Callable[[Callable[[], None]], None] = start_daemon,
    ) -> None:
        self._reactor = reactor
        self._fd = fd
        self._source = source
        self._chunks: SimpleQueue[bytes | None] = SimpleQueue()
        self._in_hand = 0
        self._closed = False
        self._buffer: Buffer = PipeBuffer(fd) if kind is Kind.PIPE else PlainBuffer(fd)
        self._empty_checks = GuardedLoop(reactor, self.wake)
        self._check = HangupCheck(reactor, fd, self._gone)
        if kind in {Kind.PIPE, Kind.TERMINAL}:
            self._check.start()
        start_thread(self._work)

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
            self._chunks.put(chunk)

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
            self._chunks.put(None)

    def _work(self) -> None:
        """Run in the thread: write what is handed over, report, until told to end."""
        while (chunk := self._chunks.get()) is not None:
            rest = memoryview(chunk)
            failed: OSError | None = None
            try:
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
            except OSError as error:
                failed = error
            self._reactor.callFromThread(self._written, failed)
        os.close(self._fd)

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
