"""The program that reads the agent's output, and the pipe, socket or file between them."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from select import POLLOUT
from typing import Any, Final

from tests.simulation.clock import SimClock
from tests.simulation.descriptors import File, Pipe, TcpStream, UnixStream
from tests.simulation.kernel import SimKernel

__all__ = ["READERS", "Reader", "is_line"]

_LINE: Final = re.compile(
    rb"[a-z_]+(,[a-z_]+=[^ ,=\x00-\x1f]+)* "
    rb'[a-z_0-9]+=(?:"(?:\\.|[^"\\\n\x00])*"|[^ \n\x00"])+( -?\d+)?\n'
)
_FAST: Final = 1 << 20
_REPLACED: Final = -1
_PAGES: Final = (4, 16, 16, 256)
_SEND_BUFFERS: Final = (40960, 65536, 212992)
"""The smallest takes the longest line whole: a longer line would be written in parts."""


def is_line(line: bytes) -> bool:
    """Say whether this is a line of line protocol, with its newline."""
    return _LINE.fullmatch(line) is not None


class Reader:
    """Reads at its own pace.

    Args:
        clock: of the simulation.
        random: chooses the sizes of buffers.
        on_line: called with each line once the agent may count it as taken.
        on_fault: called with what is wrong with the stream.

    Attributes:
        setting: the agent's setting ``output``.
        alive: it, or its successor, takes what a new process writes.
        loses: unread lines are lost when it dies.
        repeats: the agent writes again what may have been read when the output broke.
        bytes_a_turn: how fast it is.
        inode: of the file at a path.
        is_fragile: if it breaks while it is full, or changes while a line is cut, the writer has to
            take care; so more runs have that.
        breaks: how the output breaks while much is unread, each as often as it is here: the
            connection is cut, the reader dies, or the agent is killed.
        patience_s: how long a line may wait while the reader is `ready`.
        disturbed_s: when something was last done to it.
    """

    setting = "stdout"
    loses = True
    repeats = False
    is_fragile = False
    breaks: tuple[str, ...] = ("die", "die", "kill")
    patience_s = 0.5

    def __init__(
        self,
        clock: SimClock,
        random: Random,
        on_line: Callable[[bytes], object],
        on_fault: Callable[[str], object],
    ) -> None:
        self.clock = clock
        self.random = random
        self._on_line = on_line
        self._on_fault = on_fault
        self._rest = b""
        self._due = False
        self._stalled = False
        self.alive = True
        self.bytes_a_turn = _FAST
        self.inode = 0
        self.disturbed_s = 0.0

    @property
    def ready(self) -> bool:
        """Whether it has read everything and would read more."""
        return self.alive and not self._stalled

    @property
    def has_room(self) -> bool:
        """Whether the agent could write more, as far as this is known."""
        return False

    def stall(self) -> None:
        """Stop reading, or fill the disk."""
        self._stalled = True
        self._disturbed()

    def resume(self) -> None:
        """Go on."""
        self._stalled = False
        self._disturbed()
        self.wake()

    def _disturbed(self) -> None:
        self.disturbed_s = self.clock.now_s

    def open_in(self, kernel: SimKernel) -> int:
        """Give a process its end; raises OSError."""
        raise NotImplementedError

    def die(self) -> None:
        """Die with lines unread."""
        raise NotImplementedError

    def cut(self) -> None:
        """Break the connection, where there is one."""

    def check_rejected(self, count: int) -> None:
        """Compare how many metrics the agent counted as rejected with what was refused."""
        if count:
            self._on_fault(f"{count} metrics are counted as rejected, which none can be")

    def wake(self) -> None:
        """Go on reading."""
        if not self._due:
            self._due = True
            self.clock.later(0.001 * self.clock.random.random() ** 2, self._turn)

    def end_of_stream(self) -> None:
        """Read what is left when the process has ended."""
        self._end()

    def _turn(self) -> None:
        self._due = False
        if not self._stalled and self.alive and self._read():
            self.wake()

    def _read(self) -> bool:
        """Read once; return whether there is more."""
        return False

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not is_line(line + b"\n"):
                self._on_fault(f"not a line of line protocol: {line[:120]!r}")
            self._on_line(line)

    def _end(self) -> None:
        rest, self._rest = self._rest, b""
        if rest:
            self._on_fault(f"the stream ends in mid-line: {rest[-80:]!r}")


class PipeReader(Reader):
    """The parent, at a pipe at the agent's standard output: Telegraf as a rule."""

    reopens = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._pipe: Any = self._make()

    @property
    def ready(self) -> bool:
        return super().ready and self._pipe.is_empty

    @property
    def has_room(self) -> bool:
        return bool(self._pipe.events() & POLLOUT)

    def _make(self) -> Any:
        return Pipe(self.random.choice(_PAGES), reopens=self.reopens)

    def open_in(self, kernel: SimKernel) -> int:
        self._pipe = self._make()
        self._pipe.on_data = self.wake
        return kernel.add(self._pipe)

    def die(self) -> None:
        self.alive = False
        self._rest = b""
        self._pipe.lose_reader()

    def end_of_stream(self) -> None:
        if self.alive:
            while data := self._pipe.take(_FAST):
                self._take(data)
            self._end()

    def _read(self) -> bool:
        data = self._pipe.take(self.bytes_a_turn)
        self._take(data)
        return bool(data)


