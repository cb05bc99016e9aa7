"""The rows of the table, in its order."""

from typing import Final

from benchmarks.rows import (
    cost,
    database,
    discovery,
    encoding,
    fleet_size,
    idle,
    latency,
    memory,
    pace,
    sharing,
    signals,
    startup,
    status,
    sustained,
    templates,
)
from benchmarks.rows.base import Row

__all__ = ["ROWS", "Row"]

ROWS: Final[tuple[Row, ...]] = (
    cost.ROW,
    database.ROW,
    sustained.ROW,
    fleet_size.ROW,
    latency.ROW,
    memory.ROW,
    startup.ROW,
    idle.ROW,
    pace.ROW,
    encoding.ROW,
    templates.ROW,
    signals.ROW,
    discovery.ROW,
    sharing.ROW,
    status.ROW,
)
