"""Keys in PEM form that were pasted where something else belongs: found, not shown. Pure."""

from __future__ import annotations

import base64
import binascii

__all__ = ["hide_keys", "is_pasted"]

_PEM_START = "-----BEGIN"
_LONGEST_NAME_BYTES = 255
_LONGEST_PATH_BYTES = 4096
_SHORTEST_KEY = 44
"""Characters of base64: 32 bytes, the shortest key there is."""


def hide_keys(text: str) -> str:
    """Return a text up to where a key in PEM form begins, which may be a private one."""
    before, begin, _key = text.partition(_PEM_START)
    return f"{before}{begin}***" if begin else text


def is_pasted(text: str) -> bool:
    """Return whether a text is what a file holds rather than a path: never show it then.

    It is taken for content if it is PEM or the base64 of a PEM file without its first line, has
    control characters such as newlines, or is longer than a path can be.
    """
    if _PEM_START in text or any(char < " " for char in text):
        return True
    path = text.encode(errors="replace")
    if len(path) > _LONGEST_PATH_BYTES or max(map(len, path.split(b"/"))) > _LONGEST_NAME_BYTES:
        return True
    if len(text) < _SHORTEST_KEY or not text.startswith("M"):  # the base64 of an ASN.1 sequence
        return False
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
