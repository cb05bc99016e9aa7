"""Readers at pipes and Unix sockets."""

from __future__ import annotations

from select import POLLOUT
from typing import Any, Final

from tests.simulation.descriptors import Pipe, UnixStream
from tests.simulation.kernel import SimKernel
from tests.simulation.reader import FAST, REPLACED, Reader

__all__ = ["NamedPipeReader", "PipeReader", "SharedPipeReader", "SocketReader", "UnixReader"]

_PAGES: Final = (4, 16, 16, 256)
_SEND_BUFFERS: Final = (40960, 65536, 212992)
"""The smallest takes the longest line whole: a longer line would be written in parts."""


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
            while data := self._pipe.take(FAST):
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

    @property
    def can_be_opened(self) -> bool:
        return self._is_there

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
        self.inode = REPLACED

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
        return self._pipe.has_reader and self.inode != REPLACED


class UnixReader(PipeReader):
    """A program that listens at a Unix socket; when it dies, with what is unread, another comes."""

    setting = "unix:///simulated/socket"
    loses = False
    repeats = True
    breaks = ("cut", "die", "kill")

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
            self._come_later()

    def cut(self) -> None:
        self._rest = b""
        self._disturbed()
        self._pipe.lose_reader()
