"""A real InfluxDB 1.x for one test."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
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
    """One server; ends with the test.

    Args:
        case: whose cleanup ends it.
        disk: see the base.
        login: name and password, without which it takes nothing and answers no query; the user is
            made by `create`.
        settings: more lines of the table ``[http]``.
    """

    program = "influxdb"
    health = "/ping"

    def __init__(
        self,
        case: TestCase,
        disk: Path | None = None,
        *,
        login: tuple[str, str] | None = None,
        settings: Sequence[str] = (),
    ) -> None:
        super().__init__(case, disk)
        self.login = login
        text = _CONFIG.format(rpc=free_port(), http=self.port, directory=self._directory)
        if login is not None:
            settings = [*settings, "auth-enabled = true"]
        text += "".join(f"  {line}\n" for line in settings)
        (self._directory / "conf").write_text(text, "utf-8")

    def arguments(self) -> list[str]:
        """Name the configuration."""
        return ["-config", str(self._directory / "conf")]

    async def create(self, database: str) -> None:
        """Make a database, and before it the user, if there is a login."""
        if self.login is not None:
            name, password = self.login
            user = f"CREATE USER {name} WITH PASSWORD '{password}' WITH ALL PRIVILEGES"
            await deferToThread(self._get, f"/query?{urllib.parse.urlencode({'q': user})}")
        asked = urllib.parse.urlencode({"q": f"CREATE DATABASE {database}"})
        await deferToThread(self._get, f"/query?{asked}")

    async def write(self, lines: str, database: str = "telegraf") -> None:
        """Store lines; all of them or the test fails."""
        await deferToThread(self._get, f"/write?db={database}", lines.encode())

    async def query(self, text: str, database: str = "telegraf") -> list[dict[str, Any]]:
        """Return the rows of one SELECT, times in nanoseconds; none if it fails."""
        (result,) = await self._results(text, database)
        return _rows(result)

    async def queries(self, text: str, database: str = "telegraf") -> list[list[dict[str, Any]]]:
        """Return the rows of each statement, with the tags by which they are grouped."""
        results = await self._results(text, database)
        for result in results:
            assert "error" not in result, f"{result['error']}: {text}"
        return list(map(_rows, results))

    async def _results(self, text: str, database: str) -> list[dict[str, Any]]:
        asked = urllib.parse.urlencode({"db": database, "epoch": "ns", "q": text})
        answer = await deferToThread(self._get, f"/query?{asked}")
        results: list[dict[str, Any]] = json.loads(answer)["results"]
        return results


def _rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {**series.get("tags", {}), **dict(zip(series["columns"], row, strict=True))}
        for series in result.get("series", [])
        for row in series["values"]
    ]
