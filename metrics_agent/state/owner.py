"""Work in the state directory as its owner, also where root runs us.

A command run by root once, for a service of another user, would leave files that the service cannot
use. So root reads and writes there with the rights of the directory's owner. Only the rights on
files change, and only of this thread (Linux's setfsuid): everything else of root's, a configuration
or a key that only root may read, stays within reach. Since the rights are really the owner's, no
link that he puts there can have root write where he could not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from attrs import frozen

__all__ = ["UserAndGroup", "acting_as_owner", "give_to_owner", "owner_to_act_as", "repair"]

_ROOT: Final = 0


@frozen
class UserAndGroup:
    """A user and his group, by number."""

    user: int
    group: int


def owner_to_act_as(directory: Path) -> UserAndGroup | None:
    """Return whose rights to use in a directory; None for our own.

    Args:
        directory: what counts is the next one up that exists; of a link the user who made it,
            unless that was root.

    Raises:
        OSError: it cannot be looked at.
    """
    if os.geteuid() != _ROOT:
        return None
    while True:
        try:
            owners = [directory.lstat(), directory.stat()]
            break
        except (FileNotFoundError, NotADirectoryError):
            if directory == directory.parent:
                return None
            directory = directory.parent
    for owner in owners:
        if owner.st_uid != _ROOT:
            return UserAndGroup(owner.st_uid, owner.st_gid)
    return None


@contextmanager
def acting_as_owner(directory: Path) -> Iterator[None]:
    """Use files with the rights of a directory's owner, where we are root; in this thread only.

    Where root cannot have them (without CAP_SETUID, or not on Linux) it uses its own. Nothing may
    be imported meanwhile, since the owner may not be allowed to read our packages, and no thread
    started, which would inherit the rights.

    Args:
        directory: see `owner_to_act_as`.

    Raises:
        OSError: the directory cannot be looked at.
    """
    owner = owner_to_act_as(directory)
    libc = None if owner is None else _libc()
    if owner is None or libc is None:
        yield
        return
    ours = UserAndGroup(_ROOT, os.getegid())
    try:
        _use_rights_of(owner, libc)
        yield
    finally:
        _use_rights_of(ours, libc)


def repair(directory: Path) -> None:
    """Give a directory that root has left behind, and what is in it, to the owner of the one above.

    One that is not there, or is none, is left to whoever uses it next.

    Raises:
        OSError: that is not possible.
    """
    owner = owner_to_act_as(directory.parent)
    if owner is None:
        return
    # Works on what was opened, not on names: while a directory is root's no other user can put
    # anything into it.
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        descriptor = os.open(directory, flags)
    except OSError:
        return
    try:
        if os.fstat(descriptor).st_uid != _ROOT:
            return
        for name in os.listdir(descriptor):  # noqa: PTH208 - of what is open
            os.chown(name, owner.user, owner.group, dir_fd=descriptor, follow_symlinks=False)
        os.fchown(descriptor, owner.user, owner.group)
    finally:
        os.close(descriptor)


def give_to_owner(descriptor: int, directory: Path) -> None:
    """Give a file that we have made elsewhere to the owner of a directory, where we are root.

    Where that is not possible the file remains root's.
    """
    with suppress(OSError):
        owner = owner_to_act_as(directory)
        if owner is not None:
            os.fchown(descriptor, owner.user, owner.group)


@lru_cache(maxsize=1)
def _libc() -> Any:
    """Return the C library, for calls that Python has no function for; None if it lacks them."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        libc.setfsuid.argtypes = libc.setfsgid.argtypes = [ctypes.c_uint32]
    except (ImportError, OSError, AttributeError):
        return None
    return libc


def _use_rights_of(identity: UserAndGroup, libc: Any) -> None:
    """Change this thread's rights on files; the calls report no error, and need no right on any."""
    libc.setfsgid(identity.group)
    libc.setfsuid(identity.user)
