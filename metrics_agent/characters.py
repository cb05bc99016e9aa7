r"""Characters from outside that would forge, hide or reorder text, and what replaces them.

Three classes, and each is handled in the same way wherever text of a device, server or user is
shown (log, terminal, systemd, login page: `visible`) or names something (`clean_name`):

* **controls**: C0, DEL, C1, and the separators of lines and paragraphs (U+2028, U+2029). They end
  a line, move the cursor or begin a terminal's command.
* **invisible**: what Unicode calls default ignorable, such as zero-width characters, the bidi
  controls and the tags of plane 14, and the three of interlinear annotations. They hide or
  reorder text, or make two names look alike. Variation selectors 1 to 16 are left as they are:
  emoji are written with them.
* **no characters**: surrogates without their other half, and the 66 noncharacters.

Everything in here takes time linear in the length of the text.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["clean_name", "visible"]

_CONTROL: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_INVISIBLE: Final = (
    # DerivedCoreProperties.txt, Default_Ignorable_Code_Point, without U+FE00 to U+FE0F.
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufff8"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    r"\ufff9-\ufffb"
)
_NO_CHARACTER: Final = r"\ud800-\udfff\ufdd0-\ufdef" + "".join(
    rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(0x11)
)
_UNSAFE: Final = re.compile(f"[{_CONTROL}{_INVISIBLE}{_NO_CHARACTER}]")
_STAND_INS: Final = (
    (re.compile(f"[{_CONTROL}]"), "_"),
    (re.compile(f"[{_INVISIBLE}]"), ""),
    (re.compile(f"[{_NO_CHARACTER}]"), "\ufffd"),
)
_SHORT_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "    "}


def visible(text: str) -> str:
    r"""Return a text on one line in which each such character is an escape, ``\u202e``.

    A tab becomes four spaces. A backslash stays as it is: the result is for people to read, who
    cannot distinguish a device that is named ``\u202e`` from one that is named with that character.
    """
    return _UNSAFE.sub(_escape, text)


def clean_name(name: str) -> tuple[str, int]:
    """Return a name without such characters, and how many were replaced.

    A control becomes ``_``, an invisible character nothing, and what is not a character U+FFFD. So
    distinct names may become equal.
    """
    return _UNSAFE.subn(_stand_in, name)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    short = _SHORT_ESCAPES.get(character)
    if short is not None:
        return short
    code = ord(character)
    if code <= 0xFF:  # noqa: PLR2004 - one byte
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - two bytes


def _stand_in(found: re.Match[str]) -> str:
    return next(instead for kind, instead in _STAND_INS if kind.match(found[0]))
