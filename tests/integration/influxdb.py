"""A real InfluxDB 1.x for one test."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.integration.broker import free_port
from tests.integration.database import DatabaseServer

__all__ = ["Influx"]

_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{directory}/meta"
[data]
  dir = "{directory}/data"
  wal-dir = "{directory}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{http}"
  log-enabled = false
"""


class Influx(DatabaseServer):
    """One server; ends with the test."""

    program = "influxdb"
    health = "/ping"

    def __init__(self, case: TestCase) -> None:
        super().__init__(case)
        text = _CONFIG.format(rpc=free_port(), http=self._port, directory=self._directory)
        (self._directory / "conf").write_text(text, "utf-8")

    def arguments(self) -> list[str]:
        """Name the configuration."""
        return ["-config", str(self._directory / "conf")]

    async def create(self, database: str) -> None:
        """Make a database."""
        asked = urllib.parse.urlencode({"q": f"CREATE DATABASE {database}"})
        await deferToThread(self._get, f"/query?{asked}")

    async def query(self, text: str, database: str = "telegraf") -> list[dict[str, Any]]:
        """Return the rows of one SELECT, times in nanoseconds."""
        asked = urllib.parse.urlencode({"db": database, "epoch": "ns", "q": text})
        answer = await deferToThread(self._get, f"/query?{asked}")
        (result,) = json.loads(answer)["results"]
        rows = []
        for series in result.get("series", []):
            rows += [dict(zip(series["columns"], row, strict=True)) for row in series["values"]]
        return rows
