"""A disk in memory, for the state directory, that fails, fills up and loses power.

After a kill the next process finds all that was written. A power failure loses part of what was
not synced: all changes of names after some moment, and any part of a file's content.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

from attrs import define

__all__ = ["SimDisk"]

_DEAD = errno.EIO


@define(eq=False)
class _File:
    """A file, independent of its name.

    Attributes:
        data: its content.
        synced: its content on the disk; None if nothing is.
        unsafe: it gets its name before it is on the disk, on purpose.
        damaged: a power failure has changed its content.
    """

    data: bytes = b""
    synced: bytes | None = None
    unsafe: bool = False
    damaged: bool = False


class SimDisk:
    """The interface of `state.files.Files`, as far as the state files use it.

    Args:
        random: decides how much of a write goes through at once.
        boundary: called before each step.

    Attributes:
        error: errno that each change gives, 0 while the disk works.
        fails_in: after so many changes they give `error`; None: all do.
        unreadable: reading gives `error` too.
        failures: how often something has failed.
        alive: says whether the process that uses it lives; calls of a dead one have no effect.
    """

    def __init__(self, random: Random, boundary: Callable[[str], object]) -> None:
        self.error = 0
        self.fails_in: int | None = None
        self.unreadable = False
        self.failures = 0
        self.alive: Callable[[], bool] = lambda: True
        self._random = random
        self._boundary = boundary
        self._files: dict[str, _File] = {}
        self._stored: dict[str, _File] = {}
        self._pending: list[Callable[[dict[str, _File]], object]] = []
        self._open: dict[int, _File] = {}
        self._next = 100

    # -- what happens to it ------------------------------------------------------------------

    def heal(self) -> None:
        """Work again."""
        self.error, self.fails_in, self.unreadable = 0, None, False

    def lose_power(self, chance: Random) -> None:
        """Lose some or all of what is not on the disk."""
        names = dict(self._stored)
        for change in self._pending[: chance.randint(0, len(self._pending))]:
            change(names)
        for file in names.values():
            if file.synced != file.data:
                kept = file.data[: chance.randint(0, len(file.data))]
                file.data = chance.choice((file.synced or b"", kept, bytes(len(file.data))))
                file.synced = file.data
                file.damaged = file.unsafe
        self._pending.clear()
        self._open.clear()
        self._stored = names
        self._files = dict(names)

    def remove_all(self, suffix: str) -> None:
        """Remove every file whose path ends so, from the disk too."""
        for names in (self._files, self._stored):
            for path in [path for path in names if path.endswith(suffix)]:
                del names[path]
        self._pending.clear()
        self._stored = dict(self._files)

    def content(self, path: str) -> bytes:
        """Return what is in a file; nothing if there is none."""
        file = self._files.get(path)
        return b"" if file is None else file.data

    def contents(self, suffix: str) -> bytes:
        """Return what all files have whose path ends so."""
        return b"".join(file.data for path, file in self._files.items() if path.endswith(suffix))

    def may_be_damaged(self, path: str) -> bool:
        """Say whether a file may differ from what was written."""
        return path in self._files and self._files[path].damaged

    # -- the interface -----------------------------------------------------------------------

    def make_directory(self, _path: Path) -> None:
        self._step()

    def read(self, path: Path, limit: int) -> bytes:
        if self.error and self.unreadable:
            raise OSError(self.error, os.strerror(self.error))
        file = self._files.get(str(path))
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "none", str(path))
        return file.data[:limit]

    def create(self, path: Path) -> int:
        self._step()
        if str(path) in self._files:
            raise FileExistsError(errno.EEXIST, "there", str(path))
        file = _File(unsafe=path.suffix == ".now")
        self._change(lambda names: names.update({str(path): file}))
        self._next += 1
        self._open[self._next] = file
        return self._next

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        self._step()
        count = len(data) if self._random.random() < 0.5 else self._random.randint(1, len(data))
        file = self._open[descriptor]
        file.data = file.data[:offset] + data[:count]
        return count

    def sync(self, descriptor: int) -> None:
        self._step()
        file = self._open[descriptor]
        file.synced = file.data

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    def rename(self, old: Path, new: Path) -> None:
        self._step()

        def change(names: dict[str, _File]) -> None:
            file = names.pop(str(old), None)
            if file is not None:
                names[str(new)] = file

        self._change(change)

    def sync_directory(self, _path: Path) -> None:
        self._step()
        self._stored = dict(self._files)
        self._pending.clear()

    def remove(self, path: Path) -> None:
        self._step()
        self._change(lambda names: names.pop(str(path), None))

    # -- inside ------------------------------------------------------------------------------

    def _step(self) -> None:
        """Fail, or have the process end here."""
        self._boundary("disk")
        if not self.alive():
            raise OSError(_DEAD, "the process has ended")
        if self.fails_in is not None and self.fails_in > 0:
            self.fails_in -= 1
        elif self.error:
            self.failures += 1
            raise OSError(self.error, os.strerror(self.error))

    def _change(self, change: Callable[[dict[str, _File]], object]) -> None:
        change(self._files)
        self._pending.append(change)
