"""The rows that must be shown, all of them; CI fails if one is missing, skipped or failing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.faults.database import DATABASE
from tests.faults.https import HTTPS
from tests.faults.inside import INSIDE
from tests.faults.next_layer import NEXT_LAYER
from tests.faults.outside import OUTSIDE
from tests.faults.row import Row
from tests.faults.websocket import WEBSOCKET
from tests.hostile.rows import HOSTILE

__all__ = ["ROWS", "SECTIONS"]

SECTIONS: Final[Mapping[str, tuple[Row, ...]]] = {
    "inside": tuple(scenario.row for scenario in INSIDE),
    "next layer": tuple(fatal.row for fatal in NEXT_LAYER),
    "outside": OUTSIDE,
    "https": HTTPS,
    "websocket": WEBSOCKET,
    "database": DATABASE,
    "hostile": HOSTILE,
}

ROWS: Final = tuple(row for rows in SECTIONS.values() for row in rows)
