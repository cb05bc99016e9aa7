"""The real Telegraf with inputs.socket_listener, which the agent connects to as its output."""

from __future__ import annotations

import signal
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.integration.telegraf_file import TelegrafToFile
from tests.integration.watching import until

__all__ = ["Listener"]

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


class Listener(TelegrafToFile):
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
        super().__init__(case, directory)
        tls = ""
        if certificate is not None:
            tls = f'  tls_cert = "{certificate[0]}"\n  tls_key = "{certificate[1]}"\n'
        self.configure(_CONFIG.format(address=address, tls=tls, path=self.output))

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        self.launch()
        await until(lambda: "Listening on" in self.log, lambda: f"Telegraf to listen: {self.log}")

    def freeze(self) -> None:
        """Stop it with SIGSTOP."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)
