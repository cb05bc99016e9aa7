"""Text from outside, anywhere in an event: it cannot forge, hide or reorder what the log shows."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.logs.events import read_event
from metrics_agent.logs.folding import Folder
from metrics_agent.logs.levels import Levels
from metrics_agent.logs.rendering import MAX_LINE_BYTES, render
from tests.hostile_text import SAMPLES, TEXTS, unsafe
from tests.logs.test_events import raised

PREFIX = {
    "telegraf": re.compile(r"[EWID]! \[[^\]]*"),
    "journald": re.compile(r"<[3467]>\[[^\]]*"),
    "text": re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (error|warn |info |debug) \[[^\]]*"),
}
NAMESPACES = [
    "metrics_agent.x",
    "twisted.internet.defer",
    "log_legacy",
    "stdout",
    "stderr",
    "twisted.logger._global",
]


class Shown:
    """An object that shows itself as it likes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class OddError(Exception):
    """An exception likewise."""

    def __repr__(self) -> str:
        return str(self)


class HostileTextTest(SynchronousTestCase):
    """Every place of an event that a text may come to."""

    @settings(max_examples=300)
    @given(
        texts=st.lists(TEXTS, min_size=4, max_size=4),
        log_format=st.one_of(
            st.sampled_from(["{a}", "{a!r}: {b}", "{a.text} {b:>30}", "{a()}", "{missing}", "{"]),
            TEXTS,
        ),
        namespace=st.one_of(st.sampled_from(NAMESPACES), TEXTS),
        module=st.one_of(st.none(), TEXTS),
        error=st.sampled_from([None, ValueError, OddError, KeyError]),
        log_format_of_line=st.sampled_from(sorted(PREFIX)),
    )
    @example([SAMPLES[0]] * 4, "{b}", "metrics_agent.x", None, OddError, "telegraf")
    @example(["x" * 4096] * 4, "{b}", "metrics_agent.x", "\n" * 5000, OddError, "telegraf")
    def test_any_event(
        self,
        texts: list[str],
        log_format: str,
        namespace: str,
        module: str | None,
        error: type[Exception] | None,
        log_format_of_line: str,
    ) -> None:
        """Each physical line has its own prefix, is bounded, and shows each such character."""
        event: dict[str, Any] = {
            "log_level": LogLevel.error,
            "log_namespace": namespace,
            "log_format": log_format,
            "log_io": texts[0],
            "log_text": texts[0],
            "a": Shown(texts[0]),
            "b": texts[1],
            "module": module,
            "fold": ("a",),
        }
        if error is not None:
            event |= {"isError": 1, "why": texts[2], "failure": raised(error(texts[3]))}
            event["log_failure"] = event["failure"]
        entry = read_event(event, Levels("debug"))
        if entry is None:
            return
        folder = Folder()
        shown = [*folder.take(entry, 0.0), *folder.take(entry, 1.0), *folder.drain(2.0)]
        frames = 0 if error is None else raised(error("x")).getTraceback().count("\n")
        for each in shown:
            lines = list(render(each, log_format_of_line))
            self.assertEqual(len(lines), 1 + (frames if each.details else 0), lines)
            for line in lines:
                self.assertLessEqual(len(line), MAX_LINE_BYTES)
                text = line.decode()
                self.assertEqual((text[-1], unsafe(text[:-1])), ("\n", []))
                self.assertTrue(PREFIX[log_format_of_line].match(text), text)
