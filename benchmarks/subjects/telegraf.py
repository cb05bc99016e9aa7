"""Telegraf's own MQTT input, set up for the same fields and at its best."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.collector import count_marks
from benchmarks.fleet import FIELDS, TELEMETRY
from benchmarks.subjects.base import Setup

__all__ = ["Telegraf"]

_AGENT: Final = """\
[agent]
  interval = "1s"
  flush_interval = "1s"
  metric_batch_size = 1000
  metric_buffer_limit = 1000000
  omit_hostname = true
  quiet = true

{output}
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:{port}"]
  topics = ["{topic}"]
  qos = {qos}
  topic_tag = ""
  max_undelivered_messages = 100000
  data_format = "json_v2"
  [[inputs.mqtt_consumer.topic_parsing]]
    topic = "{topic}"
    tags = "_/device/_"
  [[inputs.mqtt_consumer.json_v2]]
    measurement_name = "electricity"
    [[inputs.mqtt_consumer.json_v2.object]]
      path = "ENERGY"
      disable_prepend_keys = true
      included_keys = [{keys}]
      [inputs.mqtt_consumer.json_v2.object.renames]
{renames}
      [inputs.mqtt_consumer.json_v2.object.fields]
{types}
"""
"""Batches of the default size; the buffer and what may be undelivered are so large that neither
ever makes Telegraf wait for its flush interval."""

_STDOUT: Final = """\
[[outputs.file]]
  files = ["stdout"]
  data_format = "influx"
"""
_DATABASE: Final = """\
[[outputs.influxdb]]
  urls = ["{url}"]
  database = "bench"
  skip_database_creation = true
"""

_VERSION: Final = re.compile(rb"github\.com/influxdata/telegraf\t(v[0-9][0-9.]*)")


class Telegraf:
    """The program ``telegraf`` on the PATH."""

    name = "telegraf"
    asks = False
    quiet_s = 1.5

    def __init__(self) -> None:
        self._path = shutil.which("telegraf")

    def missing(self) -> str:
        """Return why it cannot be measured here."""
        return "" if self._path else "telegraf is not on the PATH"

    def version(self) -> str:
        """Return its version; that of its main module where it was built without one."""
        assert self._path is not None
        done = subprocess.run(
            [self._path, "--version"], capture_output=True, text=True, check=False, timeout=30
        )
        said = done.stdout.split()[1] if len(done.stdout.split()) > 1 else "unknown"
        if said != "unknown":
            return said
        found = _VERSION.search(Path(self._path).read_bytes())
        return found[1].decode() if found else said

    def count(self, data: bytes, before: int) -> int:
        """Count messages."""
        return count_marks(data, before)

    def command(self, setup: Setup) -> Sequence[str]:
        """Write its configuration; return the command."""
        assert self._path is not None
        conf = setup.directory / "telegraf.conf"
        conf.write_text(
            _AGENT.format(
                output=_DATABASE.format(url=setup.database) if setup.database else _STDOUT,
                port=setup.port,
                topic=TELEMETRY,
                qos=setup.qos,
                keys=", ".join(f'"{key}"' for key in FIELDS),
                renames="\n".join(f'        {key} = "{name}"' for key, name in FIELDS.items()),
                types="\n".join(f'        {key} = "float"' for key in FIELDS),
            ),
            "utf-8",
        )
        return [self._path, "--config", str(conf)]
