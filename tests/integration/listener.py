"""The real Telegraf with inputs.socket_listener, which the agent connects to as its output."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.integration.telegraf import telegraf_path
from tests.integration.watching import environment, until

__all__ = ["Listener", "free_port"]

_CONFIG = """
[agent]
  interval = "1s"
  flush_interval = "100ms"
  metric_buffer_limit = 1000000
  omit_hostname = true
[[inputs.socket_listener]]
  service_address = "{address}"
  data_format = "influx"
{tls}
[[outputs.file]]
  files = ["{path}"]
  data_format = "influx"
"""


class Listener:
    """One Telegraf; ends with the test.

    Args:
        case: whose cleanup ends it.
        directory: of the test.
        address: such as ``tcp://127.0.0.1:1234`` or ``unix:///run/socket``.
        certificate: the files of its certificate and key, for TLS.
    """

    def __init__(
        self,
        case: TestCase,
        directory: Path,
        address: str,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self._telegraf = telegraf_path()
        self._output = directory / "listener.lp"
        self._log = directory / "listener.log"
        self._config = directory / "listener.conf"
        tls = ""
        if certificate is not None:
            tls = f'  tls_cert = "{certificate[0]}"\n  tls_key = "{certificate[1]}"\n'
        text = _CONFIG.format(address=address, tls=tls, path=self._output)
        self._config.write_text(text, "utf-8")
        case.addCleanup(self.end)
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        self._launch()
        await until(lambda: "Listening on" in self.log, lambda: f"Telegraf to listen: {self.log}")

    def _launch(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._telegraf, "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(),
            )

    @property
    def log(self) -> str:
        """All that Telegraf logged."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def lines(self) -> list[bytes]:
        """Return the points that Telegraf took, as lines."""
        return self._output.read_bytes().split(b"\n")[:-1] if self._output.exists() else []

    def freeze(self) -> None:
        """Stop it with SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def end(self) -> None:
        """Kill it, frozen or not."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)


def free_port() -> int:
    """Return a TCP port that nothing listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
