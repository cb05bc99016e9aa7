"""What is said about numbers."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.figures import Figure, Note, percentile, ratios
from benchmarks.rows.base import Notebook
from benchmarks.rows.sustained import quarters


def figure(*values: float, **marks: Any) -> Figure:
    """Make a figure."""
    return Figure("row", "what", "subject", "us", values, **marks)


class FigureTests(SynchronousTestCase):
    """Medians, spreads, verdicts."""

    def test_median_and_spread(self) -> None:
        found = figure(9.0, 1.0, 2.0)
        self.assertEqual((found.median, found.spread), (2.0, (1.0, 9.0)))

    def test_verdicts(self) -> None:
        for value, marks, expected in [
            (10.0, {}, ""),
            (10.0, {"target": 10}, "met"),
            (11.0, {"target": 10}, "missed"),
            (0.0, {"target": 0, "floor": 0}, "met"),
            (11.0, {"target": 10, "floor": 12}, "floor"),
            (13.0, {"target": 10, "floor": 12}, "missed"),
            (8.0, {"target": 8, "more_is_better": True}, "met"),
            (7.0, {"target": 8, "more_is_better": True}, "missed"),
            (7.0, {"target": 8, "floor": 6, "more_is_better": True}, "floor"),
        ]:
            self.assertEqual(figure(value, **marks).verdict, expected, (value, marks))


class StatisticsTests(SynchronousTestCase):
    """Percentiles and ratios."""

    def test_percentiles(self) -> None:
        values = [float(value) for value in range(100, 0, -1)]
        for share, expected in [(0, 1.0), (0.5, 50.0), (0.99, 99.0), (1, 100.0)]:
            self.assertEqual(percentile(values, share), expected)
        self.assertEqual(percentile([3.0], 0.5), 3.0)

    def test_no_percentile_of_nothing(self) -> None:
        with self.assertRaisesRegex(ValueError, "no values"):
            percentile([], 0.5)
        with self.assertRaisesRegex(ValueError, "expected 0 to 1"):
            percentile([1.0], 99)

    def test_ratios_are_taken_pair_by_pair(self) -> None:
        """The second repetition was twice as slow for both: the ratio is the same."""
        self.assertEqual(ratios([1.0, 2.0], [4.0, 8.0]), (0.25, 0.25))
        with self.assertRaisesRegex(ValueError, "1 values against 2"):
            ratios([1.0], [1.0, 2.0])

    def test_quarters(self) -> None:
        times = [0.0, 0.0, 1.0, 3.0, 50.0, 60.0, 10.0, 20.0]
        self.assertEqual(quarters(times), (2.0, 15.0))


class NotebookTests(SynchronousTestCase):
    """What a row writes down."""

    def test_values_of_repetitions_become_one_figure(self) -> None:
        notebook = Notebook("cost")
        for ours, theirs in ((1.0, 2.0), (3.0, 4.0)):
            notebook.add("cpu", "us", ours, "us", target=10)
            notebook.add("cpu", "them", theirs, "us")
        notebook.ratio("ratio", ("cpu", "us"), ("cpu", "them"), target=0.5)
        notebook.ratio("no ratio", ("cpu", "us"), ("cpu", "nobody"))
        ours, theirs, ratio = notebook.results()
        assert isinstance(ours, Figure)
        assert isinstance(ratio, Figure)
        self.assertEqual((ours.values, ours.target), ((1.0, 3.0), 10))
        self.assertEqual((ratio.values, ratio.subject), ((0.5, 0.75), "us / them"))
        self.assertEqual(ratio.verdict, "missed")

    def test_a_ratio_is_left_out_where_a_repetition_is_missing(self) -> None:
        notebook = Notebook("cost")
        notebook.add("cpu", "us", 1.0)
        notebook.add("cpu", "us", 1.0)
        notebook.add("cpu", "them", 1.0)
        notebook.ratio("ratio", ("cpu", "us"), ("cpu", "them"))
        self.assertEqual(len(list(notebook.results())), 2)

    def test_columns_are_figures_of_their_own(self) -> None:
        notebook = Notebook("pace")
        for column, value in (("10/s", 1.0), ("50/s", 2.0)):
            notebook.add("cpu", "us", value, column=column)
            notebook.add("cpu", "them", 4.0, column=column)
        notebook.ratio("ratio", ("cpu", "us"), ("cpu", "them"), column="50/s")
        *_in_columns, ratio = notebook.results()
        assert isinstance(ratio, Figure)
        self.assertEqual((ratio.values, ratio.column), ((0.5,), ""))

    def test_the_same_note_stands_once(self) -> None:
        notebook = Notebook("cost")
        notebook.note("x")
        notebook.note("x")
        self.assertEqual(list(notebook.results()), [Note("cost", "x")])
