"""Imports what modules will need, before any of them is at work.

An import of TLS or an HTTP client takes 150 ms, in which nothing else runs: at the start it
belongs before the first module's first tick, at a reload into a thread.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module

__all__ = ["import_all", "not_imported"]


def not_imported(names: Iterable[str]) -> list[str]:
    """Return which of these Python modules are still to be imported, each once."""
    return [name for name in dict.fromkeys(names) if name not in sys.modules]


def import_all(names: Iterable[str]) -> None:
    """Import them; a failed import is reported by the module that needs it, at its start."""
    for name in names:
        # Code of others runs here: it may raise anything.
        with suppress(BaseException):
            import_module(name)
