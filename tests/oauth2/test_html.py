"""The pages' HTML, whatever the service says."""

from __future__ import annotations

from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.oauth2.html import Page
from tests.hostile_text import TEXTS, unsafe
from tests.oauth2.test_login_page import LOOK


class PageTests(SynchronousTestCase):
    """Text of the service in a page of ours."""

    @given(TEXTS)
    def test_any_reason(self, reason: str) -> None:
        """It neither becomes HTML nor hides or reorders anything."""
        pages = Page(LOOK)
        for page in (pages.failed(reason, reason), pages.unknown(reason)):
            text = page.decode()
            self.assertEqual(unsafe(text.replace("\n", "")), [])
        plain = pages.failed("x", "x").decode()
        shown = pages.failed(reason, "x").decode()
        for mark in "<>":
            self.assertEqual(shown.count(mark), plain.count(mark))
