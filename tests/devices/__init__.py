"""Which devices there are and who of them is overdue."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

__all__ = ["DevicesCase"]


class DevicesCase(SynchronousTestCase):
    """Compares times."""

    def assert_near(self, found: float, wanted: float, delta: float = 0.1) -> None:
        """Fail unless a number is about another one."""
        self.assertLessEqual(abs(found - wanted), delta, f"{found}, expected about {wanted}")
