"""Characters that forge, hide or reorder text."""

from __future__ import annotations

import sys

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.characters import clean_name, visible
from tests.hostile_text import TEXTS, unsafe

ALL = list(map(chr, range(sys.maxunicode + 1)))


class VisibleTests(SynchronousTestCase):
    """Text for people."""

    def test_escapes(self) -> None:
        """Each has its escape, of the shortest form; a tab is four spaces."""
        for text, shown in (
            ("plain, grün \N{SNOWMAN}\\n", "plain, grün \N{SNOWMAN}\\n"),
            ("x\nE! [agent] FAKE", r"x\nE! [agent] FAKE"),
            ("\x1b[2K\r", r"\x1b[2K\r"),
            ("a\tb", "a    b"),
            ("\x9b\xad\u202e", r"\x9b\xad\u202e"),
            ("\U000e0041\U0010ffff", r"\U000e0041\U0010ffff"),
            ("\ud800", r"\ud800"),
            ("\N{HEAVY BLACK HEART}\ufe0f", "\N{HEAVY BLACK HEART}\ufe0f"),
        ):
            self.assertEqual(visible(text), shown)

    @given(TEXTS)
    def test_any_text(self, text: str) -> None:
        """Nothing unsafe is left, and it can be encoded and is one line."""
        shown = visible(text)
        self.assertEqual(unsafe(shown), [])
        self.assertEqual(shown.encode().decode().splitlines(), [shown] if shown else [])

    def test_every_character(self) -> None:
        """Controls, formats, separators and noncharacters are escaped; letters are not."""
        changed = {each for each in ALL if visible(each) != each}
        self.assertEqual(sorted(changed ^ set(filter(unsafe, ALL))), [])


class CleanNameTests(SynchronousTestCase):
    """Text that names something."""

    def test_replaced(self) -> None:
        """A control is seen, what is invisible is gone, what is not a character has its mark."""
        for name, expected in (
            ("plain", ("plain", 0)),
            ("a\nb\x9bc\u2028", ("a_b_c_", 3)),
            ("li\u200bving\u202e", ("living", 2)),
            ("\N{MAN}\u200d\N{WOMAN}", ("\N{MAN}\N{WOMAN}", 1)),
            ("\N{HEAVY BLACK HEART}\ufe0f", ("\N{HEAVY BLACK HEART}\ufe0f", 0)),
            ("\ud800\ufdd0\U0001ffff", ("\ufffd\ufffd\ufffd", 3)),
            ("\u200b", ("", 1)),
        ):
            self.assertEqual(clean_name(name), expected)

    @given(TEXTS)
    def test_any_name(self, name: str) -> None:
        """Nothing unsafe is left; a second time changes nothing."""
        cleaned, count = clean_name(name)
        self.assertEqual(unsafe(cleaned), [])
        self.assertEqual(count == 0, cleaned == name)
        self.assertEqual(clean_name(cleaned), (cleaned, 0))
