"""The standard library's parser of TOML, or what it came from."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["toml_parser"]


def toml_parser() -> Any:
    """Return the module that parses TOML on this Python."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib
