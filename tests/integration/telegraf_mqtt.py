"""The real Telegraf as the reader of a topic, with ``deploy/telegraf/metrics-agent-mqtt.conf``.

Its configuration is the file that is shipped, with the broker's address in it. An agent section and
an output to a file are added.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.integration.broker import Mosquitto
from tests.integration.telegraf import SHIPPED, STOP_LIMIT_S, changed
from tests.integration.telegraf_file import TelegrafToFile
from tests.integration.watching import until

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


class TelegrafConsumer(TelegrafToFile):
    """Telegraf between a broker and a file; ends with the test.

    Args:
        case: whose cleanup ends it.
        broker: where it subscribes; has ``log_type subscribe`` among its settings.
        flush: its flush_interval.
    """

    def __init__(self, case: TestCase, broker: Mosquitto, flush: str = "200ms") -> None:
        directory = Path(case.mktemp()).absolute()
        directory.mkdir()
        super().__init__(case, directory)
        self._broker = broker
        text = changed(
            _SHIPPED.read_text("utf-8"), {"servers": f'["tcp://127.0.0.1:{broker.port}"]'}
        )
        self.configure(text + _AGENT.format(flush=flush, path=self.output))

    async def start(self) -> None:
        """Start it and wait until it has subscribed."""
        before = self._subscriptions()
        self.launch()
        await until(
            lambda: self._subscriptions() > before, lambda: f"Telegraf: {self.log}", STOP_LIMIT_S
        )

    def _subscriptions(self) -> int:
        # Telegraf logs that it has connected before it has subscribed.
        return self._broker.log.count(f"telegraf-metrics-agent 1 {TOPIC}\n")
