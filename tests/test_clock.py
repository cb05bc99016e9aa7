"""Readings of the wall clock."""

from __future__ import annotations

import logging
import time
from datetime import date, datetime, timezone

from twisted.logger import Logger, _logger  # the time of every log line is read there
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent import clock
from metrics_agent._version import RELEASED
from metrics_agent.clock import END_NS, use_safe_clock, wall_ns, wall_s


def beyond() -> int:
    """Read a clock as Python does beyond 2262."""
    raise OverflowError("timestamp too large to convert to C _PyTime_t")


class ClockTests(SynchronousTestCase):
    """A clock beyond what Python can read."""

    def setUp(self) -> None:
        for place, name in ((time, "time"), (time, "time_ns"), (_logger, "time")):
            self.patch(place, name, getattr(place, name))

    def test_reads_the_wall_clock(self) -> None:
        """In seconds and in nanoseconds."""
        self.assertLess(abs(wall_ns() - time.time_ns()), 5e9)
        self.assertLess(abs(wall_s() - time.time()), 5)

    def test_never_raises(self) -> None:
        """Beyond the range it is the end of the range."""
        self.patch(clock, "_time_ns", beyond)
        self.assertEqual((wall_ns(), wall_s()), (END_NS, END_NS / 1e9))

    def test_loggers_write_all_the_same(self) -> None:
        """Twisted's, though it has imported the function before, and Python's."""
        use_safe_clock()
        self.patch(clock, "_time_ns", beyond)
        events: list[dict[str, object]] = []
        Logger(observer=events.append).info("a line")
        self.assertEqual(events[0]["log_time"], END_NS / 1e9)
        record = logging.getLogger("x").makeRecord("x", 30, "f", 1, "a line", (), None)
        self.assertEqual(record.created, END_NS / 1e9)


class ReleaseTests(SynchronousTestCase):
    """The date of the version."""

    def test_release_is_not_in_the_future(self) -> None:
        """Or each clock that is right would be taken for a wrong one."""
        self.assertLessEqual(date.fromisoformat(RELEASED), datetime.now(timezone.utc).date())
