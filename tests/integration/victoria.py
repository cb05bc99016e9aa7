"""A real VictoriaMetrics for one test."""

from __future__ import annotations

import json
import urllib.parse

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
        await deferToThread(self._get, "/internal/force_flush")
        asked = urllib.parse.urlencode({"match[]": selector, "reduce_mem_usage": "1"})
        answer = await deferToThread(self._get, f"/api/v1/export?{asked}")
        found: list[tuple[int, float]] = []
        for each in map(json.loads, answer.splitlines()):
            found += zip(each["timestamps"], each["values"], strict=True)
        return found

    async def values(self, name: str) -> dict[str, float]:
        """Return the last value of each series of a name, by the tag ``device``."""
        await deferToThread(self._get, "/internal/force_flush")
        asked = urllib.parse.urlencode({"match[]": name})
        answer = await deferToThread(self._get, f"/api/v1/export?{asked}")
        found = map(json.loads, answer.splitlines())
        return {each["metric"].get("device", ""): each["values"][-1] for each in found}
