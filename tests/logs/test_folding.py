"""Equal faults are reported once and counted."""

from __future__ import annotations

import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.logs.events import LogEntry
from metrics_agent.logs.folding import KINDS_A_WINDOW, Folder
from metrics_agent.logs.levels import Level


def entry(
    text: str, *, level: Level = Level.ERROR, kind: object = "k", module="demo", of: object = ()
) -> LogEntry:
    """Make a fault of a sentence, which is ``kind``, and a device, which is ``of``."""
    whole = None if kind is None else (kind, None, of)
    return LogEntry(level, module, text, 0.0, whole, "details")  # type: ignore[arg-type]


class FolderTest(SynchronousTestCase):
    """What is shown, counted and reported."""

    def setUp(self) -> None:
        self.folder = Folder()

    def take(self, taken: LogEntry, now_s: float = 0.0) -> list[str]:
        return [shown.text for shown in self.folder.take(taken, now_s)]

    def due(self, now_s: float) -> list[str]:
        return [shown.text for shown in self.folder.due(now_s)]

    def test_an_equal_fault_is_counted_and_told_at_the_end_of_the_window(self):
        self.assertEqual(self.take(entry("a")), ["a"])
        for second in range(1, 9):
            self.assertEqual(self.take(entry("a"), second), [])
        self.assertEqual(self.folder.next_due_s, 10)
        self.assertEqual(self.due(9.9), [])
        self.assertEqual(self.due(10), ["Repeated 8 times in 10 s: a"])

    def test_one_repetition_is_told_in_words(self):
        self.take(entry("a"))
        self.take(entry("a"))
        self.assertEqual(self.due(10), ["Repeated once in 10 s: a"])

    def test_no_repetition_is_nothing_to_tell(self):
        self.take(entry("a"))
        self.assertIsNone(self.folder.next_due_s)
        self.assertEqual(self.due(100), [])

    def test_the_first_few_texts_of_a_kind_are_shown(self):
        shown = [self.take(entry(f"a{number}")) for number in range(10_000)]
        self.assertEqual(sum(shown, []), ["a0", "a1", "a2", "a3", "a4"])  # noqa: RUF017
        self.assertEqual(self.due(10), ["Repeated 9995 times in 10 s: a9999"])

    def test_kinds_modules_and_levels_are_counted_apart(self):
        for taken in (
            entry("a"),
            entry("a", kind="other"),
            entry("a", module="other"),
            entry("a", level=Level.WARN),
        ):
            self.assertEqual(self.take(taken), ["a"])

    def test_an_equal_line_of_information_is_shown_until_there_are_many(self):
        shown = [self.take(entry("up", level=Level.INFO)) for _ in range(30)]
        self.assertEqual(shown, [["up"]] * 20 + [[]] * 10)

    def test_debug_lines_and_those_without_a_kind_are_never_folded(self):
        for _ in range(100):
            self.assertEqual(self.take(entry("a", level=Level.DEBUG)), ["a"])
            self.assertEqual(self.take(entry("a", kind=None)), ["a"])

    def test_while_it_goes_on_only_the_count_is_told_less_and_less_often(self):
        logged = []
        for second in range(300):
            logged += [(second, text) for text in self.take(entry(f"a{second}"), float(second))]
        self.assertEqual([second for second, _text in logged[5:]], [10, 30, 70, 130, 190, 250])
        self.assertEqual(logged[6][1], "Repeated 20 times in 20 s: a29")

    def test_while_it_goes_on_another_text_is_counted_too(self):
        self.take(entry("a"))
        self.take(entry("a"), 1)
        self.due(10)
        self.assertEqual(self.take(entry("b"), 11), [])
        self.assertEqual(self.due(30), ["Repeated once in 20 s: b"])

    def test_a_window_without_repetition_ends_it(self):
        self.take(entry("a"))
        self.take(entry("a"), 1)
        self.due(10)
        self.assertIsNone(self.folder.next_due_s)
        self.assertEqual(self.take(entry("a"), 31), ["a"])

    def test_a_fault_after_its_window_is_shown_again(self):
        self.take(entry("a"))
        self.assertEqual(self.take(entry("a"), 10.5), ["a"])

    def test_a_count_that_is_due_comes_before_the_next_line(self):
        self.take(entry("a"))
        self.take(entry("a"), 1)
        self.assertEqual(self.take(entry("b", kind="other"), 12), ["Repeated once in 12 s: a", "b"])

    def test_the_next_count_that_is_due_is_the_earliest(self):
        self.take(entry("a"))
        self.take(entry("b", kind="b"), 5)
        self.take(entry("b", kind="b"), 6)
        self.assertEqual(self.folder.next_due_s, 15)
        self.take(entry("a"), 7)
        self.assertEqual(self.folder.next_due_s, 10)
        self.due(10)
        self.assertEqual(self.folder.next_due_s, 15)

    def test_what_did_not_repeat_is_forgotten_meanwhile(self):
        self.take(entry("b", kind="b"))
        self.take(entry("a"))
        self.take(entry("a"))
        self.assertEqual(self.due(10), ["Repeated once in 10 s: a"])
        self.assertEqual(len(self.folder._windows), 1)

    def test_all_counts_are_told_at_the_end(self):
        self.take(entry("a"))
        self.take(entry("a"), 1)
        self.take(entry("b", kind="b"), 1)
        drained = [shown.text for shown in self.folder.drain(2)]
        self.assertEqual(drained, ["Repeated once in 2 s: a"])
        self.assertIsNone(self.folder.next_due_s)
        self.assertEqual(list(self.folder.drain(2)), [])

    def test_a_count_has_no_traceback(self):
        self.take(entry("a"))
        self.take(entry("a"))
        self.assertEqual([shown.details for shown in self.folder.due(10)], [""])

    def test_the_kinds_that_are_remembered_are_bounded_and_no_count_is_lost(self):
        self.take(entry("a", kind=-1))
        self.take(entry("a", kind=-1))
        shown = [text for kind in range(1500) for text in self.take(entry("b", kind=kind))]
        self.assertEqual(shown.count("Repeated once in 1 s: a"), 1)
        self.assertEqual(len(self.folder._windows), 1000)

    def test_names_that_are_made_up_without_end(self):
        """Of one sentence some kinds are shown in ten seconds, the others are one kind together."""
        shown = [
            text for number in range(3000) for text in self.take(entry(f"{number}", of=number))
        ]
        self.assertEqual(shown, [f"{number}" for number in range(KINDS_A_WINDOW + 5)])
        self.assertEqual(self.take(entry("b", kind="other", of=1)), ["b"])
        self.assertEqual(self.due(10), ["Repeated 2945 times in 10 s: 2999"])
        self.assertEqual(self.take(entry("again", of=3000), 31), ["again"])
        for number in range(3000):
            self.take(entry("b", kind=number))
        self.assertLessEqual(len(self.folder._sentences), 1000)

    def test_texts_that_are_remembered_are_bounded(self):
        """Whatever devices put into lines that are folded."""
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(3000):
            for _ in range(2):
                self.take(entry(f"{number}{'x' * 60_000}", kind=f"{number}{'k' * 60_000}"))
        size = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        self.assertLess(size, 3_000_000)
        self.assertIn("Repeated once in 10 s: 2999xxx", next(reversed(self.due(10))))
