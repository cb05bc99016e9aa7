"""One object for texts that many entities have: topics, classes, payloads, parts of names."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

__all__ = ["shared"]

_LONGEST: Final = 128
_MOST: Final = 1024
"""Entities of a device are announced one after the other."""


# Not sys.intern: in Python 3.12 what is interned is never freed.
@lru_cache(maxsize=_MOST)
def _seen(text: str) -> str:
    return text


def shared(text: str) -> str:
    """Return an equal text that was seen before, if there was one lately."""
    return _seen(text) if len(text) <= _LONGEST else text
