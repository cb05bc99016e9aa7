"""Values of the state as JSON: by orjson where it is installed, since there may be thousands."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

__all__ = ["encoded", "encoded_by_stdlib"]

# Made once: `json.dumps` makes one for each call.
_to_text: Final = json.JSONEncoder(separators=(",", ":")).encode


def encoded_by_stdlib(values: dict[str, Any]) -> bytes:
    """Encode values where orjson is missing, or refuses them."""
    return _to_text(values).encode("ascii")


def _fastest() -> Callable[[dict[str, Any]], bytes]:
    try:
        import orjson
    except ImportError:
        return encoded_by_stdlib
    dumps = orjson.dumps

    def by_orjson(values: dict[str, Any]) -> bytes:
        try:
            found: bytes = dumps(values)
        except TypeError:  # such as half a surrogate pair in a name
            return encoded_by_stdlib(values)
        return found

    return by_orjson


encoded: Final = _fastest()
"""Encode values in one line, in UTF-8."""
