"""The kernel of one simulated process: its descriptors and its writing threads."""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable
from select import POLLERR, POLLHUP, POLLNVAL, POLLOUT
from typing import TYPE_CHECKING, Any, Final

from metrics_agent.process.descriptors import Kind
from metrics_agent.process.kernel import Kernel
from tests.simulation.descriptors import Description, Stdin, failure

if TYPE_CHECKING:
    from tests.simulation.reactor import ProcessReactor
    from tests.simulation.reader import Reader

__all__ = ["SimKernel"]

_FIRST_FREE: Final = 3
_TURN_S: Final = 0.0005


class SimKernel(Kernel):
    """See the module. The lowest free descriptor is used again at once, as on Linux.

    Args:
        reactor: of the process.
        reader: of the output.
        violation: called with what must not happen.

    Attributes:
        stdin: of the process, descriptor 0.
    """

    def __init__(
        self, reactor: ProcessReactor, reader: Reader, violation: Callable[[str], object]
    ) -> None:
        self.reactor = reactor
        self._reader = reader
        self._violation = violation
        self.stdin = Stdin()
        self._table: dict[int, Description] = {}
        self._install(0, self.stdin)

    # -- the table ---------------------------------------------------------------------------

    def add(self, description: Any) -> int:
        """Give a description a number."""
        fd = _FIRST_FREE
        while fd in self._table:
            fd += 1
        self._install(fd, description)
        return fd

    def _install(self, fd: int, description: Description) -> None:
        if description not in self._table.values():
            description.watchers.append(self.reactor.poll_later)
        self._table[fd] = description

    def of(self, fd: int) -> Any:
        """Return what a descriptor refers to."""
        self._must_live()
        description = self._table.get(fd)
        if description is None:
            self._violation(f"a call for descriptor {fd}, which is closed")
            raise failure(errno.EBADF)
        return description

    def _must_live(self) -> None:
        """Have no call take effect that comes in one turn with a kill, after it."""
        if not self.reactor.alive:
            raise failure(errno.EIO)

    def events(self, fd: int) -> int:
        """Return what poll says."""
        return self._table[fd].events() if fd in self._table else POLLNVAL

    def open_output(self) -> int:
        """Open what the reader reads."""
        self._must_live()
        return self._reader.open_in(self)

    def end(self) -> None:
        """Close all: the process has ended."""
        for fd in list(self._table):
            self._close(fd)

    # -- `Kernel` ----------------------------------------------------------------------------

    def kind_of(self, fd: int) -> Kind:
        return self._table[fd].kind if fd in self._table else Kind.CLOSED

    def hung_up(self, fd: int) -> bool:
        return bool(self.of(fd).events() & (POLLERR | POLLHUP))

    def reopen(self, fd: int) -> int:
        pipe = self.of(fd)
        if not pipe.reopens:
            raise failure(errno.EACCES)
        if not pipe.has_reader:
            raise failure(errno.ENXIO)
        return self.add(pipe)

    def read(self, fd: int, limit: int) -> bytes:
        return bytes(self.of(fd).read(limit))

    def write(self, fd: int, data: bytes) -> int:
        self.reactor.clock.boundary("writing")
        count = int(self.of(fd).write(data))
        self.reactor.clock.boundary("write")
        return count

    def close(self, fd: int) -> None:
        self.of(fd)
        self._close(fd)

    def _close(self, fd: int) -> None:
        description = self._table.pop(fd)
        if description not in self._table.values():
            description.watchers.clear()
            description.closed()

    def unread(self, fd: int) -> int:
        return int(self.of(fd).unread)

    def unsent(self, fd: int) -> int:
        return int(self.of(fd).unsent)

    def pipe_capacity(self, fd: int) -> int:
        return int(self.of(fd).capacity)

    def room_in(self, fd: int) -> Callable[[], bool]:
        stream = self.of(fd)
        return lambda: bool(stream.events() & POLLOUT)

    def socket_of(self, fd: int) -> Any:
        return SimSocket(self, fd)

    def append_to(self, path: str, mode: int) -> tuple[int, bool]:
        del path, mode
        return self.open_output(), False

    def identity(self, file: int | str) -> tuple[int, int]:
        return 1, self._reader.inode if isinstance(file, str) else id(self.of(file))

    def size(self, fd: int) -> int:
        return int(self.of(fd).size)

    def writing_thread(self, fd: int, written: Callable[[OSError | None], object]) -> Any:
        return SimThread(self, fd, written)


class SimSocket:
    """What Python and Twisted see of a socket."""

    def __init__(self, kernel: SimKernel, fd: int) -> None:
        self._kernel = kernel
        self._fd = fd
        self._resets = False
        self.family = kernel.of(fd).family

    def fileno(self) -> int:
        return self._fd

    def setblocking(self, _blocks: bool) -> None:
        """Nothing here blocks."""

    def getsockopt(self, _level: int, option: int) -> int:
        return int(self._kernel.of(self._fd).send_buffer) if option == socket.SO_SNDBUF else 0

    def setsockopt(self, _level: int, option: int, _value: object) -> None:
        self._resets = self._resets or option == socket.SO_LINGER

    def getpeername(self) -> tuple[str, int]:
        return "192.0.2.1", 8094

    def send(self, data: Any, _flags: int = 0) -> int:
        return self._kernel.write(self._fd, bytes(data))

    def recv(self, limit: int, _flags: int = 0) -> bytes:
        return self._kernel.read(self._fd, limit)

    def shutdown(self, _how: int) -> None:
        """The close comes next."""

    def close(self) -> None:
        if self._fd >= 0:
            if self._resets:
                self._kernel.of(self._fd).reset()
            self._kernel.close(self._fd)
            self._fd = -1


class SimThread:
    """A thread that writes and waits for room; see `WritingThread`."""

    def __init__(
        self, kernel: SimKernel, fd: int, written: Callable[[OSError | None], object]
    ) -> None:
        self._kernel = kernel
        self._fd = fd
        self._written = written
        self._chunks: deque[bytes] = deque()
        self._rest = b""
        self._closing = False
        self._due = False
        kernel.of(fd).watchers.append(self._later)

    def write(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._later()

    def close(self) -> None:
        self._closing = True
        self._later()

    def _later(self) -> None:
        if not self._due and self._fd >= 0:
            self._due = True
            reactor = self._kernel.reactor
            delay_s = _TURN_S * reactor.clock.random.random() ** 2
            reactor.clock.later(delay_s, reactor.run, self._work)

    def _work(self) -> None:
        self._due = False
        if not self._rest and not self._chunks:
            if self._closing and self._fd >= 0:
                fd, self._fd = self._fd, -1
                self._kernel.close(fd)
            return
        self._rest = self._rest or self._chunks.popleft()
        failed: OSError | None = None
        try:
            self._rest = self._rest[self._kernel.write(self._fd, self._rest) :]
        except BlockingIOError:
            return
        except OSError as error:
            self._rest = b""
            failed = error
        if not self._rest:
            self._written(failed)
            self._later()
