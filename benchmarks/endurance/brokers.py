"""The brokers of the soak: mosquitto, which keeps sessions on disk, and two that keep none.

aedes and mochi are made ready at their first use, by npm and by go, in the user's cache.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.integration.broker import Mosquitto, free_port
from tests.integration.case import QUIET

__all__ = ["BROKERS", "Broker", "Command", "make_broker"]

_HERE: Final = Path(__file__).parents[1] / "brokers"
_START_LIMIT_S: Final = 20.0
BROKERS: Final = ("mosquitto", "aedes", "mochi")


class Command:
    """A broker by its command line; it keeps nothing over its end.

    Attributes:
        port: on the loopback interface.
        log: what it has logged; these log nothing.
        keeps_sessions: whether a session outlives a SIGKILL.
    """

    keeps_sessions = False

    def __init__(self, case: Any, command: Sequence[str]) -> None:
        self.port = free_port()
        self._command = [*command, str(self.port)]
        self._process: subprocess.Popen[bytes] | None = None
        self.log = ""
        case.addCleanup(self.kill)

    def start(self) -> None:
        """Start it; returns when it accepts connections."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline_s = time.monotonic() + _START_LIMIT_S
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"{' '.join(self._command)} does not serve")
            time.sleep(0.02)

    def _accepts(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        """Kill it with -9; harmless if it does not run."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


class _Mosquitto:
    """mosquitto with all its state on disk after some changes; after each it is too slow."""

    keeps_sessions = True

    def __init__(self, case: Any) -> None:
        settings = (
            *QUIET,
            "log_timestamp true",
            "log_timestamp_format %H:%M:%S",
            "max_queued_messages 0",
            "autosave_on_changes true",
            "autosave_interval 5",
        )
        self._broker = Mosquitto(settings=settings, persistent=True)
        case.addCleanup(self._broker.remove)
        self.port = self._broker.port

    def start(self) -> None:
        """Start it."""
        self._broker.start_again()

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._broker.log

    def kill(self) -> None:
        """Kill it with -9."""
        self._broker.kill()


Broker = Command | _Mosquitto


def make_broker(case: Any, name: str) -> Broker:
    """Make one of `BROKERS`; it is not started.

    Raises:
        FileNotFoundError: a program that it needs is not installed.
        subprocess.CalledProcessError: it could not be made ready.
    """
    if name == "mosquitto":
        return _Mosquitto(case)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = cache / "metrics-agent-soak" / name
    shutil.copytree(_HERE / name, directory, dirs_exist_ok=True)
    if name == "aedes":
        _run(directory, "npm", "install", "--no-audit", "--no-fund", "--silent")
        return Command(case, ["node", str(directory / "server.js")])
    _run(directory, "go", "build", "-o", "mochi", ".")
    return Command(case, [str(directory / "mochi")])


def _run(directory: Path, *command: str) -> None:
    subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, check=True)
