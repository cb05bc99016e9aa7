"""A disk in memory that can lose everything at any system call.

What a process has written is seen by others at once, but is safe from a loss of power only when it
was synced: the content of a file by itself, its name by its directory.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import define, field

from metrics_agent.state.files import Files, Stamp

__all__ = ["Disk", "Inode", "Killed"]


class Killed(BaseException):
    """The process is gone."""


@define(eq=False)
class Inode:
    """A file without a name.

    Attributes:
        seen: what a reader gets.
        safe: what is left after a loss of power.
    """

    number: int
    seen: bytes = b""
    safe: bytes = b""
    mode: int = 0o600
    locked: bool = False


@define(eq=False)
class Disk(Files):
    """The system calls on it.

    Attributes:
        names: what a reader finds.
        safe_names: what is found after a loss of power.
        calls: what was done so far, by the methods' names.
        die_at: the number of the call at which the process dies, from 0; a write is done by half.
        full, read_only, broken_lock: faults that calls answer with.
    """

    names: dict[Path, Inode] = field(factory=dict)
    safe_names: dict[Path, Inode] = field(factory=dict)
    calls: list[str] = field(factory=list)
    die_at: int | None = None
    full: bool = False
    read_only: bool = False
    forbidden: bool = False
    broken: set[str] = field(factory=set)
    dead: bool = False
    _open: dict[int, Inode] = field(factory=dict, init=False)
    _next: int = field(default=100, init=False)

    # After the end of the process.

    def after_kill(self) -> Disk:
        """Return what a new process finds."""
        names = {
            path: Inode(each.number, each.seen, each.safe) for path, each in self.names.items()
        }
        return Disk(names, dict(names))

    def after_power_loss(self, *, names_were_lucky: bool) -> Disk:
        """Return what is there after a restart of the machine.

        Args:
            names_were_lucky: names that were not synced have reached the disk all the same.
        """
        source = self.names if names_were_lucky else self.safe_names
        return _disk_with(source, lambda inode: inode.safe)

    # The calls.

    def _call(self, name: str) -> bool:
        """Count a call; True if the process dies in it."""
        if self.dead:
            raise Killed
        if name in self.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.calls.append(name)
        self.dead = self.die_at is not None and len(self.calls) > self.die_at
        if self.dead and name != "write":
            raise Killed
        return self.dead

    def _check(self, error: int, condition: bool) -> None:
        if condition:
            raise OSError(error, os.strerror(error))

    def make_directory(self, path: Path) -> None:
        self._call("make_directory")

    def stamp(self, path: Path) -> Stamp:
        inode = self._find(path)
        return (inode.number, hash(inode.seen), len(inode.seen))

    def read(self, path: Path, limit: int) -> bytes:
        self._call("read")
        self._check(errno.EACCES, self.forbidden)
        return self._find(path).seen[:limit]

    def is_open_to_others(self, path: Path) -> bool:
        return bool(self._find(path).mode & 0o077)

    def close_to_others(self, path: Path) -> None:
        self._call("close_to_others")
        self._find(path).mode = 0o600

    def create(self, path: Path) -> int:
        self._call("create")
        self._check(errno.EROFS, self.read_only)
        self._check(errno.EEXIST, path in self.names)
        self.names[path] = Inode(self._number())
        return self._opened(self.names[path])

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        dying = self._call("write")
        self._check(errno.ENOSPC, self.full)
        inode = self._open[descriptor]
        part = data[: (len(data) + 1) // 2]
        inode.seen = inode.seen[:offset] + part + inode.seen[offset + len(part) :]
        if dying:
            raise Killed
        return len(part)

    def truncate(self, descriptor: int, length: int) -> None:
        self._call("truncate")
        inode = self._open[descriptor]
        inode.seen = inode.seen[:length]

    def sync(self, descriptor: int) -> None:
        self._call("sync")
        inode = self._open[descriptor]
        inode.safe = inode.seen

    def sync_file(self, path: Path) -> None:
        self._call("sync_file")
        inode = self._find(path)
        inode.safe = inode.seen

    def close(self, descriptor: int) -> None:
        self._call("close")
        self._open.pop(descriptor).locked = False

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename")
        self._check(errno.EROFS, self.read_only)
        self.names[new] = self._find(old)
        del self.names[old]

    def sync_directory(self, path: Path) -> None:
        self._call("sync_directory")
        self.safe_names = dict(self.names)

    def remove(self, path: Path) -> None:
        self._call("remove")
        self.names.pop(path, None)

    def lock(self, path: Path) -> int | None:
        self._call("lock")
        inode = self.names.setdefault(path, Inode(self._number()))
        if inode.locked:
            return None
        inode.locked = True
        return self._opened(inode)

    def _find(self, path: Path) -> Inode:
        if path not in self.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self.names[path]

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _opened(self, inode: Inode) -> int:
        descriptor = self._number()
        self._open[descriptor] = inode
        return descriptor

    @property
    def open_files(self) -> int:
        """How many descriptors were not closed."""
        return len(self._open)


def _disk_with(names: Mapping[Path, Inode], content: Callable[[Inode], bytes]) -> Disk:
    left = {
        path: Inode(inode.number, content(inode), content(inode)) for path, inode in names.items()
    }
    return Disk(left, dict(left))
