"""How soon to ask the kernel whether the reader has taken what was written.

The answer is needed to acknowledge messages; each question that is asked by a timer of its own
wakes the process up. Where messages come at their own pace the next one brings a look with it, so
a timer can wait, the longer the more often it comes in between. Where a sender waits for its
acknowledgement before it sends more, each moment of waiting costs throughput: it is known to wait
when it has filled half of its window, and otherwise found to, when nothing comes until the timer.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FIRST_LOOK_S", "LAST_LOOK_S", "LONGEST_LOOK_S", "PATIENT_LOOK_S", "LookPace"]

FIRST_LOOK_S: Final = 0.002
"""While a sender waits, or a drain."""
PATIENT_LOOK_S: Final = 0.025
"""Where none is known to wait."""
LONGEST_LOOK_S: Final = 0.5
"""In a flow of messages. The timer cannot be put off by each: Twisted wakes up for a cancelled one
too."""
LAST_LOOK_S: Final = 0.05
"""A reader that is slow is asked less and less often."""


class LookPace:
    """The delays between looks by a timer."""

    __slots__ = ("_delay_s", "_flows", "_patient_s", "_urgent")

    def __init__(self) -> None:
        self._urgent = True
        self._delay_s = 0.0
        self._patient_s = PATIENT_LOOK_S
        self._flows = False

    def wanted(self, *, urgent: bool) -> bool:
        """Note that something came for which it is asked.

        Args:
            urgent: a sender waits, or a drain.

        Returns:
            True when a look that is due already comes too late.
        """
        if urgent == self._urgent:
            return False
        self._urgent = urgent
        self._delay_s = 0.0
        return urgent

    def due(self) -> None:
        """Note that the timer looks: messages go on coming if they have looked since the last."""
        self._patient_s = (
            min(2 * self._patient_s, LONGEST_LOOK_S) if self._flows else PATIENT_LOOK_S
        )
        self._flows = False

    def taken(self, *, by_timer: bool = False) -> None:
        """Note that the reader has taken something, as a look found out."""
        self._delay_s = 0.0
        if not by_timer:
            self._flows = True

    def next_s(self) -> float:
        """Return the seconds to the next look; short ones double until something is taken."""
        delay_s = self._delay_s or (FIRST_LOOK_S if self._urgent else self._patient_s)
        self._delay_s = max(delay_s, min(2 * delay_s, LAST_LOOK_S))
        return delay_s
