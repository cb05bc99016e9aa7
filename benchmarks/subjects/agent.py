"""metrics-agent itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.collector import count_marks
from benchmarks.subjects.base import Setup

__all__ = ["BEFORE", "Agent", "demo_config", "write_config"]

BEFORE: Final = "metrics-agent before"
"""The name of an earlier version, measured beside the one of today."""


class Agent:
    """The agent with its module tasmota.

    Args:
        argv: how to start it, up to ``run``; by default this Python with ``-m metrics_agent``.
        name: for the table.
    """

    asks = False
    quiet_s = 0.2

    def __init__(self, argv: Sequence[str] = (), name: str = "metrics-agent") -> None:
        self.name = name
        self.argv = tuple(argv) or (sys.executable, "-m", "metrics_agent")

    def missing(self) -> str:
        """Return why it cannot be measured here."""
        try:
            self._version()
        except (OSError, subprocess.SubprocessError) as error:
            return f"{' '.join(self.argv)} cannot be started: {error}"
        return ""

    def version(self) -> str:
        """Return its version."""
        return self._version()

    def count(self, data: bytes, before: int) -> int:
        """Count messages."""
        return count_marks(data, before)

    def command(self, setup: Setup) -> Sequence[str]:
        """Write its configuration; return the command."""
        path = setup.directory / f"agent-{setup.number}.toml"
        write_config(path, setup)
        return [*self.argv, "run", "-c", str(path)]

    def _version(self) -> str:
        done = subprocess.run(
            [*self.argv, "--version"], capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip().rpartition(" ")[2]


def write_config(path: Path, setup: Setup, extra: Mapping[str, str] | None = None) -> None:
    """Write a configuration with the module tasmota and defaults for all that does not matter.

    Args:
        path: of the file.
        setup: broker, QoS, group, state.
        extra: further keys of the module as TOML values.
    """
    keys = {
        "enabled": "true",
        "broker": f'"tcp://127.0.0.1:{setup.port}"',
        "qos": str(setup.qos),
        "shared_group": f'"{setup.shared_group}"',
        **(extra or {}),
    }
    output = [f'output = "{setup.database}/write?db=bench"'] if setup.database else []
    lines = [
        *output,
        f'instance = "bench-{setup.number}"',
        f'state_dir = "{setup.directory / f"state-{setup.number}"}"',
        "[modules.tasmota]",
        *[f"{key} = {value}" for key, value in keys.items()],
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def demo_config(directory: Path) -> Path:
    """Write a configuration with the module demo alone; return its path."""
    path = directory / "demo.toml"
    path.write_text(
        f'instance = "bench"\nstate_dir = "{directory / "state"}"\n'
        "[modules.demo]\nenabled = true\n",
        "utf-8",
    )
    return path
