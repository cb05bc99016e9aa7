"""The files of the status page: what a strict content security policy and hostile names ask for."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import metrics_agent.status

PAGE = Path(metrics_agent.status.__file__).parent / "page"
SUFFIXES = {".html", ".css", ".js", ".svg"}
PARSES_HTML = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment"
    r"|\beval\b|new Function|setHTML"
)
INLINE = re.compile(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|javascript:")
ELSEWHERE = re.compile(r"\b(?:https?|wss?|data|blob):(?!//www\.w3\.org/2000/svg\b)|[\"'(]//")
REFERENCE = re.compile(r"(?:href|src)=\"([^\"]+)\"|from \"\./([^\"]+)\"|fetch\(\"([^\"]+)\"")
MADE = {"status.json"}
"""What is not a file."""


class PageFilesTests(SynchronousTestCase):
    """Each rule holds for all files."""

    def setUp(self) -> None:
        self.texts = {path.name: path.read_text("utf-8") for path in PAGE.iterdir()}

    def test_kinds(self) -> None:
        """There is a page, and nothing that does not belong to it."""
        self.assertIn("index.html", self.texts)
        self.assertEqual({Path(name).suffix for name in self.texts} - SUFFIXES, set())

    def test_references(self) -> None:
        """All that a file refers to is there, and each file is referred to."""
        found = {
            next(filter(None, groups))
            for text in self.texts.values()
            for groups in REFERENCE.findall(text)
        }
        self.assertEqual(found, (set(self.texts) - {"index.html"}) | MADE)

    def test_nothing_from_elsewhere(self) -> None:
        """No file names another host."""
        for name, text in self.texts.items():
            self.assertIsNone(ELSEWHERE.search(text), name)

    def test_nothing_inline(self) -> None:
        """What the policy would block is not there."""
        for name in ("index.html", "icon.svg"):
            self.assertIsNone(INLINE.search(self.texts[name]), name)

    def test_text_stays_text(self) -> None:
        """No script has a text parsed as HTML or as a script."""
        for name, text in self.texts.items():
            self.assertIsNone(PARSES_HTML.search(text), name)
