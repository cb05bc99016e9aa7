"""Other MQTT clients in Python that only parse what they receive."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from typing import Final

from benchmarks.collector import count_reports
from benchmarks.subjects.base import Setup

__all__ = ["CLIENTS", "ParsingClient"]

CLIENTS: Final = {"paho": "paho-mqtt", "gmqtt": "gmqtt", "aiomqtt": "aiomqtt"}
"""Name in the table and of the script, and the distribution it needs."""


class ParsingClient:
    """One of `benchmarks.clients`.

    Args:
        name: a key of `CLIENTS`.
        json_module: what parses the payload, ``json`` or ``orjson``.

    Attributes:
        library: the same key, whatever it parses with.
    """

    asks = True
    quiet_s = 0.2

    def __init__(self, name: str, json_module: str = "json") -> None:
        self.library = name
        self.name = name if json_module == "json" else f"{name} + {json_module}"
        self._module = f"benchmarks.clients.{name}_client"
        self._distribution = CLIENTS[name]
        self._json_module = json_module

    def missing(self) -> str:
        """Return why it cannot be measured here."""
        if importlib.util.find_spec(self._json_module) is None:
            return f"{self._json_module} is not installed"
        try:
            importlib.metadata.version(self._distribution)
        except importlib.metadata.PackageNotFoundError:
            return f"{self._distribution} is not installed"
        return ""

    def version(self) -> str:
        """Return the version of the library."""
        return importlib.metadata.version(self._distribution)

    def count(self, data: bytes, before: int) -> int:
        """Count messages."""
        return count_reports(data, before)

    def command(self, setup: Setup) -> Sequence[str]:
        """Return the command."""
        return [
            sys.executable,
            "-m",
            self._module,
            str(setup.port),
            str(setup.qos),
            self._json_module,
        ]