class SharedPipeReader(PipeReader):
    """At a pipe that the agent cannot open again: a thread writes."""

    reopens = False


class SocketReader(PipeReader):
    """At a Unix socket that is the agent's standard output."""

    is_fragile = True

    def _make(self) -> Any:
        return UnixStream(self.random.choice(_SEND_BUFFERS))

    def open_in(self, kernel: SimKernel) -> int:
        fd = super().open_in(kernel)
        if self.random.random() < 0.3:
            self.clock.later(self.random.random(), self._pipe.stop_sending)
        return fd


class NamedPipeReader(PipeReader):
    """At a named pipe; when it dies another one comes."""

    setting = "/simulated/pipe"
    loses = False
    repeats = True
    breaks = ("cut", "cut", "die", "die", "kill")
    patience_s = 1.5

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._is_there = True

    @property
    def ready(self) -> bool:
        return super().ready and self._reads

    def open_in(self, kernel: SimKernel) -> int:
        if not self._is_there:
            raise OSError(6, "No such device or address")
        self._rest = b""
        fd = super().open_in(kernel)
        self.inode = id(self._pipe)
        return fd

    def die(self) -> None:
        if self._is_there:
            self._is_there = False
            self._rest = b""
            self._disturbed()
            self._pipe.lose_reader()
            self.clock.later(3 * self.random.random(), self._come)

    def cut(self) -> None:
        """Replace the pipe; lines unread in the old one are never read."""
        self.inode = _REPLACED

    def end_of_stream(self) -> None:
        if self._reads:
            super().end_of_stream()
        self._rest = b""

    def _come(self) -> None:
        self._is_there = True

    def _read(self) -> bool:
        return self._reads and super()._read()

    @property
    def _reads(self) -> bool:
        # A new reader does not get what is left in a broken pipe.
        return self._pipe.has_reader and self.inode != _REPLACED


class FileReader(Reader):
    """A file. What is written is taken; the disk may be full."""

    loses = False
    breaks = ("kill",)
    patience_s = 1.5

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._file = File(self._take, self._on_fault)

    @property
    def ready(self) -> bool:
        return self._file.room is None

    @property
    def has_room(self) -> bool:
        return self._file.room != 0

    def stall(self) -> None:
        self._file.room = self.random.choice((0, 100, 5000))
        self._disturbed()

    def resume(self) -> None:
        self._file.room = None
        self._disturbed()

    def open_in(self, kernel: SimKernel) -> int:
        self.end_of_stream()
        room, self._file = self._file.room, File(self._take, self._on_fault)
        self._file.room = room
        self.inode = id(self._file)
        return kernel.add(self._file)

    def die(self) -> None:
        """Do nothing: it is a file."""

    def end_of_stream(self) -> None:
        # A full disk takes part of a line, and a process that ends then leaves it cut.
        if self._file.cut:
            self._rest = b""
        self._end()


