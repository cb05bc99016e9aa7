"""What the commands write, whatever stdout is."""

from __future__ import annotations

import io
import os
import sys

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.commands.stdout import say, say_lines


class SayTests(SynchronousTestCase):
    """Lines on stdout."""

    def test_a_line(self) -> None:
        """It is there at once: what follows may take its time."""
        raw = io.BytesIO()
        self.patch(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8"))
        say("grün")
        self.assertEqual(raw.getvalue().decode("utf-8"), "grün\n")

    def test_what_the_locale_cannot_show(self) -> None:
        """Is written as an escape, and so are the bytes of a file's name that are no text."""
        for encoding, text, written in (
            ("ascii", "grün", b"gr\\xfcn\n"),
            ("utf-8", "\udcff.toml", b"\\udcff.toml\n"),
        ):
            raw = io.BytesIO()
            self.patch(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
            say(text)
            self.assertEqual(raw.getvalue(), written)

    def test_text_from_outside(self) -> None:
        """It cannot end the line, steer the terminal, hide or reorder."""
        raw = io.BytesIO()
        self.patch(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8"))
        say("error: x\nok: y\r\x1b[2K\u202e\u200b")
        self.assertEqual(raw.getvalue(), b"error: x\\nok: y\\r\\x1b[2K\\u202e\\u200b\n")

    def test_lines(self) -> None:
        """A text of ours keeps its lines, and is safe otherwise."""
        raw = io.BytesIO()
        self.patch(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8"))
        say_lines("a\n\n  b\x1b")
        self.assertEqual(raw.getvalue(), b"a\n\n  b\\x1b\n")

    def test_without_stdout(self) -> None:
        """Closed from the start: there is no one to notify."""
        self.patch(sys, "stdout", None)
        say("line")

    def test_reader_gone(self) -> None:
        """The rest goes nowhere, and the interpreter has nothing to complain of at its end."""
        reading, writing = os.pipe()
        os.close(reading)
        stdout = os.fdopen(writing, "w", encoding="utf-8")
        self.addCleanup(stdout.close)
        self.patch(sys, "stdout", stdout)
        say("first")
        say("second")
        stdout.flush()

    def test_full_disk(self) -> None:
        """As little as that."""
        with open("/dev/full", "w", encoding="utf-8") as stdout:  # noqa: PTH123 - a device
            self.patch(sys, "stdout", stdout)
            say("line")
