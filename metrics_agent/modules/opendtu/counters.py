"""Counters that run backwards are left out, unless they keep doing so."""

from __future__ import annotations

from typing import Final

from metrics_agent.catalogue import ELECTRICITY
from metrics_agent.modules.opendtu.quantities import Drop

__all__ = ["ENERGY_TODAY", "ENERGY_TOTAL", "Counters"]

ENERGY_TOTAL: Final = ELECTRICITY.key("energy_total")
ENERGY_TODAY: Final = ELECTRICITY.key("energy_today")

_REASONS: Final = {ENERGY_TODAY: "lower_today", ENERGY_TOTAL: "lower_total"}
_BELIEVED_AT: Final = 3
"""So many lower values in a row are believed: the counter was set."""
_TOLERANCE_KWH: Final = 0.01
"""A sum of float32 may be a little lower than before."""
_NIGHT_NS: Final = 3600 * 1_000_000_000
"""After a gap of this length the yield of the day may be that of another day."""


class Counters:
    """Remembers how far each counter has come.

    Args:
        drop: called with what is left out.
    """

    def __init__(self, drop: Drop) -> None:
        self._drop = drop
        # The last value believed, how many were refused since, and when it came.
        self._last: dict[tuple[str, str, int], tuple[float, int, int]] = {}

    def check(self, values: dict[str, float], device: str, channel: int, received_ns: int) -> None:
        """Take out what is lower than before.

        The yield of a day may begin again: at 0, or in the morning after a night without values.

        Args:
            values: fields of ``electricity``, changed in place.
            device: whose they are.
            channel: 0 for the device as a whole; any number that tells its counters apart.
            received_ns: when they came.
        """
        for field, reason in _REASONS.items():
            value = values.get(field)
            if value is None:
                continue
            key = (device, field, channel)
            last, refused, last_ns = self._last.get(key, (value, 0, received_ns))
            is_new_day = field == ENERGY_TODAY and (
                value == 0 or abs(received_ns - last_ns) >= _NIGHT_NS
            )
            if value >= last - _TOLERANCE_KWH or is_new_day or refused + 1 >= _BELIEVED_AT:
                self._last[key] = (value, 0, received_ns)
                continue
            self._last[key] = (last, refused + 1, last_ns)
            self._drop(device, reason, f"channel {channel}" if channel else "the whole")
            del values[field]
