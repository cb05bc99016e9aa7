"""A real VictoriaMetrics for one test."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
from typing import Any

from twisted.internet.threads import deferToThread

from tests.integration.database import DatabaseServer

__all__ = ["Victoria"]


class Victoria(DatabaseServer):
    """One server; ends with the test."""

    program = "victoria-metrics"
    health = "/health"

    def arguments(self) -> list[str]:
        """Keep all in the directory, however old."""
        return [
            f"-httpListenAddr=127.0.0.1:{self.port}",
            f"-storageDataPath={self._directory}/data",
            "-retentionPeriod=100y",
        ]

    async def samples(self, selector: str) -> list[tuple[int, float]]:
        """Return time (ms) and value of all samples that a selector matches; as often as stored."""
        await self.flush()
        asked = urllib.parse.urlencode({"match[]": selector, "reduce_mem_usage": "1"})
        answer = await deferToThread(self._get, f"/api/v1/export?{asked}")
        found: list[tuple[int, float]] = []
        for each in map(json.loads, answer.splitlines()):
            found += zip(each["timestamps"], each["values"], strict=True)
        return found

    async def values(self, name: str) -> dict[str, float]:
        """Return the last value of each series of a name, by the tag ``device``."""
        await self.flush()
        asked = urllib.parse.urlencode({"match[]": name})
        answer = await deferToThread(self._get, f"/api/v1/export?{asked}")
        found = map(json.loads, answer.splitlines())
        return {each["metric"].get("device", ""): each["values"][-1] for each in found}

    async def flush(self) -> None:
        """Let queries find what has been stored."""
        await deferToThread(self._get, "/internal/force_flush")

    async def write(self, lines: str) -> None:
        """Store lines, so that queries find them at once."""
        await deferToThread(self._get, "/write", lines.encode())
        await self.flush()

    async def query(self, text: str, time_s: float) -> list[dict[str, Any]]:
        """Return the series of a query at a time: ``metric``, its labels, and ``value``."""
        return await self._ask("query", {"query": text, "time": time_s})

    async def query_range(
        self, text: str, start_s: float, end_s: float, step: str
    ) -> list[dict[str, Any]]:
        """Return the series of a query over a time: ``metric``, its labels, and ``values``."""
        how = {"query": text, "start": start_s, "end": end_s, "step": step}
        return await self._ask("query_range", how)

    async def _ask(self, what: str, how: dict[str, Any]) -> list[dict[str, Any]]:
        # Without nocache it leaves the last 30 s out.
        asked = urllib.parse.urlencode({**how, "nocache": "1"})
        try:
            answer = await deferToThread(self._get, f"/api/v1/{what}?{asked}")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{how['query']}: {error.read()!r}") from error
        found: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
        return found