class PathReader(FileReader):
    """A file that the agent opens by its path."""

    setting = "/simulated/file"
    repeats = True
    is_fragile = True
    breaks = ("cut", "cut", "die", "die", "kill")

    def die(self) -> None:
        """Have the file renamed: a writer looks before each write, but the first after opening."""
        self.inode = _REPLACED
        self._file.is_renamed = self._file.has_lines

    def cut(self) -> None:
        """Have the file emptied, which keeps its identity."""
        self._file.empty()
        self._rest = b""


class TcpReader(Reader):
    """A program that listens at a port; when it dies another one comes.

    What its kernel has acknowledged counts as taken, even if it dies before it reads that.
    """

    setting = "tcp://192.0.2.1:8094"
    loses = False
    repeats = True
    is_fragile = True
    breaks = ("cut", "die", "kill", "kill")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._listens = True
        self._stream: TcpStream | None = None
        self._unread = 0
        self._receive_all = False
        self._receive_buffer = self.random.choice((16384, 65536, 1 << 20))

    @property
    def ready(self) -> bool:
        stream = self._stream
        return super().ready and stream is not None and stream.is_idle and not self._unread

    @property
    def has_room(self) -> bool:
        return self._stream is not None and bool(self._stream.events() & POLLOUT)

    def stall(self) -> None:
        """Stop reading, and often have nothing arrive either."""
        super().stall()
        if self._stream is not None and self.random.random() < 0.9:
            self._stream.stalled = True

    def resume(self) -> None:
        if self._stream is not None:
            self._stream.stalled = False
            self._stream.pump_later()
        super().resume()

    def open_in(self, kernel: SimKernel) -> int:
        if not self._listens:
            raise ConnectionRefusedError
        random = self.random
        self._rest = b""
        self._unread = 0
        stream = self._stream = TcpStream(
            self.clock,
            random.choice((46080, 46080, 87040, 2_626_560)),
            random.choice((1.1, 1.6, 2.2)),
            lambda data: self._arrive(stream, data),
        )
        stream.on_end = self._end
        return kernel.add(stream)

    def die(self) -> None:
        if not self._listens:
            return
        self._listens = False
        self._disturbed()
        if self._stream is not None:
            # With something unread a close is a reset.
            if self._unread:
                self._stream.reset()
            else:
                self._stream.peer_closes()
        self.clock.later(self.random.choice((0.01, 1.0, 10.0)) * self.random.random(), self._come)

    def cut(self) -> None:
        if self._stream is not None:
            self._stream.reset()

    def end_of_stream(self) -> None:
        if self._stream is not None:
            self._receive_all = True
            self._stream.flush()
            self._receive_all = False
            self._stream = None
        self._rest = b""

    def _come(self) -> None:
        self._listens = True

    def _arrive(self, stream: TcpStream, data: bytes) -> int:
        if stream is not self._stream:
            return len(data)
        if not self._receive_all:
            data = data[: max(0, self._receive_buffer - self._unread)]
        self._unread += len(data)
        self._take(data)
        self.wake()
        return len(data)

    def _read(self) -> bool:
        self._unread -= min(self._unread, self.bytes_a_turn)
        if self._stream is not None:
            self._stream.pump_later()
        return bool(self._unread)


class UnixReader(PipeReader):
    """A program that listens at a Unix socket; when it dies, with what is unread, another comes."""

    setting = "unix:///simulated/socket"
    loses = False
    repeats = True
    breaks = ("cut", "die", "kill")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._listens = True

    def _make(self) -> Any:
        return UnixStream(self.random.choice(_SEND_BUFFERS))

    def open_in(self, kernel: SimKernel) -> int:
        if not self._listens:
            raise ConnectionRefusedError
        self._rest = b""
        return super().open_in(kernel)

    def die(self) -> None:
        if self._listens:
            self._listens = False
            self.cut()
            delay_s = self.random.choice((0.01, 1.0, 10.0)) * self.random.random()
            self.clock.later(delay_s, self._come)

    def cut(self) -> None:
        self._rest = b""
        self._disturbed()
        self._pipe.lose_reader()

    def _come(self) -> None:
        self._listens = True


READERS: Final = (
    PipeReader,
    SharedPipeReader,
    SocketReader,
    NamedPipeReader,
    FileReader,
    PathReader,
    PathReader,
    TcpReader,
    TcpReader,
    UnixReader,
)
"""Each as often as it is here: a file by its path has the most states, TCP the most sizes."""
