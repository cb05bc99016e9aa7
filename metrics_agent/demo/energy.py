"""What the energy meters among the simulated devices measure, in the firmware's shapes.

A scalar for one channel, an array for more; counters in kWh, ``Period`` in whole Wh and only in the
regular messages. The decimals are the firmware's defaults: 3 for energy and current, 2 for the
power factor, none for power and voltage; the three-phase meter is set to one more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from attrs import frozen

from metrics_agent.demo.waves import Curve, Swing, Wave

__all__ = ["Counter", "Phase", "Plug", "SmartMeter", "ThreePhases", "TwoChannels"]

Sensors = dict[str, Any]

# When all counters began to count; the second is the first in seconds since the epoch.
_ORIGIN: Final = "2024-01-01T00:00:00"
_ORIGIN_S: Final = 1_704_067_200.0

_DAY_S: Final = 24 * 60 * 60
_SECONDS_PER_HOUR: Final = 3600.0


@frozen
class Counter:
    """A counter of energy.

    Attributes:
        integral: of the power in W, between two times.
        start_kwh: what it showed at the origin.
    """

    integral: Callable[[float, float], float]
    start_kwh: float = 0.0

    def total(self, now_s: float) -> float:
        """Return what it shows, in kWh."""
        return self.start_kwh + self._kwh(_ORIGIN_S, now_s)

    def today(self, now_s: float) -> float:
        """Return what came since midnight (UTC), in kWh."""
        return self._kwh(now_s - now_s % _DAY_S, now_s)

    def yesterday(self, now_s: float) -> float:
        """Return what came on the day before, in kWh."""
        midnight_s = now_s - now_s % _DAY_S
        return self._kwh(midnight_s - _DAY_S, midnight_s)

    def period(self, now_s: float, period_s: float) -> int:
        """Return what came in the last seconds, in whole Wh."""
        return round(self.integral(now_s - period_s, now_s) / _SECONDS_PER_HOUR)

    def _kwh(self, start_s: float, end_s: float) -> float:
        return self.integral(start_s, end_s) / _SECONDS_PER_HOUR / 1000


@frozen
class Phase:
    """One measured circuit.

    Attributes:
        power: in W; negative is fed into the grid.
        voltage: in V.
        factor: of the power, 0 to 1.
        counter: of the energy drawn.
    """

    power: Curve
    voltage: Wave
    factor: Wave
    counter: Counter

    @classmethod
    def of(cls, power: Curve, voltage: Wave, factor: Wave, start_kwh: float = 0.0) -> Phase:
        """Make a circuit that only draws."""
        return cls(power, voltage, factor, Counter(power.integral, start_kwh))

    def values(self, now_s: float, decimals: int | None = None) -> dict[str, float]:
        """Return the quantities of one time, by the firmware's names and in its order.

        Args:
            now_s: the time.
            decimals: of power and voltage; None writes them as integers.
        """
        power = round(self.power.at(now_s), decimals)
        factor = round(self.factor.at(now_s), 2)
        voltage = round(self.voltage.at(now_s), decimals)
        apparent = abs(power) / factor
        return {
            "Power": power,
            "ApparentPower": round(apparent, decimals),
            "ReactivePower": round(math.sqrt(apparent**2 - power**2), decimals),
            # The firmware shows the direction of a power in its factor too.
            "Factor": math.copysign(factor, power) if power else 0.0,
            "Voltage": voltage,
            "Current": round(apparent / voltage, 3),
        }


@frozen
class Plug:
    """A plug that meters what is plugged in: one channel, all values scalars."""

    circuit: Phase

    def sensor(self, now_s: float, period_s: float | None) -> Sensors:
        """Return the content of SENSOR; see ``device.Content``."""
        counter = self.circuit.counter
        energy: Sensors = {"TotalStartTime": _ORIGIN, **_counters(counter, now_s)}
        if period_s is not None:
            energy["Period"] = counter.period(now_s, period_s)
        return {"ENERGY": {**energy, **self.circuit.values(now_s)}}

    def energy_total(self, now_s: float) -> Sensors:
        """Return the answer to EnergyTotal: scalars."""
        return _counters(self.circuit.counter, now_s)


@frozen
class TwoChannels:
    """Two relays with a meter each behind one supply, SetOption129 off: counters are the sum."""

    circuits: tuple[Phase, Phase]
    frequency: Wave
    chip: Wave

    def sensor(self, now_s: float, period_s: float | None) -> Sensors:
        """Return the content of SENSOR; see ``device.Content``."""
        counters = [circuit.counter for circuit in self.circuits]
        each = [_counters(counter, now_s) for counter in counters]
        energy: Sensors = {
            "TotalStartTime": _ORIGIN,
            **{key: round(sum(counter[key] for counter in each), 3) for key in each[0]},
        }
        if period_s is not None:
            energy["Period"] = [counter.period(now_s, period_s) for counter in counters]
        values = _arrays([circuit.values(now_s) for circuit in self.circuits])
        shared = {
            "Frequency": round(self.frequency.at(now_s)),
            "Voltage": values.pop("Voltage")[0],
            "Current": values.pop("Current"),
        }
        return {
            "ANALOG": {"Temperature": round(self.chip.at(now_s), 1)},
            "ENERGY": {**energy, **values, **shared},
        }

    def energy_total(self, now_s: float) -> Sensors:
        """Return the answer to EnergyTotal: an array, a number a channel."""
        return _arrays([_counters(circuit.counter, now_s) for circuit in self.circuits])


@frozen
class ThreePhases:
    """A meter in the fuse box, SetOption129 on: counters are arrays; solar power on one phase.

    Attributes:
        circuits: the phases.
        solar: the power of the phase that both draws and feeds.
        frequency: shared by the phases, yet written once for each.
    """

    circuits: tuple[Phase, Phase, Phase]
    solar: Swing
    frequency: Wave

    def sensor(self, now_s: float, period_s: float | None) -> Sensors:
        """Return the content of SENSOR; see ``device.Content``."""
        counters = [circuit.counter for circuit in self.circuits]
        exported = self._exported()
        energy: Sensors = {
            "TotalStartTime": _ORIGIN,
            **self.energy_total(now_s),
            "TodaySumImport": round(sum(counter.today(now_s) for counter in counters), 3),
            "TodaySumExport": round(sum(counter.today(now_s) for counter in exported), 3),
        }
        # It stands behind the sums.
        energy["ExportActive"] = energy.pop("ExportActive")
        if period_s is not None:
            energy["Period"] = [counter.period(now_s, period_s) for counter in counters]
        values = _arrays([circuit.values(now_s, 1) for circuit in self.circuits])
        shared = {
            "Frequency": [round(self.frequency.at(now_s), 1)] * len(self.circuits),
            "Voltage": values.pop("Voltage"),
            "Current": values.pop("Current"),
        }
        return {"ENERGY": {**energy, **values, **shared}}

    def energy_total(self, now_s: float) -> Sensors:
        """Return the answer to EnergyTotal: arrays, those of the export too."""
        exported = [round(counter.total(now_s), 3) for counter in self._exported()]
        each = [_counters(circuit.counter, now_s) for circuit in self.circuits]
        return {**_arrays(each), "ExportActive": exported}

    def _exported(self) -> list[Counter]:
        return [
            Counter(self.solar.fed if circuit.power is self.solar else _nothing)
            for circuit in self.circuits
        ]


@frozen
class SmartMeter:
    """The utility's meter, read through its optical port by a script of the user (SML).

    Attributes:
        power: over all phases.
        ripples: what the first two phases differ from a third of it.
        server_id: of the meter.
    """

    power: Swing
    ripples: tuple[Wave, Wave]
    start_kwh: tuple[float, float]
    server_id: str

    def sensor(self, now_s: float, period_s: float | None) -> Sensors:
        """Return the content of SENSOR; see ``device.Content``. The keys are the script's."""
        del period_s
        drawn, fed = (
            Counter(integral, start_kwh).total(now_s)
            for integral, start_kwh in zip(
                (self.power.drawn, self.power.fed), self.start_kwh, strict=True
            )
        )
        power = round(self.power.at(now_s), 2)
        phases = [round(power / 3 + ripple.at(now_s), 2) for ripple in self.ripples]
        return {
            "MT175": {
                "E_in": round(drawn, 4),
                "E_out": round(fed, 4),
                "P": power,
                "L1": phases[0],
                "L2": phases[1],
                "L3": round(power - sum(phases), 2),
                "Server_ID": self.server_id,
            }
        }

    def energy_total(self, now_s: float) -> Sensors:
        """Return nothing: a script's values are not those of the firmware's energy driver."""
        del now_s
        return {}


def _counters(counter: Counter, now_s: float) -> dict[str, float]:
    return {
        "Total": round(counter.total(now_s), 3),
        "Yesterday": round(counter.yesterday(now_s), 3),
        "Today": round(counter.today(now_s), 3),
    }


def _arrays(channels: list[dict[str, float]]) -> dict[str, Any]:
    return {key: [channel[key] for channel in channels] for key in channels[0]}


def _nothing(start_s: float, end_s: float) -> float:
    del start_s, end_s
    return 0.0
