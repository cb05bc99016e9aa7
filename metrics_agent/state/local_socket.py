"""A Unix socket in the state directory or elsewhere, for the owner alone as a rule.

A lock says whether another process that lives has the socket; it ends with its process, however
that ended. So a socket that a dead process has left is replaced, and never that of a live one.
Whether the socket still has its name is looked at now and then, in a thread since the disk may be
slow: whoever tidies up in the directory does not know what it is.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.tcp import Port as TcpPort
from twisted.internet.threads import deferToThreadPool
from twisted.internet.unix import Port as UnixPort

from metrics_agent.process.socket_path import short_path
from metrics_agent.state.files import Files
from metrics_agent.state.owner import acting_as_owner
from metrics_agent.timer import Timer

__all__ = ["LOOK_S", "InUse", "Listening", "listen"]

LOOK_S: Final = 30.0
"""How often is looked whether the socket still has its name."""

_BACKLOG: Final = 64
OWNER_ONLY: Final = 0o600


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

    def __init__(
        self, reactor: Any, port: Any, path: Path, lock: int, removed: Callable[[], object]
    ) -> None:
        self._reactor = reactor
        self._port = port
        self._path = path
        self._lock: int | None = lock
        self._removed = removed
        self._files = Files()
        self._looks = Timer(reactor, self._look)
        self._looks.start(LOOK_S)

    def _look(self) -> None:
        pool = self._reactor.getThreadPool()
        # Where no thread can be made it raises.
        looking = maybeDeferred(deferToThreadPool, self._reactor, pool, _is_removed, self._path)
        looking.addBoth(self._looked)

    def _looked(self, is_removed: object) -> None:
        if self._lock is None:
            return
        if is_removed is True:
            self.stop()
            self._removed()
        else:
            self._looks.start(LOOK_S)

    def stop(self) -> None:
        self._looks.stop()
        lock, self._lock = self._lock, None
        if lock is None:
            return
        try:
            self._port.stopListening()
            if _is_socket(self._path):
                self._files.remove(self._path)
        finally:
            os.close(lock)


def listen(
    reactor: Any,
    path: Path,
    factory: IProtocolFactory,
    removed: Callable[[], object],
    mode: int = OWNER_ONLY,
) -> Listening:
    """Take connections on a Unix socket.

    The directory is made if there is none. Beside the socket there is a file ``.lock``.

    Args:
        reactor: whose sockets these are.
        path: of the socket.
        factory: makes the protocols.
        removed: called once the socket has lost its name, after which it has stopped.
        mode: of the socket; as it is only the owner of the directory may use it.

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
        port = _open(reactor, path, factory, files, mode)
        return _Listening(reactor, port, path, lock, removed)
    except BaseException:
        os.close(lock)
        raise


def _open(reactor: Any, path: Path, factory: IProtocolFactory, files: Files, mode: int) -> _Port:
    if _is_socket(path):
        files.remove(path)
    # The mode that the socket is made with: there is no moment in which others may connect.
    before = os.umask(0o777 & ~mode)
    try:
        with acting_as_owner(path.parent), short_path(path) as address:
            port = _Port(os.fsencode(address), factory, _BACKLOG, mode, reactor)
            port.startListening()
    except Exception as error:
        # Twisted's error has the real one within.
        inner = getattr(error, "socketError", None)
        raise (inner if isinstance(inner, OSError) else error) from None
    finally:
        os.umask(before)
    return port


def _is_removed(path: Path) -> bool:
    """Say whether a socket has surely lost its name; runs in any thread."""
    try:
        with acting_as_owner(path.parent):
            return not stat.S_ISSOCK(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def _is_socket(path: Path) -> bool:
    """Say whether there is a socket: whatever else has the name is not ours to remove."""
    try:
        with acting_as_owner(path.parent):
            return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return False
