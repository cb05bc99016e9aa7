"""Paths of Unix sockets that are longer than their addresses may be."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["LONGEST_PATH_BYTES", "PathTooLong", "short_path"]

LONGEST_PATH_BYTES: Final = 107 if sys.platform == "linux" else 103
"""What `sun_path` takes."""
_DESCRIPTORS: Final = Path("/proc/self/fd")


class PathTooLong(OSError):  # noqa: N818 - names what is wrong
    """The path does not fit into the address of a socket."""


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Give a path of the same file for ``bind`` and ``connect``; it holds only within.

    Where the path itself is too long it begins with a descriptor of its directory, on Linux.

    Args:
        path: of the socket; its directory exists.

    Raises:
        PathTooLong: it is too long, and this is not Linux.
        OSError: its directory cannot be opened.
    """
    size = len(os.fsencode(path))
    if size <= LONGEST_PATH_BYTES:
        yield str(path)
        return
    flag = getattr(os, "O_PATH", None)
    if flag is None or not _DESCRIPTORS.is_dir():
        raise PathTooLong(errno.ENAMETOOLONG, f"{size} bytes, at most {LONGEST_PATH_BYTES}")
    directory = os.open(path.parent, flag | os.O_DIRECTORY)
    try:
        yield f"{_DESCRIPTORS}/{directory}/{path.name}"
    finally:
        os.close(directory)
