"""The pipe at the agent's standard output and the program that reads it, Telegraf as a rule."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from tests.simulation.clock import SimClock

__all__ = ["PipeWriter", "Reader"]

PIPE_BYTES: Final = 64 * 1024
ATOMIC_BYTES: Final = 4096
_LINE: Final = re.compile(rb"[a-z_]+(,[a-z_]+=[^ ,=\x00-\x1f]+)* [a-z_0-9]+=[^ \n\x00]+( -?\d+)?\n")


class Reader:
    """Reads a pipe at its own pace.

    Args:
        clock: of the simulation.
        on_line: called with each line as it is read.
        on_fault: called with what is wrong with the stream.

    Attributes:
        alive: it reads; a pipe without a reader breaks.
        stalled: it stands still.
    """

    def __init__(
        self,
        clock: SimClock,
        on_line: Callable[[bytes], object],
        on_fault: Callable[[str], object],
    ) -> None:
        self._clock = clock
        self._on_line = on_line
        self._on_fault = on_fault
        self.pipe = bytearray()
        self._rest = b""
        self.alive = True
        self.stalled = False
        self.bytes_a_turn = 1 << 20
        self.on_room: Callable[[], object] = lambda: None
        self.on_gone: Callable[[], object] = lambda: None
        self._due = False

    def write(self, data: bytes) -> int:
        """Take bytes as the kernel does: all of up to 4,096, or nothing."""
        free = PIPE_BYTES - len(self.pipe)
        count = len(data) if len(data) <= free else 0
        if len(data) > ATOMIC_BYTES:
            count = min(len(data), free)
        self.pipe += data[:count]
        self._read_later()
        return count

    def wake(self) -> None:
        """Go on reading."""
        self._read_later()

    def die(self) -> None:
        """End, with what is in the pipe."""
        # What is in the pipe stays there, unread: that is what FIONREAD says.
        self.alive = False
        self._rest = b""
        self.on_gone()

    def end_of_stream(self) -> None:
        """Read what a process that has ended left in the pipe."""
        if self.alive:
            self._take(len(self.pipe))
            if self._rest:
                self._on_fault(f"the stream ends in mid-line: {self._rest[-80:]!r}")
        self._rest = b""
        self.on_room = self.on_gone = lambda: None

    def _read_later(self) -> None:
        if not self._due:
            self._due = True
            self._clock.later(0.001 * self._clock.random.random() ** 2, self._read)

    def _read(self) -> None:
        self._due = False
        if self.stalled or not self.alive or not self.pipe:
            return
        self._take(min(len(self.pipe), self.bytes_a_turn))
        self.on_room()
        if self.pipe:
            self._read_later()

    def _take(self, count: int) -> None:
        data = self._rest + bytes(self.pipe[:count])
        del self.pipe[:count]
        *lines, self._rest = data.split(b"\n")
        for line in lines:
            if not _LINE.fullmatch(line + b"\n"):
                self._on_fault(f"not a line of line protocol: {line[:120]!r}")
            self._on_line(line)


class PipeWriter:
    """The sink's writer to a simulated pipe; see `output.writer.Writer`."""

    def __init__(self, run: Callable[..., None], reader: Reader, source: Any) -> None:
        self._reader = reader
        self._source = source
        self._closed = False
        reader.on_room = lambda: run(self.wake)
        reader.on_gone = lambda: run(self._gone)

    def wake(self) -> None:
        while not self._closed:
            chunk = self._source.peek(ATOMIC_BYTES if self._reader.pipe else PIPE_BYTES)
            if not chunk:
                return
            count = self._reader.write(chunk)
            if not count:
                return
            self._source.advance(count)

    def untaken(self) -> int | None:
        return None if self._closed else len(self._reader.pipe)

    def close(self) -> None:
        self._closed = True

    def _gone(self) -> None:
        if not self._closed:
            self._closed = True
            self._source.lost("the reader of the output has gone")
