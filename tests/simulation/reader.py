"""The program that reads the agent's output, whatever is between the two."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import Final

from tests.simulation.clock import SimClock
from tests.simulation.kernel import SimKernel

__all__ = ["FAST", "REPLACED", "Reader", "is_line"]

_LINE: Final = re.compile(
    rb"[a-z_]+(,[a-z_]+=[^ ,=\x00-\x1f]+)* "
    rb'[a-z_0-9]+=(?:"(?:\\.|[^"\\\n\x00])*"|[^ \n\x00"])+( -?\d+)?\n'
)
FAST: Final = 1 << 20
"""Bytes that it reads at once where nothing slows it down."""
REPLACED: Final = -1
"""The inode of a file that is not at its path any more."""


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
        self._listens = True
        self.bytes_a_turn = FAST
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

    @property
    def can_be_opened(self) -> bool:
        """Whether a process that tries can have its end."""
        return self.alive

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

    def _come_later(self) -> None:
        """Have another one listen after a while."""
        delay_s = self.random.choice((0.01, 1.0, 10.0)) * self.random.random()
        self.clock.later(delay_s, self._come)

    def _come(self) -> None:
        self._listens = True

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
