"""What the energy meters among the simulated devices measure, in the firmware's shapes.

A scalar for one channel, an array for more; counters in kWh. The decimals are the firmware's
defaults: 3 for energy and current, 2 for the power factor, none for power and voltage.
"""

from __future__ import annotations

import math
from typing import Any, Final

from attrs import frozen

from metrics_agent.demo.curves import ORIGIN, Counter, Curve

__all__ = ["Circuit", "Meter"]

Json = dict[str, Any]

_ENERGY_DIGITS: Final = 3


@frozen
class Circuit:
    """One measured circuit.

    Attributes:
        power: in W; negative is fed into the grid.
        voltage: in V.
        factor: of the power, 0 to 1.
        start: what its counter showed at the origin, in kWh.
        frequency: in Hz; None: not measured.
    """

    power: Curve
    voltage: Curve
    factor: Curve
    start: float = 0.0
    frequency: Curve | None = None

    def counters(self, now_s: float) -> Json:
        """Return the counters of what it drew, by the firmware's names."""
        counter = Counter(self.power.drawn, self.start)
        shown = {"Total": counter.total, "Yesterday": counter.yesterday, "Today": counter.today}
        return {key: round(value(now_s), _ENERGY_DIGITS) for key, value in shown.items()}

    def values(self, now_s: float, decimals: int | None) -> Json:
        """Return the quantities of one time, by the firmware's names and in its order."""
        power = round(self.power.at(now_s), decimals)
        voltage = round(self.voltage.at(now_s), decimals)
        factor = round(self.factor.at(now_s), 2)
        apparent = abs(power) / factor
        frequency = (
            {"Frequency": round(self.frequency.at(now_s), decimals)} if self.frequency else {}
        )
        return {
            "Power": power,
            "ApparentPower": round(apparent, decimals),
            "ReactivePower": round(math.sqrt(apparent**2 - power**2), decimals),
            # The firmware shows the direction of a power in its factor too.
            "Factor": math.copysign(factor, power) if power else 0.0,
            **frequency,
            "Voltage": voltage,
            "Current": round(apparent / voltage, 3),
        }


@frozen
class Meter:
    """The energy meter of a device.

    Attributes:
        circuits: one a channel.
        decimals: of power, voltage and frequency; None writes them as integers.
        one_supply: the channels share voltage, frequency and, with SetOption129 off, a sum of
            their counters.
        feeds: it counts what is fed into the grid.
    """

    circuits: tuple[Circuit, ...]
    decimals: int | None = None
    one_supply: bool = False
    feeds: bool = False

    def energy_total(self, now_s: float) -> Json:
        """Return the answer to EnergyTotal: a number a channel."""
        counters = _columns([circuit.counters(now_s) for circuit in self.circuits])
        return counters | self._exported(now_s) if self.feeds else counters

    def sensor(self, now_s: float) -> Json:
        """Return the content of SENSOR."""
        counters = _columns([circuit.counters(now_s) for circuit in self.circuits])
        values = _columns([circuit.values(now_s, self.decimals) for circuit in self.circuits])
        if self.one_supply:
            counters = {key: round(sum(each), _ENERGY_DIGITS) for key, each in counters.items()}
            values |= {key: values[key][0] for key in ("Frequency", "Voltage")}
        if self.feeds:
            exported = sum(Counter(each.power.fed).today(now_s) for each in self.circuits)
            counters |= {
                "TodaySumImport": round(sum(counters["Today"]), _ENERGY_DIGITS),
                "TodaySumExport": round(exported, _ENERGY_DIGITS),
                **self._exported(now_s),
            }
        return {"ENERGY": {"TotalStartTime": ORIGIN, **counters, **values}}

    def _exported(self, now_s: float) -> Json:
        counters = [Counter(circuit.power.fed) for circuit in self.circuits]
        return {"ExportActive": [round(each.total(now_s), _ENERGY_DIGITS) for each in counters]}


def _columns(channels: list[Json]) -> Json:
    if len(channels) == 1:
        return channels[0]
    return {key: [channel[key] for channel in channels] for key in channels[0]}
