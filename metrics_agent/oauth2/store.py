"""The file of tokens.

Theory of operation. A refresh makes the old pair useless in the moment the server answers, so
nothing may go wrong after that. Therefore a new file is made, filled to the size of a token file
and brought to the disk *before* the request goes out (`prepare`); a full or read-only disk is found
then, and the old pair is still good. When the answer is there its tokens replace the filling, are
brought to the disk, and the file gets its name (`commit`). Whenever the process or the machine
dies, the name belongs to a whole file with the old or the new pair. When it dies after the new pair
was written and before the file had its name, the next start finds it (`recover`).

A lock, held over all of that, keeps two processes (the agent and `login`), or two instances of
a module, from refreshing at once: the second would send a token that the first has used up.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from metrics_agent.cause import Cause, CauseError
from metrics_agent.errors import MetricsAgentError
from metrics_agent.oauth2.tokens import Tokens, read_stored, write_stored
from metrics_agent.state.files import Files, Stamp

__all__ = ["Damaged", "Locked", "Reservation", "StoreBusy", "StoreFault", "TokenStore"]

_FILLING: Final = 16 * 1024
"""Bytes that are set aside on the disk: more than two tokens and what is said about them."""

_LIMIT: Final = 64 * 1024


class StoreFault(CauseError):  # noqa: N818 - says what is the case
    """The file cannot be read or written; the text names it and the system's reason."""

    def __init__(self, text: str) -> None:
        super().__init__(Cause("store", text, needs_user_action=True))


class StoreBusy(MetricsAgentError):  # noqa: N818 - says what is the case
    """Another process, or instance, is about to replace the tokens."""


class Damaged(MetricsAgentError):  # noqa: N818 - says what is the case
    """The file does not hold tokens; the text says what is wrong, never the content."""


class TokenStore:
    """One file. Its methods block; they are called from one thread at a time.

    Args:
        path: of the file; its directory is made when it is needed.
        files: the system calls.
    """

    def __init__(self, path: Path, files: Files | None = None) -> None:
        self.path = path
        self._files = files or Files()

    def stamp(self) -> Stamp | None:
        """Return what changes when the file changes; None if there is none, or none to see."""
        try:
            return self._files.stamp(self.path)
        except OSError:
            return None

    def load(self) -> Tokens | None:
        """Read the tokens; None if there are none.

        Raises:
            Damaged: the file holds something else; `set_aside` moves it away.
            StoreFault: it cannot be read.
        """
        try:
            data = self._files.read(self.path, _LIMIT)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._fault("read", error) from error
        try:
            return read_stored(data)
        except ValueError as error:
            raise Damaged(f"{self.path}: {error}") from None

    def recover(self) -> Tokens | None:
        """Finish what a process began that died; with the lock held.

        Returns:
            The pair that was not in place yet, None if there was none.

        Raises:
            StoreFault: it cannot be put in place.
        """
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            found = read_stored(self._files.read(new, _LIMIT))
        except (OSError, ValueError):
            # None, or nothing but filling.
            return None
        try:
            current = self.load()
        except Damaged:
            current = None
        if current is not None and current.serial >= found.serial:
            return None
        try:
            self._files.sync_file(new)
            self._files.rename(new, self.path)
            self._files.sync_directory(self.path.parent)
        except OSError as error:
            raise self._fault("written", error) from error
        return found

    def narrow(self) -> bool:
        """Make the file its owner's alone; True if it was not.

        Raises:
            StoreFault: that is not allowed.
        """
        try:
            if not self._files.is_open_to_others(self.path):
                return False
            self._files.close_to_others(self.path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._fault("made its owner's alone", error) from error
        return True

    def set_aside(self) -> Path:
        """Move a damaged file away, so that the user can look at it; return where it is.

        Raises:
            StoreFault: it cannot be moved.
        """
        aside = self.path.with_name(f"{self.path.name}.damaged")
        try:
            self._files.rename(self.path, aside)
            self._files.close_to_others(aside)
            self._files.sync_directory(self.path.parent)
        except OSError as error:
            raise self._fault("set aside", error) from error
        return aside

    def lock(self) -> Locked:
        """Take the lock.

        Raises:
            StoreBusy: another has it.
            StoreFault: there is no place for it.
        """
        try:
            self._files.make_directory(self.path.parent)
            descriptor = self._files.lock(self.path.with_name(f"{self.path.name}.lock"))
        except OSError as error:
            raise self._fault("locked", error) from error
        if descriptor is None:
            raise StoreBusy(f"{self.path} is being replaced by another process")
        return Locked(self._files, descriptor)

    def prepare(self) -> Reservation:
        """Make sure that tokens can be written, before there are any; with the lock held.

        Raises:
            StoreFault: they cannot.
        """
        try:
            return Reservation(self._files, self.path)
        except OSError as error:
            raise self._fault("written", error) from error

    def _fault(self, what: str, error: OSError) -> StoreFault:
        reason = error.strerror or type(error).__name__
        text = f"{self.path} cannot be {what}: {reason}"
        if error.errno in {errno.EACCES, errno.EPERM}:
            text += (
                f" (it and its directory must belong to the user of this process, {os.geteuid()})"
            )
        return StoreFault(text)


class Locked:
    """The lock, as long as it is not released."""

    def __init__(self, files: Files, descriptor: int) -> None:
        self._files = files
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Give the lock back; harmless when called again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._files.close(descriptor)


class Reservation:
    """Room on the disk for a pair of tokens.

    Raises:
        OSError: there is none.
    """

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self._path = path
        self._new = path.with_name(f"{path.name}.new")
        files.make_directory(path.parent)
        # What an earlier process left when it died; the lock says that it is not in use.
        files.remove(self._new)
        self._descriptor: int | None = files.create(self._new)
        try:
            self._write(b" " * _FILLING)
            files.sync(self._descriptor)
        except BaseException:
            self.discard()
            raise

    def commit(self, tokens: Tokens) -> None:
        """Replace the stored tokens; when this returns they are on the disk.

        Raises:
            StoreFault: they are not; the file may have its new content or its old one.
        """
        descriptor = self._descriptor
        assert descriptor is not None
        data = write_stored(tokens)
        try:
            self._write(data)
            self._files.truncate(descriptor, len(data))
            self._files.sync(descriptor)
            self._files.rename(self._new, self._path)
            self._files.sync_directory(self._path.parent)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise StoreFault(f"{self._path} cannot be written: {reason}") from error
        self._descriptor = None
        self._files.close(descriptor)

    def discard(self) -> None:
        """Give the room back, unless it was used."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            self._files.close(descriptor)
            self._files.remove(self._new)
        except OSError:
            # It stays there, unused; the next reservation removes it.
            pass

    def _write(self, data: bytes) -> None:
        assert self._descriptor is not None
        done = 0
        while done < len(data):
            written = self._files.write(self._descriptor, data[done:], done)
            if written <= 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            done += written
