"""How soon the reader is asked again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.output.look_pace import (
    FIRST_LOOK_S,
    LAST_LOOK_S,
    LONGEST_LOOK_S,
    PATIENT_LOOK_S,
    LookPace,
)


class LookPaceTests(SynchronousTestCase):
    """A few looks where none waits, many where one may."""

    def setUp(self) -> None:
        self.pace = LookPace()

    def flow(self, times: int) -> float:
        """Have messages look themselves between looks by the timer; return the next delay."""
        delay_s = 0.0
        for _ in range(times):
            self.pace.wanted(urgent=False)
            self.pace.taken()
            self.pace.due()
            delay_s = self.pace.next_s()
            self.pace.taken()
        return delay_s

    def test_flow(self) -> None:
        """Where messages look themselves the timer does so less and less often."""
        delays = [self.flow(1) for _ in range(8)]
        self.assertEqual(delays[:3], [2 * PATIENT_LOOK_S, 4 * PATIENT_LOOK_S, 8 * PATIENT_LOOK_S])
        self.assertEqual(delays[-1], LONGEST_LOOK_S)

    def test_a_sender_that_waits(self) -> None:
        """Where nothing comes until the timer the sender may wait for it: soon from then on."""
        self.flow(10)
        self.pace.due()
        self.pace.due()
        self.pace.taken(by_timer=True)
        for _ in range(5):
            self.assertEqual(self.pace.next_s(), PATIENT_LOOK_S)
            self.pace.due()
            self.pace.taken(by_timer=True)

    def test_urgent(self) -> None:
        """A sender that is known to wait is not kept waiting, whatever came before."""
        self.flow(10)
        self.assertTrue(self.pace.wanted(urgent=True))
        self.assertFalse(self.pace.wanted(urgent=True))
        self.assertEqual(self.pace.next_s(), FIRST_LOOK_S)

    def test_slow_reader(self) -> None:
        """It is asked less and less often until it takes something."""
        self.pace.wanted(urgent=True)
        delays = [self.pace.next_s() for _ in range(8)]
        self.assertEqual((delays[0], delays[1], delays[-1]), (0.002, 0.004, LAST_LOOK_S))
        self.pace.taken(by_timer=True)
        self.assertEqual(self.pace.next_s(), FIRST_LOOK_S)
