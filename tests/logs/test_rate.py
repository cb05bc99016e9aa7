"""The bound on how much is reported at all."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.logs.levels import Level
from metrics_agent.logs.rate import RateLimit


class RateLimitTest(SynchronousTestCase):
    """What is let through."""

    def setUp(self) -> None:
        self.rate = RateLimit(lines_per_s=10, burst=20)

    def allowed(self, level: Level, now_s: float, tries: int = 1000) -> int:
        return sum(self.rate.allows(level, now_s) for _ in range(tries))

    def test_a_burst_is_let_through_then_so_many_a_second(self):
        self.assertEqual(self.allowed(Level.INFO, 100.0), 20)
        self.assertEqual(self.allowed(Level.INFO, 100.5), 5)
        self.assertEqual(self.allowed(Level.INFO, 100.55, 1), 0)
        self.assertEqual(self.allowed(Level.INFO, 100.65), 1)
        self.assertEqual(self.allowed(Level.INFO, 1000.0), 20)

    def test_a_flood_of_one_level_hides_no_other(self):
        self.allowed(Level.DEBUG, 0.0)
        self.assertTrue(self.rate.allows(Level.ERROR, 0.0))

    def test_what_was_suppressed_is_told_after_a_while(self):
        self.assertIsNone(self.rate.next_due_s)
        self.allowed(Level.INFO, 5.0, 23)
        self.assertEqual(self.rate.next_due_s, 15.0)
        self.assertIsNone(self.rate.due(14.9))
        logged = self.rate.due(15.0)
        assert logged is not None
        self.assertEqual(
            (logged.level, logged.module, logged.text),
            (
                Level.WARN,
                "agent",
                "3 more lines were suppressed: more than 10 of one level in a second.",
            ),
        )
        self.assertIsNone(self.rate.due(100.0))

    def test_one_suppressed_line_is_told_in_words(self):
        self.allowed(Level.INFO, 0.0, 21)
        logged = self.rate.drain()
        assert logged is not None
        self.assertTrue(logged.text.startswith("1 more line was suppressed"))
        self.assertIsNone(self.rate.drain())
