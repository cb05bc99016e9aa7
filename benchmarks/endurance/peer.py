"""A plain paho client beside the agent, at the same brokers and through the same faults."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.endurance.ledger import Ledger
from tests.integration.watching import environment

__all__ = ["Peer"]


class Peer:
    """`benchmarks.clients.paho_numbers` in a process; ends with the case.

    Args:
        case: whose cleanup ends it.
        path: of the file that it writes.
        ports: of brokers.
        filters: what it subscribes to, by commas.

    Attributes:
        ledger: what it has written, see `take`.
    """

    def __init__(
        self, case: Any, path: Path, ports: Sequence[int], filters: str = "tele/+/SENSOR"
    ) -> None:
        self.ledger = Ledger(judge_every=1_000_000_000)
        self._path = path
        self._read = 0
        self._argv = [
            sys.executable,
            "-m",
            "benchmarks.clients.paho_numbers",
            str(path),
            filters,
            *map(str, ports),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        case.addCleanup(self.kill)

    def start(self) -> None:
        """Start it; harmless if it runs."""
        if self._process is not None:
            return
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment()
        )

    def kill(self) -> None:
        """Kill it with -9; harmless if it does not run."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def take(self) -> None:
        """Read what it has written since the last time."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
            self._read += len(data)
            self.ledger.take(data)
