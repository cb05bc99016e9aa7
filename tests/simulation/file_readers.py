"""Files as an output: what is written counts as read."""

from __future__ import annotations

from typing import Any

from tests.simulation.descriptors import File
from tests.simulation.kernel import SimKernel
from tests.simulation.reader import REPLACED, Reader

__all__ = ["FileReader", "PathReader"]


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
        self.inode = REPLACED
        self._file.is_renamed = self._file.has_lines

    def cut(self) -> None:
        """Have the file emptied, which keeps its identity."""
        self._file.empty()
        self._rest = b""
