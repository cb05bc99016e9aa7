"""Read a file that a setting names, without ever waiting for it and without taking in too much."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["read_regular"]


def read_regular(path: Path, limit_bytes: int) -> tuple[bytes, int]:
    """Return what a regular file holds, and its permission bits.

    Args:
        path: of the file.
        limit_bytes: the largest size that is expected.

    Raises:
        OSError: it cannot be read, is larger, or is not a regular file; `strerror` says which.
    """
    # Looked at before it is opened: opening a FIFO would wait for a writer.
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {limit_bytes} bytes")
    return content, mode
