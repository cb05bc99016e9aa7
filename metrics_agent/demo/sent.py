"""What a simulated device sends."""

from __future__ import annotations

import json
from typing import Any

from attrs import frozen

__all__ = ["Sent", "to_json"]


@frozen
class Sent:
    """A message of a device."""

    topic: str
    payload: bytes
    retain: bool = False


def to_json(document: dict[str, Any]) -> bytes:
    """Write a document without spaces, as firmware does."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
