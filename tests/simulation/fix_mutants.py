"""Fixes of issues 12 and 13, reverted one by one, each named by what goes wrong; see `mutants`."""

from __future__ import annotations

from typing import Final

from tests.deliberate_breaks import Break

__all__ = ["FIXES"]

FIXES: Final[tuple[Break, ...]] = ()
