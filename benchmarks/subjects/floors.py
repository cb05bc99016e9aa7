"""Programs that do the job with nothing around it: how cheap a message can be at all."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from typing import Final

from benchmarks.collector import count_marks
from benchmarks.subjects.base import Setup

__all__ = ["FLOORS", "Floor"]


class Floor:
    """A script of `benchmarks.clients` that writes a line for each message.

    Args:
        name: for the table.
        script: the name of the script.
    """

    asks = False
    quiet_s = 0.2

    def __init__(self, name: str, script: str) -> None:
        self.name = name
        self._module = f"benchmarks.clients.{script}"

    def missing(self) -> str:
        """Return why it cannot be measured here."""
        return "" if importlib.util.find_spec("orjson") else "orjson is not installed"

    def version(self) -> str:
        """Return the version of what it runs on."""
        return f"Python {sys.version.split()[0]}"

    def count(self, data: bytes, before: int) -> int:
        """Count messages."""
        return count_marks(data, before)

    def command(self, setup: Setup) -> Sequence[str]:
        """Return the command."""
        return [sys.executable, "-m", self._module, str(setup.port), str(setup.qos)]


FLOORS: Final = (
    Floor("bare epoll loop, the whole job", "epoll_floor"),
    Floor("bare Twisted, no parsing", "twisted_floor"),
)
