"""What one value of a smart meter is."""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["WATTS", "WATT_HOURS", "MeterField"]


@frozen
class MeterField:
    """What one key of a meter means.

    Attributes:
        measurement, field: where it goes.
        channel: the phase, from 1, or two of them (``l1_l2``); empty for the whole.
        factor: the meter's value times this is ours.
        units: between which scripts differ, as the setting ``meters`` writes them; empty if known.
        part: one of several meters in the object, such as ``M2``; empty for the object itself.
        weak: other devices have such a key too, so it does not make an object a meter.
    """

    measurement: str
    field: str
    channel: str = ""
    factor: float = 1.0
    units: tuple[str, ...] = ()
    weak: bool = False
    part: str = ""

    def scaled(self, number: float) -> float:
        """Return a number of the meter in our unit."""
        # Nine decimals: 1 mWh as kWh, and no 12.700000000000001.
        return number if self.factor == 1 else round(number * self.factor, 9)


WATTS: Final = ("W", "kW")
"""Units of power between which scripts differ."""
WATT_HOURS: Final = ("Wh", "kWh")
