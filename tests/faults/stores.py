"""Real databases as the accounts ask them: which numbers are stored, and how often."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Protocol

from twisted.trial.unittest import TestCase

from tests.integration.influxdb import Influx
from tests.integration.victoria import Victoria

__all__ = ["InfluxStore", "Store", "VictoriaStore"]

PATH = "/write?db=telegraf"


class Store(Protocol):
    """A database.

    Attributes:
        server: the process.
        path: where lines are written.
        spare_bytes: what is left of its disk when that counts as full.
        memory_s: what it has taken within so many seconds before it is killed is lost.
    """

    server: Any
    path: str
    memory_s: float
    spare_bytes: int

    async def start(self) -> None:
        """Start it with an empty database."""
        ...

    async def stored(self, way: str) -> dict[int, Counter[int]]:
        """Return by QoS how many points there are of each number."""
        ...


class InfluxStore:
    """InfluxDB 1."""

    path = PATH
    memory_s = 0.0
    spare_bytes = 0

    def __init__(self, case: TestCase, disk: Path | None = None) -> None:
        self.server = Influx(case, disk)

    async def start(self) -> None:
        """Start it."""
        await self.server.start()
        await self.server.create("telegraf")

    async def stored(self, way: str) -> dict[int, Counter[int]]:
        """Ask."""
        found: dict[int, Counter[int]] = {1: Counter(), 0: Counter()}
        query = f"SELECT number, qos FROM numbers WHERE \"to\" = '{way}'"
        for row in await self.server.query(query):
            found[int(row["qos"])][int(row["number"])] += 1
        return found


class VictoriaStore:
    """VictoriaMetrics; a point that it has stored twice is one point."""

    path = PATH
    memory_s = 18.0
    """Its flag says 5 s; up to 15.2 s were measured, on a busy machine."""

    spare_bytes = 20_000_000
    """It stops writing while there is some room yet, and ends where there is none."""

    def __init__(self, case: TestCase, disk: Path | None = None) -> None:
        self.server = Victoria(case, disk)

    async def start(self) -> None:
        """Start it."""
        await self.server.start()

    async def stored(self, way: str) -> dict[int, Counter[int]]:
        """Ask."""
        found: dict[int, Counter[int]] = {}
        for qos in (1, 0):
            selector = f'numbers_number{{to="{way}",qos="{qos}"}}'
            points = set(await self.server.samples(selector))
            found[qos] = Counter(int(value) for _time, value in points)
        return found
