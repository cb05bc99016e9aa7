"""Lines are kept while the reader does not read, and dropped beyond a bound."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.logs.writer import BoundedWriter
from tests.logs.fakes import FakeTarget


class WriterTest(SynchronousTestCase):
    """What is written, kept and dropped."""

    def setUp(self) -> None:
        self.target = FakeTarget()
        self.writer = BoundedWriter(
            self.target, lambda count: b"dropped %d\n" % count, max_bytes=20
        )

    def fill(self) -> None:
        """Stop reading, and have 20 bytes kept and two lines dropped."""
        self.target.room = 0
        for number in range(7):
            self.writer.write(b"nr%d\n" % number, 0.0)

    def test_a_line_goes_out_at_once(self):
        self.writer.write(b"a\n", 0.0)
        self.assertEqual(self.target.data, b"a\n")
        self.assertIsNone(self.writer.next_due_s)

    def test_what_is_not_taken_is_kept_and_goes_out_later_in_order(self):
        self.target.room = 3
        self.writer.write(b"a\n", 0.0)
        self.writer.write(b"bcd\n", 0.0)
        self.writer.write(b"e\n", 0.0)
        self.assertEqual(self.target.data, b"a\nb")
        self.target.room = None
        self.assertTrue(self.writer.flush(1.0))
        self.assertEqual(self.target.data, b"a\nbcd\ne\n")
        self.assertIsNone(self.writer.next_due_s)

    def test_it_is_tried_again_less_and_less_often(self):
        self.target.room = 0
        self.writer.write(b"a\n", 0.0)
        waits = []
        for _ in range(8):
            now_s = self.writer.next_due_s
            assert now_s is not None
            self.assertFalse(self.writer.flush(now_s))
            waits.append(round(self.writer.next_due_s - now_s, 3))
        self.assertEqual(waits, [0.04, 0.08, 0.16, 0.32, 0.5, 0.5, 0.5, 0.5])
        self.target.room = 1
        self.writer.flush(100.0)
        self.assertEqual(self.writer.next_due_s, 100.02)

    def test_a_line_does_not_try_again_before_its_time_but_then_it_does(self):
        self.target.room = 0
        self.writer.write(b"a\n", 0.0)
        self.target.room = None
        self.writer.write(b"b\n", 0.01)
        self.assertEqual(self.target.data, b"")
        self.writer.write(b"c\n", 0.02)
        self.assertEqual(self.target.data, b"a\nb\nc\n")

    def test_what_is_too_much_is_dropped_and_told_where_it_would_have_stood(self):
        self.fill()
        self.target.room = None
        self.writer.flush(1.0)
        self.writer.write(b"new\n", 1.0)
        self.assertEqual(self.target.data, b"nr0\nnr1\nnr2\nnr3\nnr4\ndropped 2\nnew\n")

    def test_trying_again_in_vain_adds_no_notice(self):
        self.fill()
        for second in range(1, 100):
            self.writer.flush(float(second))
            self.writer.write(b"more\n", float(second))
        self.target.room = None
        self.writer.flush(200.0)
        self.assertEqual(self.target.data, b"nr0\nnr1\nnr2\nnr3\nnr4\ndropped 101\n")

    def test_the_notice_comes_before_lines_that_fit_again(self):
        self.fill()
        self.target.room = 16
        self.writer.flush(1.0)
        self.writer.write(b"new\n", 1.0)
        self.target.room = None
        self.writer.flush(2.0)
        self.assertEqual(self.target.lines[4:], ["nr4", "dropped 2", "new"])

    def test_a_notice_that_is_taken_in_parts_comes_out_whole_and_once(self):
        self.fill()
        self.target.room = 23
        self.writer.flush(1.0)
        self.assertEqual(self.target.lines[-1], "dro")
        self.target.room = None
        self.writer.flush(2.0)
        self.assertEqual(self.target.lines[-1], "dropped 2")

    def test_a_dead_reader_is_survived_and_costs_no_timer(self):
        self.target.error = BrokenPipeError()
        for number in range(1000):
            self.writer.write(b"%d\n" % number, float(number))
        self.assertIsNone(self.writer.next_due_s)
        self.assertTrue(self.writer.flush(0.0))

    def test_a_reader_that_comes_back_is_told_the_exact_number(self):
        self.target.error = BrokenPipeError()
        for number in range(7):
            self.writer.write(b"%d\n" % number, 0.0)
        self.target.error = None
        self.writer.write(b"new\n", 1.0)
        self.assertEqual(self.target.data, b"dropped 7\nnew\n")

    def test_half_a_line_before_an_error_does_not_join_the_next(self):
        self.target.room = 2
        self.writer.write(b"abcd\n", 0.0)
        self.target.error = OSError(28, "No space left on device")
        self.writer.flush(1.0)
        self.target.error = self.target.room = None
        self.writer.write(b"new\n", 1.0)
        self.assertEqual(self.target.data, b"ab\ndropped 1\nnew\n")

    def test_the_last_flush_waits_for_the_reader(self):
        self.target.room = 0
        self.writer.write(b"a\n", 0.0)

        def on_wait() -> bool:
            self.target.room = 1
            return True

        self.target.on_wait = on_wait
        self.assertTrue(self.writer.flush_within(5.0))
        self.assertEqual(self.target.data, b"a\n")
        self.assertEqual(len(self.target.waited), 2)

    def test_the_last_flush_gives_up_when_its_time_is_over(self):
        self.target.room = 0
        self.writer.write(b"a\n", 0.0)
        self.assertFalse(self.writer.flush_within(5.0))
        self.assertEqual(len(self.target.waited), 1)
        self.assertFalse(self.writer.flush_within(0.0))
        self.assertEqual(len(self.target.waited), 1)
