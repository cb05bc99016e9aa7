"""Any other program that takes SENSOR messages and writes lines, such as the Go agent."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.collector import count_lines
from benchmarks.subjects.base import Setup

__all__ = ["CommandSubject"]


class CommandSubject:
    """A program given by its command line.

    Its messages are counted by their lines with ``device=bench_``, one a message. In the command
    ``{port}``, ``{url}`` and ``{config}`` are replaced; the last one by the path of a JSON file
    with the module tasmota in it, of the form that the Go agent reads.

    Args:
        name: for the table.
        line: the command.
    """

    asks = False
    quiet_s = 1.0

    def __init__(self, name: str, line: str) -> None:
        self.name = name
        self._line = line

    def missing(self) -> str:
        """Return why it cannot be measured here."""
        program = shlex.split(self._line)[0]
        return "" if shutil.which(program) else f"{program} is not there"

    def version(self) -> str:
        """Return the program's name: what its version is only its owner knows."""
        return Path(shlex.split(self._line)[0]).name

    def count(self, data: bytes, before: int) -> int:
        """Count messages."""
        return count_lines(data, before)

    def command(self, setup: Setup) -> Sequence[str]:
        """Write the configuration; return the command."""
        url = f"tcp://127.0.0.1:{setup.port}"
        config = setup.directory / "config.json"
        module = {"enabled": True, "custom": {"broker": url, "client_id": "bench-command"}}
        config.write_text(json.dumps({"log_level": "warn", "modules": {"tasmota": module}}))
        places = {"{port}": str(setup.port), "{url}": url, "{config}": str(config)}
        words = shlex.split(self._line)
        for place, value in places.items():
            words = [word.replace(place, value) for word in words]
        return words
