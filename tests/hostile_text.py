"""Text from outside that would forge, hide or reorder other text, and how to find it."""

from __future__ import annotations

import unicodedata
from typing import Final

from hypothesis import strategies as st

__all__ = ["SAMPLES", "TEXTS", "unsafe"]

SAMPLES: Final = (
    "x\nE! [agent] FAKE",
    "\r\x1b[2K\x1b[1Ax",
    "\x9b31mx\x85y\x9d0;t\x9c",
    "a\u2028b\u2029c",
    "a\u202eb\u202ac\u2066d\u2069e\u200ef\u200fg\u061ch",
    "a\u200bb\u200cc\u200dd\u2060e\ufefff\xadg",
    "a\ufdd0b\ufffec\U0010ffffd",
    "a\ud800b\udfffc",
    "a\U000e0001\U000e0041\U000e007fb",
    "\u200b",
    "\N{MAN}\u200d\N{WOMAN}\ufe0f",
)

_AWKWARD: Final = "".join(SAMPLES) + "\\,= \"'\t\x00\f\x7f{}!#_\u3164"

TEXTS: Final = st.one_of(
    st.sampled_from(SAMPLES),
    st.text(st.sampled_from(_AWKWARD), max_size=12),
    st.text(st.one_of(st.sampled_from(_AWKWARD), st.characters()), max_size=300),
)

# By Unicode's categories, a second and independent list; these format characters are visible.
_VISIBLE_FORMAT: Final = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"
)


# Neither format characters nor assigned by every Python's Unicode, and shown as nothing.
_IGNORED: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2065\u3164\uffa0"
    "\ufff0\ufff1\ufff2\ufff3\ufff4\ufff5\ufff6\ufff7\ufff8"
)


def unsafe(text: str) -> list[str]:
    """Return the characters of a text that must not be in it."""
    return [character for character in text if _is_unsafe(character)]


def _is_unsafe(character: str) -> bool:
    code = ord(character)
    if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
        return True
    if code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF or 0xE0000 <= code <= 0xE0FFF:
        return True
    if character in _IGNORED:
        return True
    # Above U+FFFF they are visible (Kaithi's number sign, joiners of hieroglyphs) or music's.
    if unicodedata.category(character) == "Cf":
        return character not in _VISIBLE_FORMAT and (code <= 0xFFFF or code >= 0x1BCA0)
    return False
