"""The state directory: every fault with it costs only what should have been kept, and one log line.

Whoever keeps something has a `StateFile`, which reads and writes one small JSON value and never
raises. A module that must write in its own way, as for tokens, gets a path.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Final

from twisted.logger import Logger

from metrics_agent.state.files import Files

__all__ = ["StateDirectory", "StateFaults", "StateFile", "safe_name", "state_directory_name"]

_LIMIT: Final = 16 << 20
"""Bytes of a file that are read; ours are far smaller."""
_LONGEST_NAME: Final = 100
_KEPT: Final = 60
_PLAIN: Final = frozenset("-_.@")


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
        reason = os.strerror(number) if number else str(error)
        news = reason not in self._reasons.values()
        self._reasons[path] = reason
        if news:
            self._log.warn(
                "State cannot be kept in {path}: {reason}. The agent keeps running without it. "
                "{advice}.",
                path=str(path),
                reason=reason,
                advice=self._advice(number),
                fold=False,
            )

    def worked(self, path: Path) -> None:
        """Note that a file was written."""
        reason = self._reasons.pop(path, None)
        if reason is not None and reason not in self._reasons.values():
            self._log.info("State is kept in {path} again.", path=str(path), fold=False)

    def damaged(self, path: Path, error: Exception) -> None:
        """Note that a file holds something else than what was written."""
        self._log.warn(
            "The state in {path} is damaged ({error}) and ignored; it is replaced when it changes.",
            path=str(path),
            error=str(error),
            fold=("path",),
        )

    def _advice(self, number: int | None) -> str:
        user = os.geteuid()
        advice = f"Set state_dir to a directory that this process (user {user}) can write to"
        if number in {errno.EACCES, errno.EPERM}:
            advice += f", or run `chown -R {user} {self._directory}`"
        return advice


class StateFile:
    """One small JSON value that outlives the process; no method raises.

    Args:
        path: of the file; its directory is made when it is needed.
        faults: takes what goes wrong.
        files: the system calls.
    """

    def __init__(self, path: Path, faults: StateFaults, files: Files | None = None) -> None:
        self.path = path
        self._faults = faults
        self._files = files or Files()

    def read(self) -> Any:
        """Return the value; None if there is none that can be read."""
        try:
            data = self._files.read(self.path, _LIMIT)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._faults.failed(self.path, error)
            return None
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            self._faults.damaged(self.path, error)
            return None

    def write(self, value: Any) -> bool:
        """Replace the value; False if it could not be written.

        Args:
            value: what `json.dumps` takes.
        """
        try:
            self._replace(json.dumps(value).encode("ascii"))
        except (OSError, ValueError) as error:
            self._faults.failed(self.path, error)
            return False
        self._faults.worked(self.path)
        return True

    def _replace(self, data: bytes) -> None:
        """Write a new file and give it the name, so that there is always a whole one."""
        files, new = self._files, self.path.with_name(f"{self.path.name}.new")
        files.make_directory(self.path.parent)
        files.remove(new)
        descriptor = files.create(new)
        try:
            done = 0
            while done < len(data):
                done += files.write(descriptor, data[done:], done)
        finally:
            files.close(descriptor)
        files.rename(new, self.path)


class StateDirectory:
    """The agent's directory, with one below it for each module and one for MQTT.

    Args:
        path: need not exist.
        log: where faults are reported.
    """

    def __init__(self, path: Path, log: Logger) -> None:
        self._path = path
        self._faults = StateFaults(path, log)
        self._files = Files()

    def file(self, part: str, name: str) -> StateFile:
        """Return a file.

        Args:
            part: whose it is: the name of a module's instance, or ``mqtt``.
            name: of the file, as `safe_name` gives it.
        """
        return StateFile(self._directory(part) / name, self._faults, self._files)

    def path(self, part: str, name: str) -> Path:
        """Return the path of a file; its directory exists if it can be made.

        Writing there may raise OSError. Args as for `file`.
        """
        directory = self._directory(part)
        try:
            self._files.make_directory(directory)
        except (OSError, ValueError) as error:
            self._faults.failed(directory, error)
        return directory / name

    def _directory(self, part: str) -> Path:
        return self._path / state_directory_name(part)
