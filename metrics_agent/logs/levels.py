"""The four levels of a log line, and which of them each module writes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

__all__ = ["LEVEL_NAMES", "Level", "Levels"]


class Level(IntEnum):
    """How much a line matters; what Twisted calls critical is an ERROR here."""

    DEBUG = 0
    INFO = 1
    WARN = 2
    ERROR = 3


LEVEL_NAMES: Final[Mapping[str, Level]] = {level.name.lower(): level for level in Level}
"""What the configuration may say."""


class Levels:
    """The lowest level that is written, for each module.

    Args:
        default: ``debug``, ``info``, ``warn`` or ``error``.
        per_module: the same by module; ``tasmota`` holds for ``tasmota:garage`` too, unless
            that is named itself. ``twisted`` and the roots of other libraries are allowed.

    Raises:
        ValueError: a level has another name.
    """

    def __init__(self, default: str = "info", per_module: Mapping[str, str] | None = None) -> None:
        self._default = _level(default)
        self._per_module = {name: _level(level) for name, level in (per_module or {}).items()}

    def of(self, module: str) -> Level:
        """Return the lowest level written for a module."""
        if not self._per_module:
            return self._default
        found = self._per_module.get(module)
        if found is None:
            found = self._per_module.get(module.partition(":")[0], self._default)
        return found

    @property
    def lowest(self) -> Level:
        """The lowest level written for any module."""
        return min(self._default, *self._per_module.values(), Level.ERROR)


def _level(name: str) -> Level:
    level = LEVEL_NAMES.get(name)
    if level is None:
        raise ValueError(f"got log level {name!r}, expected one of {', '.join(LEVEL_NAMES)}")
    return level
