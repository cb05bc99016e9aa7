"""Where the configuration is looked for, and in which of these places a file can be trusted.

A file in the current directory is a convenience for the user who wrote it. Running the agent in
another user's directory must not send secrets where that user's file says, or write files there. So
such a file is used only if it belongs to the caller, as git and ssh do it, and never for root or
under a parent such as Telegraf, which did not choose the directory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

from metrics_agent.config.faults import Fault
from metrics_agent.errors import ConfigError

__all__ = ["Found", "find"]

_NAMES: Final = ("metrics-agent.toml", "metrics-agent.json")
_SYSTEM_NAMES: Final = (*_NAMES, "config.toml", "config.json")
_SYSTEM: Final = Path("/etc/metrics-agent")
_ROOT: Final = 0


@frozen
class Found:
    """The file to use.

    Attributes:
        path: of the file.
        warnings: a sentence about each file that was found before it and not used.
    """

    path: Path
    warnings: tuple[str, ...] = ()


def find(path: str | None, cwd: Path, *, has_parent: bool = False, system: Path = _SYSTEM) -> Found:
    """Return the configuration file to use.

    Args:
        path: what the user asked for (``-c``), which is always used, or None to look in the usual
            places.
        cwd: the current directory, where relative paths start.
        has_parent: another program runs us and reads our output.
        system: the directory of the system-wide file.

    Raises:
        ConfigError: no file; names all places looked at, and the files that were not used.
    """
    if path is not None:
        return Found(cwd / path)
    here = [
        *(cwd / name for name in _NAMES),
        *(cwd / "config" / name for name in _NAMES),
    ]
    warnings: list[str] = []
    for place in filter(_is_file, here):
        reason = _distrust(place, cwd, has_parent=has_parent)
        if reason is None:
            return Found(place, tuple(warnings))
        warnings.append(f"{place} is not used: {reason}; to use it, give -c {place}")
    there = [system / name for name in _SYSTEM_NAMES]
    for place in filter(_may_be_file, there):
        return Found(place, tuple(warnings))
    raise ConfigError(list(_no_file(here + there, warnings)))


def _no_file(places: list[Path], warnings: list[str]) -> Iterator[Fault]:
    for warning in warnings:
        yield Fault("configuration", warning)
    looked_at = ", ".join(str(place) for place in places)
    hint = "or give -c FILE; `metrics-agent sample-config` prints one to begin with"
    yield Fault("configuration", "no file", f"one of {looked_at}", hint)


def _is_file(place: Path) -> bool:
    """Return whether the caller can see a file there.

    ``sudo -u telegraf metrics-agent check`` is run in home directories that telegraf may not enter.
    """
    try:
        return stat.S_ISREG(place.stat().st_mode)
    except OSError:
        return False


def _may_be_file(place: Path) -> bool:
    """Return whether there may be a file: reading one that may not be looked at says why."""
    try:
        return stat.S_ISREG(place.stat().st_mode)
    except PermissionError:
        return True
    except OSError:
        return False


def _distrust(place: Path, cwd: Path, *, has_parent: bool) -> str | None:
    """Return why a file of the current directory is not to be read, None if it may be."""
    try:
        return next(_doubts(place, cwd, has_parent=has_parent), None)
    except OSError:
        return None  # reading it says why


def _doubts(place: Path, cwd: Path, *, has_parent: bool) -> Iterator[str]:
    caller = os.geteuid()
    if caller == _ROOT:
        yield "root reads no configuration from the current directory"
    if has_parent:
        yield "with a pipe on stdin none is read from the current directory"
    # Both a link and the file: the owner of either decides what is read.
    for status in (place.lstat(), place.stat()):
        if status.st_uid != caller:
            yield f"it belongs to user {status.st_uid}, and this is user {caller}"
    if status.st_mode & stat.S_IWOTH:
        yield "every user can write to it"
    # Whoever may write to its directory can replace the file after this look at it.
    for status in (place.parent.stat(), cwd.stat()):
        if status.st_uid not in {caller, _ROOT}:
            yield f"its directory belongs to user {status.st_uid}, and this is user {caller}"
        if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            yield "every user can write to its directory"
