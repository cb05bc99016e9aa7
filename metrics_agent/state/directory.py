"""The state directory: every fault with it costs only what should have been kept, and one log line.

Whoever keeps something has a `StateFile`, which reads and writes one small JSON value and never
raises. A module that must write in its own way, as for tokens that are useless unless they are on
the disk before they are used, gets a path, and uses the system calls of `files`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.cause import OPEN_FILES_ADVICE
from metrics_agent.limits import STATE_FILE_BYTES
from metrics_agent.state.files import Files, NotRegular
from metrics_agent.timer import Timer

__all__ = [
    "WRITE_EVERY_S",
    "Pace",
    "StateDirectory",
    "StateFaults",
    "StateFile",
    "safe_name",
    "state_directory_name",
]

WRITE_EVERY_S: Final = 5 * 60.0
"""The least time between two writes of a file, but for those `at_once`."""
BURST_S: Final = 1.0
"""The first write waits for what comes with it."""
_LONGEST_NAME: Final = 100
_KEPT: Final = 60
_PLAIN: Final = frozenset("-_.@")
_OTHER_PLACE: Final = frozenset(
    {
        None,  # a name that no file can have
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    }
)
"""Faults of the directory itself, as a rule: another one helps."""


def safe_name(text: str) -> str:
    """Return the name for the file of something that has a name: of any length, of any characters.

    Different texts have different names: one that had to be changed ends in a digest of the text.
    """
    plain = "".join(
        char if char.isascii() and (char.isalnum() or char in _PLAIN) else "_" for char in text
    )
    if plain == text and 0 < len(text) <= _LONGEST_NAME and not text.startswith("."):
        return text
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{plain[:_KEPT].lstrip('.')}-{digest}"


def state_directory_name(part: str) -> str:
    """Return the name of the directory of a module's state.

    Args:
        part: the module, ``netatmo`` or ``netatmo:second``, or ``mqtt`` for the connections.
    """
    return safe_name(part.replace(":", "@"))


class StateFaults:
    """Reports faults: each reason once, and once that it is over.

    Args:
        directory: of the agent, for the advice.
        log: where to.
    """

    def __init__(self, directory: Path, log: Logger) -> None:
        self._directory = directory
        self._log = log
        self._reasons: dict[Path, str] = {}

    def failed(self, path: Path, error: OSError | ValueError) -> None:
        """Note that a file cannot be read or written."""
        number = error.errno if isinstance(error, OSError) else None
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        news = reason not in self._reasons.values()
        self._reasons[path] = reason
        if news:
            self._log.warn(
                "Cannot write to the state directory {path}: {reason}. The agent keeps running "
                "without it.{advice}",
                path=str(path),
                reason=reason,
                advice=self._advice(path, number),
                fold=False,
            )

    def worked(self, path: Path) -> None:
        """Note that a file was written."""
        reason = self._reasons.pop(path, None)
        if reason is not None and reason not in self._reasons.values():
            self._log.info(
                "The state directory {path} can be written again.", path=str(path), fold=False
            )

    def damaged(self, path: Path, error: Exception) -> None:
        """Note that a file holds something else than what was written."""
        self._log.warn(
            "The state in {path} is damaged ({error}) and ignored; it is replaced when it changes.",
            path=str(path),
            error=str(error),
            fold=("path",),
        )

    def _advice(self, path: Path, number: int | None) -> str:
        """Return what to do about a fault: a space and a sentence, empty where that is unknown."""
        if number in _OTHER_PLACE:
            user = os.geteuid()
            advice = f" Set state_dir to a directory that this process (user {user}) can write to"
            if number in {errno.EACCES, errno.EPERM}:
                advice += f", or run `chown -R {user} {self._directory}`"
            return f"{advice}."
        if number in {errno.ENOSPC, errno.EDQUOT}:
            return " Free space or inodes there, or set state_dir to a directory on another disk."
        if number in {errno.EMFILE, errno.ENFILE}:
            return f" {OPEN_FILES_ADVICE[0].upper()}{OPEN_FILES_ADVICE[1:]}."
        if number == errno.EISDIR:
            return f" Remove the directory {path}."
        return ""


@frozen
class Pace:
    """When and where files are written.

    Attributes:
        clock: provides callLater.
        in_thread: runs a call where it may wait for the disk; fires with its result.
    """

    clock: Any
    in_thread: Callable[[Callable[[], None]], Deferred[None]]


class StateFile:
    """One small JSON value that outlives the process; no method raises.

    A value is written a moment later, together with what follows at once, and then no more often
    than every few minutes: the disk is an SD card as often as not. At the stop what is pending is
    written. The disk is waited for in a thread, so that a slow one holds nothing up.

    A value that must be there before something else is done is written `at_once`. Then the file has
    it when `write` returns, whatever becomes of this process; that it is on the disk, should the
    power fail, is seen to in a thread as for any other.

    Args:
        path: of the file; its directory is made when it is needed.
        faults: takes what goes wrong.
        pace: when and where it is written.
        files: the system calls.
    """

    def __init__(
        self, path: Path, faults: StateFaults, pace: Pace, files: Files | None = None
    ) -> None:
        self.path = path
        self._faults = faults
        self._pace = pace
        self._files = files or Files()
        self._wanted: bytes | None = None
        self._stored = False
        self._may_write_at_s = 0.0
        self._timer = Timer(pace.clock, self._turn)
        # Of the name: what is written in a thread must not replace what was written since.
        self._lock = threading.Lock()
        # Of the new file: a stop begins to write while a thread may still be at it.
        self._new_lock = threading.Lock()

    def read(self) -> Any:
        """Return the value; None if there is none that can be read."""
        data = self._wanted
        if data is None or self._stored:
            try:
                data = self._files.read(self.path, STATE_FILE_BYTES + 1)
            except FileNotFoundError:
                return None
            except NotRegular as error:
                self._faults.damaged(self.path, error)
                return None
            except (OSError, ValueError) as error:
                self._faults.failed(self.path, error)
                return None
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            self._faults.damaged(self.path, error)
            return None

    def write(self, value: Any, *, at_once: bool = False) -> None:
        """Replace the value.

        Args:
            value: what `json.dumps` takes; more than `STATE_FILE_BYTES` are not written.
            at_once: the file has it when this returns. For what changes rarely: it is not paced.
        """
        try:
            data = json.dumps(value).encode("ascii")
        except (TypeError, ValueError, RecursionError) as error:
            self._faults.failed(self.path, OSError(0, str(error)))
        else:
            self.write_encoded(data, at_once=at_once)

    def write_encoded(self, data: bytes, *, at_once: bool = False) -> None:
        """Replace the value by one that is JSON in ASCII already, as `write` does."""
        if len(data) > STATE_FILE_BYTES:
            fault = f"{len(data)} bytes, at most {STATE_FILE_BYTES} are kept"
            self._faults.failed(self.path, OSError(0, fault))
            return
        if data == self._wanted:
            return
        self._wanted, self._stored = data, False
        if at_once:
            self._attempt(lambda: self._replace(data, sync=False))
        if not self._timer.active:
            now_s = self._pace.clock.seconds()
            self._timer.start(max(BURST_S, self._may_write_at_s - now_s))

    def flush(self) -> Deferred[None]:
        """Begin to write what is pending; fires when that is over."""
        self._timer.stop()
        return self._store()

    def finish(self) -> None:
        """Write what is still pending now, for the end of the process."""
        self._timer.stop()
        data = self._wanted
        if data is not None and not self._stored:
            self._attempt(lambda: self._replace(data, sync=True))

    def _turn(self) -> float | None:
        self._store()
        return None

    def _store(self) -> Deferred[None]:
        data = self._wanted
        if data is None or self._stored:
            return succeed(None)
        self._may_write_at_s = self._pace.clock.seconds() + WRITE_EVERY_S

        def over(result: Failure | None) -> None:
            if isinstance(result, Failure):
                self._failed(result.value or OSError(errno.EIO, os.strerror(errno.EIO)))
            elif data is self._wanted:
                self._stored = True
                self._faults.worked(self.path)
            if not self._stored and not self._timer.active:
                self._timer.start(max(BURST_S, self._may_write_at_s - self._pace.clock.seconds()))

        # Where no thread can be made it raises.
        writing = maybeDeferred(self._pace.in_thread, lambda: self._replace(data, sync=True))
        return writing.addBoth(over)

    def _attempt(self, call: Callable[[], None]) -> None:
        try:
            call()
        except (OSError, ValueError) as error:
            self._failed(error)
        else:
            self._faults.worked(self.path)

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, (OSError, ValueError)):
            # No memory, or no thread: as bad as no disk.
            error = OSError(0, f"{type(error).__name__}: {error}")
        self._faults.failed(self.path, error)

    def _replace(self, data: bytes, *, sync: bool) -> None:
        """Write a new file and give it the name, so that there is always a whole one.

        Runs in any thread.
        """
        with self._new_lock if sync else nullcontext():
            self._replace_alone(data, sync=sync)

    def _replace_alone(self, data: bytes, *, sync: bool) -> None:
        files = self._files
        new = self.path.with_name(f"{self.path.name}.{'new' if sync else 'now'}")
        files.make_directory(self.path.parent)
        files.remove(new)
        descriptor = files.create(new)
        try:
            done = 0
            while done < len(data):
                done += files.write(descriptor, data[done:], done)
            if sync:
                files.sync(descriptor)
        finally:
            files.close(descriptor)
        with self._lock:
            if data is not self._wanted:
                files.remove(new)
                return
            files.rename(new, self.path)
        if sync:
            files.sync_directory(self.path.parent)


class StateDirectory:
    """The agent's directory, with one below it for each module and one for MQTT.

    Args:
        path: need not exist.
        log: where faults are reported.
        pace: when and where files are written.
        files: the system calls; the real ones if None.

    Attributes:
        root: as given.
        faults: reports what cannot be read or written there.
    """

    def __init__(self, path: Path, log: Logger, pace: Pace, files: Files | None = None) -> None:
        self.root = path
        self._pace = pace
        # One object a file: a new instance of a module has what the one before has not written yet.
        self._opened: dict[Path, StateFile] = {}
        self.faults = StateFaults(path, log)
        self._files = files or Files()

    def file(self, part: str, name: str) -> StateFile:
        """Return a file.

        Args:
            part: whose it is: the name of a module's instance, or ``mqtt``.
            name: of the file, as `safe_name` gives it.
        """
        path = self._directory(part) / name
        if path not in self._opened:
            self._opened[path] = StateFile(path, self.faults, self._pace, self._files)
        return self._opened[path]

    def flush(self) -> Deferred[Any]:
        """Begin to write all that is pending; fires when that is over."""
        return gatherResults([file.flush() for file in self._opened.values()])

    def finish(self) -> None:
        """Write what is still pending now, for the end of the process."""
        for file in self._opened.values():
            file.finish()

    def path(self, part: str, name: str) -> Path:
        """Return the path of a file; its directory exists if it can be made.

        Writing there may raise OSError. Args as for `file`.
        """
        directory = self._directory(part)
        try:
            self._files.make_directory(directory)
        except (OSError, ValueError) as error:
            self.faults.failed(directory, error)
        return directory / name

    def _directory(self, part: str) -> Path:
        return self.root / state_directory_name(part)
