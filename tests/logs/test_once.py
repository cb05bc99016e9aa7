"""What is logged once and counted from then on."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.logs.once import MOST_KINDS, LeftOut, Once


class OnceTests(SynchronousTestCase):
    """The memory of what was logged."""

    def test_each_kind_of_a_subject_is_first_once(self) -> None:
        once = Once()
        for subject in ("one", "other"):
            for kind in ("a", "b"):
                self.assertTrue(once.first(subject, kind))
                self.assertFalse(once.first(subject, kind))

    def test_forgotten_subject_is_logged_again(self) -> None:
        """`forget` says whether anything was logged of it."""
        once = Once()
        once.first("one", "a")
        once.first("other", "a")
        self.assertTrue(once.forget("one"))
        self.assertFalse(once.forget("one"))
        self.assertTrue(once.first("one", "a"))
        self.assertFalse(once.first("other", "a"))
        once.clear()
        self.assertTrue(once.first("other", "a"))

    def test_subjects_are_bounded(self) -> None:
        """Beyond the bound further subjects are not logged, known ones have their other kinds."""
        once = Once(most=2)
        logged = [once.first(f"subject {number}", "a") for number in range(5)]
        self.assertEqual(logged, [True, True, False, False, False])
        self.assertTrue(once.first("subject 1", "b"))
        once.forget("subject 0")
        self.assertTrue(once.first("subject 4", "a"))

    def test_kinds_are_bounded(self) -> None:
        once = Once()
        logged = [once.first("one", f"kind {number}") for number in range(MOST_KINDS + 5)]
        self.assertEqual(logged, [True] * MOST_KINDS + [False] * 5)
        self.assertTrue(once.first("other", "kind 0"))


class LeftOutTests(SynchronousTestCase):
    """What is left out of messages."""

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.counts: list[str] = []
        self.left_out = LeftOut(Logger(observer=self.events.append), self.counts.append)

    def test_logged_once_for_each_device_and_reason(self) -> None:
        """And counted each time; the first place is the one in the log."""
        for where in ("Power", "Voltage"):
            for device in ("plug", "oven"):
                self.left_out.note(device, "null_value", where)
        self.assertEqual(self.counts, ["null_value"] * 4)
        self.assertEqual(
            [formatEvent(event) for event in self.events],
            [
                "plug: left out Power (null_value); counted from now on, not logged again.",
                "oven: left out Power (null_value); counted from now on, not logged again.",
            ],
        )
        self.assertEqual({event["log_level"] for event in self.events}, {LogLevel.warn})

    def test_harmless_is_information(self) -> None:
        self.left_out.note("plug", "unmapped_key", "x" * 1000, harmless=True)
        (event,) = self.events
        self.assertEqual(event["log_level"], LogLevel.info)
        self.assertLess(len(event["where"]), 300)
