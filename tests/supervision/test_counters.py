"""Counters only grow, are bounded in number, and stay ints."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.supervision.counters import MAX_NAMES, OTHER, Counters, CountersByModule


class CountersTests(SynchronousTestCase):
    """Of one module."""

    def test_counting(self) -> None:
        """Faults are counted by place, what was left by reason and number."""
        counters = Counters()
        counters.error("tick")
        counters.error("tick")
        counters.drop("no_fields")
        counters.drop("oversized", 5)
        counters.drop("oversized", 0)
        self.assertEqual(counters.errors, {"tick": 2})
        self.assertEqual(counters.dropped, {"no_fields": 1, "oversized": 5})

    def test_bounded(self) -> None:
        """A module that makes up names without end fills one counter more, not the memory."""
        counters = Counters()
        for number in range(3 * MAX_NAMES):
            counters.drop(f"reason_{number}")
        counters.drop("reason_0")
        self.assertEqual(len(counters.dropped), MAX_NAMES + 1)
        self.assertEqual(counters.dropped["reason_0"], 2)
        self.assertEqual(counters.dropped[OTHER], 2 * MAX_NAMES)

    def test_long_names(self) -> None:
        """A name that is made of a device's text is not kept."""
        counters = Counters()
        counters.drop("x" * 65)
        counters.drop("x" * 64)
        self.assertEqual(counters.dropped, {OTHER: 1, "x" * 64: 1})

    def test_names_that_are_no_text(self) -> None:
        """A name that is not a text is counted all the same: this runs inside the guard."""
        counters = Counters()
        counters.error(["tick"])  # type: ignore[arg-type]  # the point
        counters.error(None)  # type: ignore[arg-type]
        self.assertEqual(counters.errors, {OTHER: 2})

    def test_counts_that_are_none(self) -> None:
        """A count that is not a number from 0 on is refused: the field is an int that grows."""
        counters = Counters()
        for count, error in (
            (0.5, TypeError),
            ("1", TypeError),
            (None, TypeError),
            (-1, ValueError),
        ):
            with self.assertRaises(error):
                counters.drop("odd", count)  # type: ignore[arg-type]  # the point
        self.assertEqual(counters.dropped, {})


class CountersByModuleTests(SynchronousTestCase):
    """Of all modules."""

    def test_same_counters(self) -> None:
        """A module has one set of counters, over restarts and reloads."""
        every = CountersByModule()
        self.assertIs(every.of("demo"), every.of("demo"))
        self.assertIsNot(every.of("demo"), every.of("demo:two"))
