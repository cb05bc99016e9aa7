"""The real Telegraf as the reader of a topic, with ``deploy/telegraf/metrics-agent-mqtt.conf``.

Its configuration is the file that is shipped, with the broker's address in it. An agent section and
an output to a file are added.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.integration.broker import Mosquitto
from tests.integration.telegraf import SHIPPED, STOP_LIMIT_S, changed, telegraf_path
from tests.integration.watching import environment, until

__all__ = ["TOPIC", "TelegrafConsumer"]

_SHIPPED = SHIPPED.with_name("metrics-agent-mqtt.conf")
TOPIC = "telegraf/metrics-agent"
"""That of the shipped file."""

_AGENT = """
[agent]
  flush_interval = "{flush}"
  metric_buffer_limit = 50000
  omit_hostname = true
  skip_processors_after_aggregators = true
[[outputs.file]]
  files = ["{path}"]
  data_format = "influx"
"""


class TelegrafConsumer:
    """Telegraf between a broker and a file; ends with the test.

    Args:
        case: whose cleanup ends it.
        broker: where it subscribes; has ``log_type subscribe`` among its settings.
        flush: its flush_interval.
    """

    def __init__(self, case: TestCase, broker: Mosquitto, flush: str = "200ms") -> None:
        self._telegraf = telegraf_path()
        self._directory = Path(case.mktemp()).absolute()
        self._directory.mkdir()
        self._broker = broker
        self._output = self._directory / "output.lp"
        self._log = self._directory / "log"
        self._config = self._directory / "telegraf.conf"
        text = changed(
            _SHIPPED.read_text("utf-8"), {"servers": f'["tcp://127.0.0.1:{broker.port}"]'}
        )
        self._config.write_text(text + _AGENT.format(flush=flush, path=self._output), "utf-8")
        self._process: subprocess.Popen[bytes] | None = None
        case.addCleanup(self.kill)

    @property
    def log(self) -> str:
        """All that it logged."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def lines(self) -> list[bytes]:
        """Return the whole lines that it wrote."""
        return self._output.read_bytes().split(b"\n")[:-1] if self._output.exists() else []

    async def start(self) -> None:
        """Start it and wait until it has subscribed."""
        before = self._subscriptions()
        self._run()
        await until(
            lambda: self._subscriptions() > before, lambda: f"Telegraf: {self.log}", STOP_LIMIT_S
        )

    def _run(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._telegraf, "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(),
                cwd=self._directory,
            )

    def kill(self) -> None:
        """Kill it with -9; harmless if it does not run."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(STOP_LIMIT_S)

    def stop(self) -> None:
        """End it in order."""
        process, self._process = self._process, None
        assert process is not None, "Telegraf was not started"
        process.terminate()
        process.wait(STOP_LIMIT_S)

    def _subscriptions(self) -> int:
        # Telegraf logs that it has connected before it has subscribed.
        return self._broker.log.count(f"telegraf-metrics-agent 1 {TOPIC}\n")
