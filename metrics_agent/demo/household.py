"""The six devices of the demo: who they are, and what they measure."""

from __future__ import annotations

from random import Random
from typing import Final

from metrics_agent.demo.climate import Air, Cistern, Greenhouse
from metrics_agent.demo.device import Device
from metrics_agent.demo.energy import (
    Counter,
    Phase,
    Plug,
    SmartMeter,
    ThreePhases,
    TwoChannels,
)
from metrics_agent.demo.waves import Swing, Switched, Wave, make_wave

__all__ = ["SEED", "make_household"]

SEED: Final = 2017

_DAY_S: Final = 24 * 60 * 60


def make_household(started_s: float, seed: int = SEED) -> tuple[Device, ...]:
    """Make the devices.

    Args:
        started_s: when the simulation began, seconds since the epoch; the devices were booted some
            days before.
        seed: the same seed gives the same devices and values.

    Returns:
        A single plug, a plug with two channels, a three-phase meter that feeds in, a greenhouse
        full of sensors, a smart meter, and a sensor that sleeps most of the time.
    """
    maker = _Maker(Random(seed), started_s)  # noqa: S311 - plausible values, no secrets
    return (
        maker.plug(),
        maker.two_channels(),
        maker.three_phases(),
        maker.greenhouse(),
        maker.smart_meter(),
        maker.cistern(),
    )


class _Maker:
    """Makes devices that share a power line, and draws their numbers from one generator."""

    def __init__(self, random: Random, started_s: float) -> None:
        self._random = random
        self._started_s = started_s
        self._voltage = self._wave(230, 3)
        self._frequency = self._wave(50, 0.06)

    def plug(self) -> Device:
        """A fridge: its compressor runs for a part of each period."""
        fridge = Switched(on=86, off=1.4, on_s=24, period_s=60, phase_s=self._random.uniform(0, 60))
        circuit = Phase.of(fridge, self._voltage, self._wave(0.82, 0.03), start_kwh=112.5)
        return Device(
            mac="02DE400A0E01",
            module="Sonoff Pow R2",
            name="Fridge",
            friendly_names=("Fridge",),
            content=Plug(circuit),
            relays=1,
            signal=self._wave(-58, 4),
            started_s=self._started_s - 41.3 * _DAY_S,
        )

    def two_channels(self) -> Device:
        """A washing machine that heats now and then, and a dryer."""
        washer = Switched(on=1960, off=145, on_s=20, period_s=150)
        return Device(
            mac="02DE400A0E02",
            module="Shelly 2.5",
            name="Laundry",
            friendly_names=("Washing machine", "Dryer"),
            content=TwoChannels(
                (
                    Phase.of(washer, self._voltage, self._wave(0.95, 0.03), start_kwh=640.25),
                    Phase.of(self._wave(620, 180), self._voltage, self._wave(0.9, 0.04)),
                ),
                self._frequency,
                chip=self._wave(57, 4),
            ),
            relays=2,
            signal=self._wave(-67, 3),
            started_s=self._started_s - 12.1 * _DAY_S,
        )

    def three_phases(self) -> Device:
        """The meter in the fuse box; a cloud passes over the solar panels every three minutes."""
        solar = Swing(mean=-210, amplitude=480, period_s=180, phase_s=self._random.uniform(0, 180))
        voltages = [self._wave(230, 3) for _ in range(3)]
        factors = [self._wave(0.9, 0.06) for _ in range(3)]
        return Device(
            mac="02DE400A0E03",
            module="Shelly Pro 3EM",
            name="House",
            friendly_names=("House",),
            content=ThreePhases(
                (
                    Phase.of(self._wave(240, 90), voltages[0], factors[0]),
                    Phase(solar, voltages[1], factors[1], Counter(solar.drawn, 96.1)),
                    Phase.of(self._wave(115, 60), voltages[2], factors[2]),
                ),
                solar,
                self._frequency,
            ),
            full_topic="%topic%/%prefix%/",
            utc=True,
            signal=self._wave(-61, 2),
            started_s=self._started_s - 97.6 * _DAY_S,
        )

    def greenhouse(self) -> Device:
        """All kinds of sensors."""
        return Device(
            mac="02DE400A0E04",
            module="ESP32-DevKit",
            name="Greenhouse",
            friendly_names=("Greenhouse",),
            content=Greenhouse(
                Air(self._wave(24, 3), self._wave(62, 9)),
                pressure=self._wave(1009, 6),
                water=(
                    ("0316A279C1FF", self._wave(19, 1.2)),
                    ("0316A2790A12", self._wave(33, 2.5)),
                ),
                co2=self._wave(640, 180),
                dust=self._wave(7, 4),
                light=self._wave(5200, 3900),
                door=Switched(on=1, off=0, on_s=15, period_s=50),
            ),
            switches=1,
            signal=self._wave(-74, 5),
            started_s=self._started_s - 3.2 * _DAY_S,
        )

    def smart_meter(self) -> Device:
        """The utility's meter."""
        power = Swing(mean=120, amplitude=640, period_s=240, phase_s=self._random.uniform(0, 240))
        return Device(
            mac="02DE400A0E05",
            module="Generic",
            name="Electricity meter",
            friendly_names=("Electricity meter",),
            content=SmartMeter(
                power,
                (self._wave(60, 40), self._wave(-35, 30)),
                start_kwh=(4210.7, 318.2),
                server_id="0a01495341001122aabb",
            ),
            signal=self._wave(-79, 3),
            started_s=self._started_s - 208.4 * _DAY_S,
        )

    def cistern(self) -> Device:
        """A sensor on a battery."""
        return Device(
            mac="02DE400A0E06",
            module="WeMos D1 mini",
            name="Cistern",
            friendly_names=("Cistern",),
            content=Cistern(Air(self._wave(14, 3), self._wave(78, 8)), self._wave(84, 11)),
            signal=self._wave(-83, 3),
            battery=self._wave(71, 2),
            started_s=self._started_s,
        )

    def _wave(self, mean: float, swing: float) -> Wave:
        return make_wave(self._random, mean, swing)
