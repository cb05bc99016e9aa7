"""What is excused narrows to what may have been under way."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.accounting import Accounting
from tests.simulation.broker import Publication


class ExcuseTests(SynchronousTestCase):
    """One message at QoS 0 is lost, and something happens before or after it."""

    def judge(self, *, calm_s: float = 0.0, ended_s: float | None = None) -> list[str]:
        """Lose a message of 50.0, excuse at 60.0 and at 30.0, and account for it."""
        clock: Any = type("Clock", (), {"now_s": 30.0})()
        violations: list[str] = []
        accounting = Accounting(clock, violations.append, lambda: calm_s)
        if ended_s is not None:
            accounting.excuse("a", 45.0)
            clock.now_s = 40.0
            accounting.end_excuses(ended_s)
        clock.now_s = 50.0
        publication = Publication("a/x", b"0:1", 0)
        accounting.ledger.sent["a", 0, 1] = 50.0
        accounting.given(publication, lambda: True)
        clock.now_s = 60.0
        if ended_s is None:
            accounting.excuse("", 1.0)
        accounting.ended(dropped=0, rejected=0, unread=0)
        accounting.close([], [], [])
        return violations

    def test_calm(self) -> None:
        """A kill excuses what came before, but not from before nothing was under way."""
        self.assertEqual(self.judge(calm_s=49.0), [])
        self.assertEqual(len(self.judge(calm_s=50.5)), 1)

    def test_over(self) -> None:
        """What a fault may bring about is over when all works for a while."""
        self.assertEqual(self.judge(ended_s=29.0), [])
        self.assertEqual(len(self.judge(ended_s=30.0)), 1)
