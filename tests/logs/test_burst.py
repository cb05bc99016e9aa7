"""Many events at once make one line."""

from __future__ import annotations

from twisted.logger import LogLevel

from metrics_agent.logs.burst import Burst
from tests.logs.fakes import ObserverCase


class BurstTest(ObserverCase):
    """What hears of a burst."""

    def burst(self, **options) -> Burst:
        return Burst(
            self.log(),
            self.clock,
            "Discovered {count} devices, the first: {first}.",
            **{"one": "Discovered {first}.", **options},
        )

    def test_few_are_told_one_by_one_when_no_more_come(self):
        burst = self.burst()
        for name in "abcde":
            burst.add(name)
        self.clock.advance(0.9)
        self.assertEqual(self.target.lines, [])
        self.clock.advance(0.1)
        self.assertEqual(self.target.lines, [f"I! [demo] Discovered {name}." for name in "abcde"])

    def test_many_are_told_in_one_line(self):
        burst = self.burst()
        for number in range(5000):
            burst.add(f"d{number}")
        self.clock.advance(1)
        self.assertEqual(self.target.lines, ["I! [demo] Discovered 5000 devices, the first: d0."])

    def test_the_next_burst_starts_anew(self):
        burst = self.burst(quiet_s=2.0)
        burst.add("a")
        self.clock.advance(2)
        burst.add("b")
        self.clock.advance(2)
        self.assertEqual(self.target.lines, ["I! [demo] Discovered a.", "I! [demo] Discovered b."])

    def test_an_item_puts_the_line_off_but_not_for_ever(self):
        burst = self.burst()
        for _ in range(30):
            burst.add("a")
            self.clock.advance(0.5)
        self.assertEqual(self.target.lines[0], "I! [demo] Discovered 20 devices, the first: a.")
        burst.flush()

    def test_what_is_left_can_be_told_at_once(self):
        burst = self.burst()
        burst.add("a")
        burst.flush()
        burst.flush()
        self.assertEqual(self.target.lines, ["I! [demo] Discovered a."])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_level_and_number_can_be_chosen_and_one_line_serves_for_both(self):
        burst = self.burst(one=None, few=1, level=LogLevel.warn)
        burst.add("a")
        burst.flush()
        burst.add("b")
        burst.add("c")
        burst.flush()
        self.assertEqual(
            self.target.lines,
            [
                "W! [demo] Discovered 1 devices, the first: a.",
                "W! [demo] Discovered 2 devices, the first: b.",
            ],
        )
