"""How soon to ask the kernel whether the reader has taken what was written.

The answer is needed to acknowledge messages; each question that is asked by a timer of its own
wakes the process up. Where messages come at their own pace the next one brings a look with it, so
a timer can wait. Where a sender waits for its acknowledgement before it sends more, each moment of
waiting costs throughput.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FIRST_LOOK_S", "LAST_LOOK_S", "PATIENT_LOOK_S", "LookPace"]

FIRST_LOOK_S: Final = 0.002
"""While a sender waits, or a drain."""
PATIENT_LOOK_S: Final = 0.025
"""Where none is known to wait: longer than from one message to the next at 50 a second. Not longer
still, since a broker may have a window of its own, and sends nothing until this look."""
LAST_LOOK_S: Final = 0.05
"""A reader that is slow is asked less and less often."""


class LookPace:
    """The delays between looks; they double until the reader has taken something."""

    __slots__ = ("_delay_s", "_first_s")

    def __init__(self) -> None:
        self._first_s = self._delay_s = FIRST_LOOK_S

    def wanted(self, *, urgent: bool) -> bool:
        """Note that something came for which it is asked.

        Args:
            urgent: a sender waits, or a drain.

        Returns:
            True when a look that is due already comes too late.
        """
        first_s = FIRST_LOOK_S if urgent else PATIENT_LOOK_S
        if first_s == self._first_s:
            return False
        self._first_s = self._delay_s = first_s
        return urgent

    def taken(self) -> None:
        """Note that the reader has taken something."""
        self._delay_s = self._first_s

    def next_s(self) -> float:
        """Return the seconds to the next look."""
        delay_s = self._delay_s
        self._delay_s = min(2 * delay_s, LAST_LOOK_S)
        return delay_s
