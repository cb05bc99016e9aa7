"""The pipe at the agent's standard output and the program that reads it, Telegraf as a rule."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from metrics_agent.output.whole_lines import ATOMIC_BYTES, EMPTY_CHECK_S, Outcome, hand_over
from tests.simulation.clock import SimClock

__all__ = ["PipeWriter", "Reader"]

PIPE_BYTES: Final = 64 * 1024
_LINE: Final = re.compile(rb"[a-z_]+(,[a-z_]+=[^ ,=\x00-\x1f]+)* [a-z_0-9]+=[^ \n\x00]+( -?\d+)?\n")


class Reader:
    """Reads a pipe at its own pace.

    Args:
        clock: of the simulation.
        on_line: called with each line as it is read.
        on_fault: called with what is wrong with the stream.

    Attributes:
        pipe: what it has not read.
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
        self.atomic_bytes = ATOMIC_BYTES
        self.pipe = bytearray()
        self._rest = b""
        self.alive = True
        self.stalled = False
        self.bytes_a_turn = 1 << 20
        self.on_room: Callable[[], object] = lambda: None
        self.on_gone: Callable[[], object] = lambda: None
        self._due = False

    # What a writer sees: `whole_lines.Buffer`.

    def ready(self) -> bool:
        """Let the write find out."""
        return True

    def unread(self) -> int:
        """Return what is in the pipe."""
        return len(self.pipe)

    def capacity(self) -> int:
        """Return how much there may be."""
        return PIPE_BYTES

    def send(self, chunk: bytes) -> int:
        """Take bytes as the kernel does: up to 4,096 whole or not, of more what there is room for.

        Raises:
            BlockingIOError: there is no room.
        """
        free = PIPE_BYTES - len(self.pipe)
        if not free or (free < len(chunk) <= ATOMIC_BYTES):
            raise BlockingIOError
        count = min(len(chunk), free)
        self.pipe += chunk[:count]
        self._read_later()
        return count

    # What happens to it.

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
    """The sink's writer to a simulated pipe, by the rule of the real ones; see `whole_lines`."""

    def __init__(self, reactor: Any, reader: Reader, source: Any) -> None:
        self._reactor = reactor
        self._reader = reader
        self._source = source
        self._closed = False
        reader.on_room = lambda: reactor.run(self.wake)
        reader.on_gone = lambda: reactor.run(self._gone)

    def wake(self) -> None:
        if self._closed:
            return
        outcome = hand_over(self._source, self._reader)
        if outcome is Outcome.TURN:
            self._reactor.callLater(0, self.wake)
        elif outcome is Outcome.LONG:
            self._reactor.callLater(EMPTY_CHECK_S, self.wake)

    def untaken(self) -> int | None:
        return None if self._closed else self._reader.unread()

    def close(self) -> None:
        self._closed = True

    def _gone(self) -> None:
        if not self._closed:
            self._closed = True
            self._source.lost("the reader of the output has gone")
