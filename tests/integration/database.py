"""A real database for one test, on loopback, with a directory of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.integration.broker import free_port
from tests.integration.watching import until
from tests.needs import find

__all__ = ["DatabaseServer"]

_START_LIMIT_S = 60
_STOP_LIMIT_S = 20


class DatabaseServer:
    """One server; ends with the test.

    Args:
        case: whose cleanup ends it.
        disk: where it keeps everything; a directory of its own by default.

    Attributes:
        program: as `tests.needs` names it.
        health: the path of its HTTP interface that answers once it serves.
        url: of its HTTP interface.
        port: the same.
        login: with which it is asked.
    """

    program: str
    health: str

    def __init__(self, case: TestCase, disk: Path | None = None) -> None:
        self._path = find(self.program)
        self._directory = disk or Path(tempfile.mkdtemp(prefix=f"{self.program}-"))
        self.port = free_port()
        self.login: tuple[str, str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self.port}"
        case.addCleanup(self._remove)

    def arguments(self) -> list[str]:
        """Return those of the program."""
        raise NotImplementedError

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self._spawn()
        await until(self._answers, self._log, _START_LIMIT_S)

    def _spawn(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._path, *self.arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """End it at once; `start` starts it again with what it has stored."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(_STOP_LIMIT_S)

    def freeze(self) -> None:
        """Stop the process as SIGSTOP does: it accepts connections, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _get(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, body)
        if self.login is not None:
            word = b64encode(":".join(self.login).encode()).decode()
            request.add_header("Authorization", f"Basic {word}")
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: bytes = response.read()
        return answer

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"{self.program} ended at once: {self._log()}")
        try:
            self._get(self.health)
        except (urllib.error.URLError, OSError):
            return False
        return True

    def _log(self) -> str:
        return (self._directory / "log").read_text("utf-8", "replace")

    def _remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)
