"""A real VictoriaMetrics for one test, on loopback, with a directory of its own."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.integration.broker import free_port
from tests.integration.watching import until
from tests.needs import find

__all__ = ["Victoria"]

_START_LIMIT_S = 60
_STOP_LIMIT_S = 20


class Victoria:
    """One server; ends with the test.

    Attributes:
        url: of its HTTP interface.
    """

    def __init__(self, case: TestCase) -> None:
        self._path = find("victoria-metrics")
        self._directory = Path(tempfile.mkdtemp(prefix="victoria-"))
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        case.addCleanup(self._remove)

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self._spawn()
        await until(self._answers, self._log, _START_LIMIT_S)

    def _spawn(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._path,
                    f"-httpListenAddr=127.0.0.1:{self._port}",
                    f"-storageDataPath={self._directory}/data",
                    "-retentionPeriod=100y",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    async def values(self, name: str) -> dict[str, float]:
        """Return the last value of each series of a name, by the tag ``device``."""
        await deferToThread(self._get, "/internal/force_flush")
        asked = urllib.parse.urlencode({"match[]": name})
        answer = await deferToThread(self._get, f"/api/v1/export?{asked}")
        found = map(json.loads, answer.splitlines())
        return {each["metric"].get("device", ""): each["values"][-1] for each in found}

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            body: bytes = response.read()
        return body

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"victoria-metrics ended at once: {self._log()}")
        try:
            self._get("/health")
        except (urllib.error.URLError, OSError):
            return False
        return True

    def _log(self) -> str:
        return (self._directory / "log").read_text("utf-8", "replace")

    def _remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(_STOP_LIMIT_S)
        shutil.rmtree(self._directory, ignore_errors=True)
