"""Physical lines: prefixes, escapes, lengths."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.logs.events import LogEntry
from metrics_agent.logs.levels import Level
from metrics_agent.logs.rendering import MAX_LINE_BYTES, choose_format, render


def lines(text: str, log_format: str = "telegraf", *, level=Level.INFO, details="") -> list[bytes]:
    """Render an entry of the module demo."""
    return list(render(LogEntry(level, "demo", text, 0.0, details=details), log_format))


class RenderTest(SynchronousTestCase):
    """Entries become lines."""

    def test_each_level_has_the_prefix_that_telegraf_reads(self):
        for level, prefix in zip(Level, (b"D! ", b"I! ", b"W! ", b"E! "), strict=True):
            self.assertEqual(lines("x", level=level), [prefix + b"[demo] x\n"])

    def test_each_level_has_the_priority_that_the_journal_reads(self):
        for level, prefix in zip(Level, (b"<7>", b"<6>", b"<4>", b"<3>"), strict=True):
            self.assertEqual(lines("x", "journald", level=level), [prefix + b"[demo] x\n"])

    def test_a_person_reads_local_time_and_the_level_s_name(self):
        (line,) = lines("x", "text", level=Level.WARN)
        self.assertRegex(line, rb"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d warn  \[demo\] x\n$")

    def test_a_text_is_one_line(self):
        self.assertEqual(
            lines("x\nE! [agent] FAKE\r\n."), [b"I! [demo] x\\nE! [agent] FAKE\\r\\n.\n"]
        )

    def test_a_traceback_follows_as_debug_lines(self):
        self.assertEqual(
            lines("a", level=Level.ERROR, details="T\n  f"),
            [b"E! [demo] a\n", b"D! [demo] T\n", b"D! [demo]   f\n"],
        )

    def test_control_characters_are_escaped(self):
        self.assertEqual(
            lines("\x1b[31m\x00\r\x7f\x9b\u2028\u202e\t."),
            [b"I! [demo] \\x1b[31m\\x00\\r\\x7f\\x9b\\u2028\\u202e    .\n"],
        )

    def test_a_module_s_name_cannot_make_a_line(self):
        (line,) = render(LogEntry(Level.INFO, "a\nE! b", "x", 0.0), "telegraf")
        self.assertEqual(line, b"I! [a\\nE! b] x\n")

    def test_a_long_line_is_cut_between_two_characters(self):
        for shift in range(3):
            (line,) = lines("x" * shift + "\u20ac" * 4000)
            self.assertLessEqual(len(line), MAX_LINE_BYTES)
            self.assertGreater(len(line), MAX_LINE_BYTES - 4)
            self.assertTrue(line.decode().endswith("\u20ac [cut]\n"))

    def test_a_line_of_the_greatest_length_is_whole(self):
        start = len(b"I! [demo] ")
        (line,) = lines("x" * (MAX_LINE_BYTES - start - 1))
        self.assertEqual(len(line), MAX_LINE_BYTES)
        self.assertTrue(line.endswith(b"xx\n"))

    def test_of_many_lines_the_first_and_last_are_shown(self):
        shown = lines("x", details="\n".join(str(number) for number in range(1000)))[1:]
        self.assertEqual(len(shown), 91)
        self.assertEqual(
            shown[29:32],
            [
                b"D! [demo] 29\n",
                b"D! [demo] ... 910 lines are left out ...\n",
                b"D! [demo] 940\n",
            ],
        )


class ChooseTest(SynchronousTestCase):
    """The format follows what stderr is."""

    def setUp(self) -> None:
        self.read_fd, self.fd = os.pipe()
        self.addCleanup(os.close, self.read_fd)
        self.addCleanup(os.close, self.fd)

    def test_a_pipe_is_telegraf_s(self):
        self.assertEqual(choose_format("auto", self.fd, {}), "telegraf")

    def test_the_journal_s_variable_counts_only_for_its_own_stream(self):
        status = os.fstat(self.fd)
        own = f"{status.st_dev}:{status.st_ino}"
        self.assertEqual(choose_format("auto", self.fd, {"JOURNAL_STREAM": own}), "journald")
        self.assertEqual(choose_format("auto", self.fd, {"JOURNAL_STREAM": "1:2"}), "telegraf")

    def test_a_terminal_has_a_person_before_it(self):
        leader, follower = os.openpty()
        self.addCleanup(os.close, leader)
        self.addCleanup(os.close, follower)
        self.assertEqual(choose_format("auto", follower, {}), "text")

    def test_a_closed_descriptor_is_taken_like_a_pipe(self):
        self.assertEqual(choose_format("auto", 1_000_000, {}), "telegraf")

    def test_a_setting_is_taken_as_it_is(self):
        for setting in ("telegraf", "text", "journald"):
            self.assertEqual(choose_format(setting, self.fd, {}), setting)

    def test_another_name_is_refused_and_the_right_ones_are_named(self):
        with self.assertRaises(ValueError) as caught:
            choose_format("json", 2, {})
        self.assertEqual(
            str(caught.exception),
            "got log format 'json', expected one of auto, telegraf, text, journald",
        )
