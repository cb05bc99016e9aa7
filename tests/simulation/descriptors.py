"""What the agent's descriptors refer to: pipes, sockets and files that behave as on Linux."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Callable
from select import POLLERR, POLLHUP, POLLIN, POLLOUT
from typing import Any, Final

from metrics_agent.process.descriptors import Kind
from tests.simulation.clock import SimClock

__all__ = ["Description", "File", "Pipe", "Stdin", "TcpStream", "UnixStream", "failure"]

_PAGE: Final = 4096
_SKB_BYTES: Final = 768
"""What the kernel counts for each piece in a Unix socket beside its content."""
_SEGMENT_BYTES: Final = 1448


def failure(number: int) -> OSError:
    """Make the exception of an errno."""
    return OSError(number, os.strerror(number))


class Description:
    """What one or more descriptors of the agent refer to.

    Attributes:
        kind: of descriptor.
        watchers: called when `events` may have changed.
    """

    kind = Kind.FILE

    def __init__(self) -> None:
        self.watchers: list[Callable[[], object]] = []

    def changed(self) -> None:
        """Call the watchers."""
        for watcher in tuple(self.watchers):
            watcher()

    def events(self) -> int:
        """Return what poll says."""
        return POLLOUT

    def read(self, limit: int) -> bytes:
        """Read what is there."""
        raise failure(errno.EBADF)

    def write(self, data: bytes) -> int:
        """Take as many bytes as there is room for; raises OSError."""
        raise failure(errno.EBADF)

    def closed(self) -> None:
        """Take note that no descriptor is left."""


class Stdin(Description):
    """Standard input, which ends when the parent closes it."""

    kind = Kind.PIPE

    def __init__(self) -> None:
        super().__init__()
        self._unread = 0
        self._ended = False

    def fill(self, count: int) -> None:
        """Write some bytes."""
        self._unread += count
        self.changed()

    def end(self) -> None:
        """Close it."""
        self._ended = True
        self.changed()

    def events(self) -> int:
        return (POLLIN if self._unread else 0) | (POLLHUP if self._ended else 0)

    def read(self, limit: int) -> bytes:
        if not self._unread and not self._ended:
            # The description is shared and blocking: the real read would wait.
            raise AssertionError("a read of stdin blocks the reactor")
        count = min(limit, self._unread)
        self._unread -= count
        return b"\n" * count


def _take(pieces: deque[tuple[int, bytearray]], limit: int) -> bytes:
    """Take bytes off the first pieces; an empty piece goes, with what it counted for."""
    taken = bytearray()
    while pieces and len(taken) < limit:
        _counted, content = pieces[0]
        wanted = limit - len(taken)
        taken += content[:wanted]
        del content[:wanted]
        if not content:
            pieces.popleft()
    return bytes(taken)


class Pipe(Description):
    """A pipe as the agent writes it: pages, of which each may be filled in part.

    Args:
        pages: how many there are.
        reopens: whether it can be opened again.

    Attributes:
        on_data: called when there is something to read.
    """

    kind = Kind.PIPE

    def __init__(self, pages: int, *, reopens: bool = True) -> None:
        super().__init__()
        self._pages = pages
        self._filled: deque[tuple[int, bytearray]] = deque()
        self.reopens = reopens
        self.has_reader = True
        self.on_data: Callable[[], object] = lambda: None

    @property
    def capacity(self) -> int:
        """How many bytes an empty one takes."""
        return self._pages * _PAGE

    @property
    def unread(self) -> int:
        """What FIONREAD says."""
        return sum(len(content) for _end, content in self._filled)

    @property
    def is_empty(self) -> bool:
        """Whether the reader is there and has read all."""
        return self.has_reader and not self._filled

    def events(self) -> int:
        if not self.has_reader:
            return POLLERR | POLLOUT
        return POLLOUT if len(self._filled) < self._pages else 0

    def write(self, data: bytes) -> int:
        """Fill the last page if the odd bytes fit in, then new ones: pipe_write of Linux."""
        if not self.has_reader:
            raise failure(errno.EPIPE)
        taken = 0
        odd = len(data) % _PAGE
        if odd and self._filled:
            end, content = self._filled[-1]
            if end + odd <= _PAGE:
                content += data[:odd]
                self._filled[-1] = (end + odd, content)
                taken = odd
        while taken < len(data) and len(self._filled) < self._pages:
            page = bytearray(data[taken : taken + _PAGE])
            self._filled.append((len(page), page))
            taken += len(page)
        if data and not taken:
            raise failure(errno.EAGAIN)
        self.on_data()
        return taken

    def take(self, limit: int) -> bytes:
        """Read as the other side."""
        taken = _take(self._filled, limit)
        self.changed()
        return taken

    def lose_reader(self) -> None:
        """Have no reader any more; what is unread stays."""
        self.has_reader = False
        self.changed()


class UnixStream(Description):
    """A Unix stream socket, which counts its bookkeeping as content.

    Args:
        send_buffer: what SO_SNDBUF says.

    Attributes:
        on_data: called when there is something to read.
    """

    kind = Kind.SOCKET
    family = socket.AF_UNIX

    def __init__(self, send_buffer: int) -> None:
        super().__init__()
        self.send_buffer = send_buffer
        self._pieces: deque[tuple[int, bytearray]] = deque()
        self._peer_gone = 0
        self._peer_silent = False
        self.on_data: Callable[[], object] = lambda: None

    @property
    def unsent(self) -> int:
        """What TIOCOUTQ says."""
        return sum(size for size, _content in self._pieces)

    @property
    def is_empty(self) -> bool:
        """Whether the reader is there and has read all."""
        return not self._peer_gone and not self._pieces

    def events(self) -> int:
        if self._peer_gone:
            return POLLIN | POLLOUT | POLLHUP
        room = POLLOUT if 4 * self.unsent <= self.send_buffer else 0
        return room | (POLLIN if self._peer_silent else 0)

    def read(self, limit: int) -> bytes:
        del limit
        if self._peer_gone == errno.ECONNRESET:
            self._peer_gone = errno.EPIPE
            raise failure(errno.ECONNRESET)
        if self._peer_gone or self._peer_silent:
            return b""
        raise failure(errno.EAGAIN)

    def write(self, data: bytes) -> int:
        if self._peer_gone:
            raise failure(errno.EPIPE)
        taken = 0
        while taken < len(data) and self.unsent < self.send_buffer:
            piece = bytearray(data[taken : taken + self.send_buffer // 2 - 64])
            self._pieces.append((len(piece) + _SKB_BYTES, piece))
            taken += len(piece)
        if data and not taken:
            raise failure(errno.EAGAIN)
        self.on_data()
        return taken

    def take(self, limit: int) -> bytes:
        """Read as the other side."""
        taken = _take(self._pieces, limit)
        self.changed()
        return taken

    def stop_sending(self) -> None:
        """Have the peer shut down its sending side; it keeps reading."""
        self._peer_silent = True
        self.changed()

    def reset(self) -> None:
        """Close at once; with a Unix socket the peer can still read what was sent."""

    def lose_reader(self) -> None:
        """Have the peer close and discard unread bytes, which looks as if it had read them."""
        self._peer_gone = errno.ECONNRESET if self._pieces else errno.EPIPE
        self._pieces.clear()
        self.changed()


class TcpStream(Description):
    """The agent's end of a TCP connection.

    Args:
        clock: of the simulation.
        send_buffer: what SO_SNDBUF says.
        bookkeeping: how much the kernel counts for each byte.
        arrive: takes bytes into the receiver's kernel, which acknowledges them; returns how many.

    Attributes:
        alive: it is not reset, and the peer has not closed it.
        stalled: nothing arrives for now.
        on_end: called when the agent has closed it and everything has arrived.
    """

    kind = Kind.SOCKET
    family = socket.AF_INET

    def __init__(
        self,
        clock: SimClock,
        send_buffer: int,
        bookkeeping: float,
        arrive: Callable[[bytes], int],
    ) -> None:
        super().__init__()
        self._clock = clock
        self.send_buffer = send_buffer
        self._bookkeeping = bookkeeping
        self._arrive = arrive
        self._queue = bytearray()
        self._due = False
        self._error = 0
        self._peer_closed = False
        self._agent_closed = False
        self.stalled = False
        self.on_end: Callable[[], object] = lambda: None

    @property
    def alive(self) -> bool:
        """Whether bytes may still arrive."""
        return not self._error and not self._peer_closed

    @property
    def is_idle(self) -> bool:
        """Whether both ends are there and all has arrived."""
        return self.alive and not self._agent_closed and not self.stalled and not self._queue

    @property
    def unsent(self) -> int:
        """What TIOCOUTQ says: bytes that the peer's kernel has not acknowledged."""
        return len(self._queue)

    @property
    def _counted(self) -> float:
        return len(self._queue) * self._bookkeeping

    def events(self) -> int:
        if self._error:
            return POLLIN | POLLOUT | POLLERR | POLLHUP
        queued = self._counted
        room = POLLOUT if self.send_buffer - queued >= queued / 2 else 0
        return room | (POLLIN if self._peer_closed else 0)

    def read(self, limit: int) -> bytes:
        del limit
        if self._error == errno.ECONNRESET:
            self._error = errno.EPIPE
            raise failure(errno.ECONNRESET)
        if self._peer_closed or self._error:
            return b""
        raise failure(errno.EAGAIN)

    def write(self, data: bytes) -> int:
        if self._error:
            number, self._error = self._error, errno.EPIPE
            raise failure(number)
        if self._peer_closed:
            # Stays unacknowledged, and is answered with a reset.
            self._queue += data
            self._clock.later(0.001, self.reset)
            return len(data)
        taken = 0
        while taken < len(data) and self._counted < self.send_buffer:
            self._queue += data[taken : taken + _SEGMENT_BYTES]
            taken = min(len(data), taken + _SEGMENT_BYTES)
        if data and not taken:
            raise failure(errno.EAGAIN)
        self.pump_later()
        return taken

    def pump_later(self) -> None:
        """Let queued bytes arrive soon."""
        if not self._due and self.alive:
            self._due = True
            random = self._clock.random
            self._clock.later(random.choice((0.0001, 0.0005, 0.002)) * random.random(), self._pump)

    def _pump(self) -> None:
        self._due = False
        if not self.alive or self.stalled:
            return
        random = self._clock.random
        most = len(self._queue)
        self._move(most if random.random() < 0.7 else random.randint(0, most))
        if self._queue:
            if self._moved:
                self.pump_later()
        elif self._agent_closed:
            self.on_end()

    _moved = 0

    def _move(self, most: int) -> None:
        self._moved = self._arrive(bytes(self._queue[:most])) if most else 1
        if most:
            del self._queue[: self._moved]
        self.changed()

    def flush(self) -> None:
        """Have all arrive at once, however full the receiver is."""
        if self.alive:
            self.stalled = False
            while self._queue:
                self._move(len(self._queue))
            if self._agent_closed:
                self.on_end()

    def reset(self) -> None:
        """Break."""
        if not self._error:
            self._error = errno.ECONNRESET
            self._queue.clear()
            self.changed()

    def peer_closes(self) -> None:
        """Have the receiver close with nothing unread."""
        self._peer_closed = True
        self.changed()

    def closed(self) -> None:
        self._agent_closed = True
        self.pump_later()


class File(Description):
    """A file; the disk may be full.

    Args:
        take: gets what is written.

    Attributes:
        room: bytes until the disk is full; None: it is not.
        cut: the last write was taken in part.
        size: of what it holds.
        has_lines: something was written to it.
        is_renamed: its writer should have noticed that it has another name.
        on_fault: called with what is wrong.
    """

    def __init__(
        self, take: Callable[[bytes], Any], on_fault: Callable[[str], object] = lambda _text: None
    ) -> None:
        super().__init__()
        self._take = take
        self.on_fault = on_fault
        self.room: int | None = None
        self.cut = False
        self.size = 0
        self.has_lines = False
        self.is_renamed = False

    def write(self, data: bytes) -> int:
        count = len(data)
        if self.room is not None:
            data = data[: self.room]
            self.room -= len(data)
            if not data:
                raise failure(errno.ENOSPC)
        if self.is_renamed:
            self.on_fault(f"{data[:80]!r} is written to a file that was renamed")
        self.cut = len(data) < count
        self.size += len(data)
        self.has_lines = True
        self._take(data)
        return len(data)

    def empty(self) -> None:
        """Lose the content."""
        self.size = 0
