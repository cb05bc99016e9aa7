"""A disk in memory, for the state directory: full, read-only, and whatever a kill leaves."""

from __future__ import annotations

import errno
import os
from pathlib import Path

__all__ = ["SimDisk"]


class SimDisk:
    """The interface of `state.files.Files`, as far as the state files use it.

    Attributes:
        error: errno that each write gives, 0 while the disk works.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.error = 0
        self._open: dict[int, str] = {}
        self._next = 100

    def _check(self) -> None:
        if self.error:
            raise OSError(self.error, os.strerror(self.error))

    def make_directory(self, _path: Path) -> None:
        self._check()

    def read(self, path: Path, limit: int) -> bytes:
        data = self.files.get(str(path))
        if data is None:
            raise FileNotFoundError(errno.ENOENT, "none", str(path))
        return data[:limit]

    def create(self, path: Path) -> int:
        self._check()
        if str(path) in self.files:
            raise FileExistsError(errno.EEXIST, "there", str(path))
        self.files[str(path)] = b""
        self._next += 1
        self._open[self._next] = str(path)
        return self._next

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        self._check()
        name = self._open[descriptor]
        self.files[name] = self.files[name][:offset] + data
        return len(data)

    def sync(self, _descriptor: int) -> None:
        self._check()

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    def rename(self, old: Path, new: Path) -> None:
        self._check()
        self.files[str(new)] = self.files.pop(str(old))

    def sync_directory(self, _path: Path) -> None:
        self._check()

    def remove(self, path: Path) -> None:
        self.files.pop(str(path), None)
