"""What this process uses of the machine, as the kernel says it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from attrs import frozen

__all__ = ["Usage", "usage"]

_MEMORY: Final = Path("/proc/self/statm")
_DESCRIPTORS: Final = Path("/proc/self/fd")


@frozen
class Usage:
    """What a process uses; None for what this system does not say.

    Attributes:
        cpu_s: processor time so far, user and system.
        memory_bytes: resident memory.
        open_files: open descriptors.
    """

    cpu_s: float | None = None
    memory_bytes: int | None = None
    open_files: int | None = None


def usage() -> Usage:
    """Return what this process uses now; never raises OSError."""
    return Usage(time.process_time(), _memory_bytes(), _open_files())


def _memory_bytes() -> int | None:
    try:
        pages = int(_MEMORY.read_bytes().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _open_files() -> int | None:
    try:
        # One of them is that of the directory, which is closed again.
        return sum(1 for _ in os.scandir(_DESCRIPTORS)) - 1
    except OSError:
        return None
