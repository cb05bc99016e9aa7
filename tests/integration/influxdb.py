"""A real InfluxDB 1.x for one test, on loopback, with directories of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.integration.broker import free_port
from tests.integration.watching import until
from tests.needs import find

__all__ = ["Influx"]

START_LIMIT_S = 60
STOP_LIMIT_S = 20

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


class Influx:
    """One server; ends with the test.

    Attributes:
        url: of its HTTP interface.
    """

    def __init__(self, case: TestCase) -> None:
        self._path = find("influxdb")
        self._directory = Path(tempfile.mkdtemp(prefix="influxdb-"))
        self._process: subprocess.Popen[bytes] | None = None
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        text = _CONFIG.format(rpc=free_port(), http=port, directory=self._directory)
        (self._directory / "conf").write_text(text, "utf-8")
        case.addCleanup(self._remove)

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self._spawn()
        await until(self._answers, self._log, START_LIMIT_S)

    def _spawn(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._path, "-config", str(self._directory / "conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """End it at once; `start` starts it again with what it has stored."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_LIMIT_S)

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

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            body: bytes = response.read()
        return body

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"influxd ended at once: {self._log()}")
        try:
            self._get("/ping")
        except (urllib.error.URLError, OSError):
            return False
        return True

    def _log(self) -> str:
        return (self._directory / "log").read_text("utf-8", "replace")

    def _remove(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_LIMIT_S)
        shutil.rmtree(self._directory, ignore_errors=True)
