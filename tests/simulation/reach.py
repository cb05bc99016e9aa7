"""What the simulation cannot see, and why; see `mutants`."""

from __future__ import annotations

from typing import Final

__all__ = ["OUT_OF_REACH", "WHY_MISSED"]

OUT_OF_REACH: Final[dict[str, str]] = {}
WHY_MISSED: Final[dict[str, str]] = {}
