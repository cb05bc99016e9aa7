"""The real Telegraf that writes what it takes to a file, for tests of what it takes."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.integration.telegraf import STOP_LIMIT_S, telegraf_path
from tests.integration.watching import environment

__all__ = ["TelegrafToFile"]


class TelegrafToFile:
    """One Telegraf; ends with the test.

    Args:
        case: whose cleanup ends it.
        directory: for its files.

    Attributes:
        output: the file that its configuration has to name.
    """

    def __init__(self, case: TestCase, directory: Path) -> None:
        self._telegraf = telegraf_path()
        self._directory = directory
        self._log = directory / "telegraf.log"
        self._config = directory / "telegraf.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self.output = directory / "telegraf.lp"
        case.addCleanup(self.kill)

    @property
    def log(self) -> str:
        """All that it logged."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def lines(self) -> list[bytes]:
        """Return the whole lines that it wrote."""
        return self.output.read_bytes().split(b"\n")[:-1] if self.output.exists() else []

    def configure(self, text: str) -> None:
        """Write its configuration."""
        self._config.write_text(text, "utf-8")

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._telegraf, "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(),
                cwd=self._directory,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None, "Telegraf was not started"
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it with -9, frozen or not; harmless if it does not run."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(STOP_LIMIT_S)

    def stop(self) -> None:
        """End it in order."""
        self.signal(signal.SIGTERM)
        process, self._process = self._process, None
        assert process is not None
        process.wait(STOP_LIMIT_S)
