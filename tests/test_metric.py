"""Series and Metric: what a module hands over."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.metric import Metric, Series, metric


class SeriesTests(SynchronousTestCase):
    """A Series is a value."""

    def test_immutable(self):
        """No attribute can be set, and the caller's tags can change without changing it."""
        tags = {"device": "a"}
        series = Series("m", tags)
        tags["device"] = "b"
        self.assertEqual(series.tags, {"device": "a"})
        self.assertRaises(AttributeError, setattr, series, "measurement", "n")
        self.assertRaises(AttributeError, setattr, series, "other", 1)
        self.assertEqual(series.measurement, "m")

    def test_describe(self):
        """It is described by measurement and tags, bounded, and without running their code."""

        class Rude(str):
            __slots__ = ()

            def __getitem__(self, _key):
                raise SystemExit

            __repr__ = __str__ = __getitem__

        for series, text in (
            (Series("m", {}), "m"),
            (Series("m", {"device": "it's", "channel": "1"}), "m (device \"it's\", channel '1')"),
            (Series(Rude("m"), {"a": Rude("b"), "c": None}), "a Rude (a 'a Rude', c 'a NoneType')"),
        ):
            self.assertEqual(series.describe(), text)
        long = Series("m" * 1000, {f"{number}".zfill(1000): "x" * 1000 for number in range(99)})
        self.assertLess(len(long.describe()), 1100)

    def test_equality(self):
        """Equal measurement and tags in any order are equal and hash alike."""
        series = Series("m", {"a": "1", "b": "2"})
        self.assertEqual(series, Series("m", {"b": "2", "a": "1"}))
        self.assertEqual(hash(series), hash(Series("m", {"b": "2", "a": "1"})))
        self.assertNotEqual(series, Series("n", {"a": "1", "b": "2"}))
        self.assertNotEqual(series, Series("m", {"a": "1"}))
        self.assertNotEqual(series, "m")

    def test_repr(self):
        """The repr shows what it is made of."""
        self.assertEqual(repr(Series("m", {"a": "1"})), "Series('m', {'a': '1'})")


class MetricTests(SynchronousTestCase):
    """A Metric is an immutable tuple."""

    def test_metric(self):
        """The short form makes the same as the long one; without a time the reader sets it."""
        made = metric("m", {"a": "1"}, {"f": 1.0})
        self.assertEqual(made, Metric(Series("m", {"a": "1"}), {"f": 1.0}, None))
        self.assertRaises(AttributeError, setattr, made, "time_ns", 5)
