"""A Unix socket in the state directory, for the owner alone.

A lock says whether another process that lives has the socket; it ends with its process, however
that ended. So a socket that a dead process has left is replaced, and never that of a live one.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.tcp import Port as TcpPort
from twisted.internet.unix import Port as UnixPort

from metrics_agent.process.socket_path import short_path
from metrics_agent.state.files import Files
from metrics_agent.state.owner import acting_as_owner

__all__ = ["InUse", "Listening", "listen"]

_BACKLOG: Final = 64
_OWNER_ONLY: Final = 0o600


class InUse(OSError):  # noqa: N818 - names what is wrong
    """Another process that lives has the socket."""


class Listening(Protocol):
    """A socket that takes connections."""

    def stop(self) -> None:
        """Take no more, and remove the socket; harmless twice."""


class _Port(UnixPort):
    """Twisted's port, but for the name of its socket, which is the business of `_Listening`."""

    def connectionLost(self, reason: Any) -> None:
        """Close the socket."""
        TcpPort.connectionLost(self, reason)


class _Listening:
    """See `Listening`."""

    def __init__(self, port: Any, path: Path, lock: int, files: Files) -> None:
        self._port = port
        self._path = path
        self._lock: int | None = lock
        self._files = files

    def stop(self) -> None:
        lock, self._lock = self._lock, None
        if lock is None:
            return
        try:
            self._port.stopListening()
            if _is_socket(self._path):
                self._files.remove(self._path)
        finally:
            os.close(lock)


def listen(reactor: Any, path: Path, factory: IProtocolFactory) -> Listening:
    """Take connections on a Unix socket that only the owner of its directory may use.

    The directory is made if there is none. Beside the socket there is a file ``.lock``.

    Args:
        reactor: whose sockets these are.
        path: of the socket.
        factory: makes the protocols.

    Raises:
        InUse: another process has it.
        PathTooLong: as it says.
        OSError: it cannot be made.
    """
    files = Files()
    files.make_directory(path.parent)
    lock = files.lock(path.with_name(f"{path.name}.lock"))
    if lock is None:
        raise InUse(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), str(path))
    try:
        return _Listening(_open(reactor, path, factory, files), path, lock, files)
    except BaseException:
        os.close(lock)
        raise


def _open(reactor: Any, path: Path, factory: IProtocolFactory, files: Files) -> _Port:
    if _is_socket(path):
        files.remove(path)
    # The mode that the socket is made with: there is no moment in which others may connect.
    before = os.umask(0o777 & ~_OWNER_ONLY)
    try:
        with acting_as_owner(path.parent), short_path(path) as address:
            port = _Port(os.fsencode(address), factory, _BACKLOG, _OWNER_ONLY, reactor)
            port.startListening()
    except Exception as error:
        # Twisted's error has the real one within.
        inner = getattr(error, "socketError", None)
        raise (inner if isinstance(inner, OSError) else error) from None
    finally:
        os.umask(before)
    return port


def _is_socket(path: Path) -> bool:
    """Say whether there is a socket: whatever else has the name is not ours to remove."""
    try:
        with acting_as_owner(path.parent):
            return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return False
