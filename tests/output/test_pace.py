"""When lines leave."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.output.pace import LONGEST_WAIT_S, QUIET_S, wait_s


class PaceTests(SynchronousTestCase):
    """The four reasons to leave."""

    def test_reasons(self) -> None:
        """Full, urgent, quiet for a while, or waiting for long."""
        for case, expected in (
            ({"waiting_bytes": 100, "urgent": False, "first_s": 0.0, "last_s": 0.0}, QUIET_S),
            ({"waiting_bytes": 100, "urgent": False, "first_s": 0.5, "last_s": 0.005}, 0.015),
            ({"waiting_bytes": 100, "urgent": False, "first_s": 0.99, "last_s": 0.0}, 0.01),
            ({"waiting_bytes": 100, "urgent": False, "first_s": LONGEST_WAIT_S, "last_s": 0}, 0.0),
            ({"waiting_bytes": 100, "urgent": False, "first_s": 0.02, "last_s": 0.02}, 0.0),
            ({"waiting_bytes": 100, "urgent": False, "first_s": 0.5, "last_s": 0.0199999}, 0.0),
            ({"waiting_bytes": 100, "urgent": True, "first_s": 0.0, "last_s": 0.0}, 0.0),
            ({"waiting_bytes": 1000, "urgent": False, "first_s": 0.0, "last_s": 0.0}, 0.0),
        ):
            self.assertAlmostEqual(wait_s(limit_bytes=1000, **case), expected, msg=str(case))
