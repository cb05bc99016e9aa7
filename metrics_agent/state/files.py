"""The system calls by which a file is replaced, one method each, so that tests can stop at each.

Nothing in here decides anything, except that root works as the owner of the directory, who also
gets what an earlier run of root has left there, see `owner`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Final

from metrics_agent.state.owner import acting_as_owner, repair

__all__ = ["Files", "NotRegular", "Stamp"]

Stamp = tuple[int, int, int]
"""Distinguishes states of a file: inode, time of change, size."""

_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class NotRegular(OSError):  # noqa: N818 - names what is wrong
    """A FIFO, a socket or a device has the name of a file; to rename a file to it replaces it."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.EINVAL, "it is not a regular file", str(path))

    def __str__(self) -> str:
        return self.strerror or ""


class Files:
    """The real ones. Each method raises OSError; each may be the last thing this process does."""

    def make_directory(self, path: Path) -> None:
        """Make a directory that only its owner can enter; one that is there is left."""
        repair(path)
        with acting_as_owner(path):
            try:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            except FileExistsError as error:
                # What every other use of the path says.
                number = errno.ENOTDIR
                raise NotADirectoryError(number, os.strerror(number), str(path)) from error

    def stamp(self, path: Path) -> Stamp:
        """Return the state of a file."""
        with acting_as_owner(path.parent):
            status = path.stat()
        return (status.st_ino, status.st_mtime_ns, status.st_size)

    def read(self, path: Path, limit: int) -> bytes:
        """Read at most so many bytes of a regular file; anything else is an error at once."""
        repair(path.parent)
        # A FIFO would wait for a writer.
        with acting_as_owner(path.parent):
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            if not stat.S_ISREG(mode):
                raise NotRegular(path)
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(limit)
        finally:
            os.close(descriptor)

    def is_open_to_others(self, path: Path) -> bool:
        """Return whether other users may read a file."""
        with acting_as_owner(path.parent):
            return bool(path.stat().st_mode & 0o077)

    def close_to_others(self, path: Path) -> None:
        """Make a file readable and writable by its owner only."""
        with acting_as_owner(path.parent):
            path.chmod(0o600)

    def create(self, path: Path) -> int:
        """Make a new file for its owner alone and return its descriptor; follows no link."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with acting_as_owner(path.parent):
            return os.open(path, flags, 0o600)

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        """Write at a place; return how much was written."""
        return os.pwrite(descriptor, data, offset)

    def truncate(self, descriptor: int, length: int) -> None:
        """Cut a file."""
        os.ftruncate(descriptor, length)

    def sync(self, descriptor: int) -> None:
        """Wait until a file's content is on the disk."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another's name: whoever looks finds the one or the other, whole."""
        with acting_as_owner(new.parent):
            old.replace(new)

    def sync_file(self, path: Path) -> None:
        """Wait until the content of a file that is closed is on the disk."""
        _sync(path, 0)

    def sync_directory(self, path: Path) -> None:
        """Wait until a directory's names are on the disk."""
        _sync(path, os.O_DIRECTORY)

    def remove(self, path: Path) -> None:
        """Remove a file; one that is not there is gone."""
        with acting_as_owner(path.parent):
            path.unlink(missing_ok=True)

    def lock(self, path: Path) -> int | None:
        """Take the lock of a file, which ends with the process.

        Returns:
            A descriptor to close, or None if another has the lock.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        with acting_as_owner(path.parent):
            descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            # A file system without locks: there is only this process's word then.
            if error.errno not in _NO_LOCKS:
                os.close(descriptor)
                raise
        return descriptor


def _sync(path: Path, flags: int) -> None:
    with acting_as_owner(path.parent):
        descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
