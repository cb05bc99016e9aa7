"""Clients to compare with: each subscribes, parses the JSON, and counts; nothing else.

Each is a script: ``python -m benchmarks.clients.paho_client PORT QOS JSON_MODULE``. It writes
``received=N`` to stdout every `REPORT_EVERY` messages, and when a message comes on
`REPORT_TOPIC`, which the runner sends behind the load.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Final

__all__ = ["REPORT_EVERY", "REPORT_TOPIC", "Counter"]

REPORT_TOPIC: Final = "bench/report"
REPORT_EVERY: Final = 500


class Counter:
    """Parses payloads and counts them.

    Args:
        json_module: ``json`` or ``orjson``.
    """

    def __init__(self, json_module: str) -> None:
        self._loads: Callable[[bytes | bytearray], object] = importlib.import_module(
            json_module
        ).loads
        self._count = 0

    def take(self, payload: bytes | bytearray) -> None:
        """Take a SENSOR message."""
        self._loads(payload)
        self._count += 1
        if self._count % REPORT_EVERY == 0:
            self.report()

    def report(self) -> None:
        """Tell how many there were."""
        os.write(1, b"received=%d\n" % self._count)
