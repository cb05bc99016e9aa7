"""A reader at a TCP port."""

from __future__ import annotations

from select import POLLOUT
from typing import Any

from tests.simulation.descriptors import TcpStream
from tests.simulation.kernel import SimKernel
from tests.simulation.reader import Reader

__all__ = ["TcpReader"]


class TcpReader(Reader):
    """A program that listens at a port; when it dies another one comes.

    What its kernel has acknowledged counts as taken, even if it dies before it reads that.
    """

    setting = "tcp://192.0.2.1:8094"
    loses = False
    repeats = True
    is_fragile = True
    breaks = ("cut", "cut", "die", "kill")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
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
        self._come_later()

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
