"""Files that another user shall use: who runs as root becomes the owner of their directory.

A login run by root for a service that runs as somebody else would leave files that the service
cannot read. Becoming that user, and not only giving him the files, also means that nothing in
his directory (a link to elsewhere) can have root write where he could not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from attrs import frozen

__all__ = ["Identity", "Privileges", "become_owner"]

_ROOT: Final = 0


@frozen
class Identity:
    """A user and his group, by number."""

    user: int
    group: int


class Privileges:
    """The system calls; root alone may use them."""

    def effective_user(self) -> int:
        """Return who we are."""
        return os.geteuid()

    def owner(self, path: Path) -> Identity:
        """Return whose a directory is."""
        status = path.stat()
        return Identity(status.st_uid, status.st_gid)

    def give(self, directory: Path, identity: Identity) -> None:
        """Give somebody a directory of root's and what is in it; another's is left as it is.

        Works on what was opened, not on names: while a directory is root's nobody else can put
        anything into it.
        """
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(directory, flags)
        try:
            if os.fstat(descriptor).st_uid != _ROOT:
                return
            for name in os.listdir(descriptor):  # noqa: PTH208 - of what is open
                os.chown(
                    name,
                    identity.user,
                    identity.group,
                    dir_fd=descriptor,
                    follow_symlinks=False,
                )
            os.fchown(descriptor, identity.user, identity.group)
        finally:
            os.close(descriptor)

    def become(self, identity: Identity) -> None:
        """Become somebody, for ever."""
        os.setgroups([])
        os.setgid(identity.group)
        os.setuid(identity.user)


def become_owner(directory: Path, privileges: Privileges | None = None) -> Identity | None:
    """Become the owner of a module's state directory, if we are root and he is not.

    Args:
        directory: of the module; it need not exist. What counts is the directory above it, which
            is the agent's, or the next one up that exists. If an earlier run of root has left
            the module's directory to root, it is given to that owner.
        privileges: the system calls.

    Returns:
        Whom we became, or None if nothing had to change.

    Raises:
        OSError: that is not possible.
    """
    privileges = privileges or Privileges()
    if privileges.effective_user() != _ROOT:
        return None
    above = directory.parent
    while not above.is_dir() and above != above.parent:
        above = above.parent
    owner = privileges.owner(above)
    if owner.user == _ROOT:
        return None
    if directory.exists():
        privileges.give(directory, owner)
    privileges.become(owner)
    return owner
