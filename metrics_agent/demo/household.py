"""The six Tasmota devices of the demo: who they are, and what they measure."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any, Final

from metrics_agent.demo.curves import Counter, Curve, swing, switched, wave
from metrics_agent.demo.energy import Circuit, Meter
from metrics_agent.demo.tasmota import SimulatedDevice

__all__ = ["make_household"]

Json = dict[str, Any]
Sensor = Callable[[float], Json]
Around = Callable[[float, float], Curve]

_DAY_S: Final = 24 * 60 * 60
_MMHG_PER_HPA: Final = 0.750_062

# What a PMS5003 says, by the mass of PM2.5.
_DUST: Final = {
    **dict(zip(("CF1", "CF2.5", "CF10", "PM1", "PM2.5", "PM10"), (0.6, 1, 1.2) * 2, strict=True)),
    **{"PB0.3": 160, "PB0.5": 45, "PB1": 7, "PB2.5": 0.8, "PB5": 0.2, "PB10": 0},  # noqa: PIE800
}

# Magnus' formula over water.
_MAGNUS_FACTOR: Final = 17.62
_MAGNUS_C: Final = 243.12


def make_household(started_s: float, seed: int = 2017) -> tuple[SimulatedDevice, ...]:
    """Make the devices; the same seed gives the same values, and they were booted days before.

    Returns:
        A single plug, a plug with two channels, a three-phase meter that feeds in, a greenhouse
        full of sensors, a smart meter, and a sensor that sleeps most of the time.
    """
    random = Random(seed)  # noqa: S311 - plausible values, no secrets

    def around(mean: float, amplitude: float) -> Curve:
        return wave(random, mean, amplitude)

    voltage, frequency, chip = around(230, 3), around(50, 0.06), around(57, 4)
    fridge = switched(on=86, off=1.4, on_s=24, period_s=60)
    plug = Meter((Circuit(fridge, voltage, around(0.82, 0.03), 112.5),))
    washer = switched(on=1960, off=145, on_s=20, period_s=150)
    laundry = Meter(
        (
            Circuit(washer, voltage, around(0.95, 0.03), 640.25, frequency),
            Circuit(around(620, 180), voltage, around(0.9, 0.04), 0.0, frequency),
        ),
        one_supply=True,
    )
    # A cloud passes over the solar panels on the second phase every three minutes.
    powers = (around(240, 90), swing(-210, 480, 180), around(115, 60))
    house = Meter(
        tuple(
            Circuit(power, around(230, 3), around(0.9, 0.06), start, frequency)
            for power, start in zip(powers, (0.0, 96.1, 0.0), strict=True)
        ),
        decimals=1,
        feeds=True,
    )

    def device(
        number: int, days: float, signal: float, names: tuple[str, ...], *args: Any, **more: Any
    ) -> SimulatedDevice:
        booted_s = started_s - days * _DAY_S
        return SimulatedDevice(
            f"02DE400A0E0{number}", names, around(signal, 4), booted_s, *args, **more
        )

    def laundry_sensor(now_s: float) -> Json:
        return {"ANALOG": {"Temperature": round(chip.at(now_s), 1)}, **laundry.sensor(now_s)}

    appliances = ("Washing machine", "Dryer")
    topic = "%topic%/%prefix%/"
    return (
        device(1, 41.3, -58, ("Fridge",), plug.sensor, plug.energy_total, relays=1),
        device(2, 12.1, -67, appliances, laundry_sensor, laundry.energy_total, relays=2),
        device(3, 97.6, -61, ("House",), house.sensor, house.energy_total, topic, utc=True),
        device(4, 3.2, -74, ("Greenhouse",), _greenhouse(around)),
        device(5, 208.4, -79, ("Electricity meter",), _smart_meter(around)),
        device(6, 0, -83, ("Cistern",), _cistern(around), battery=around(71, 2)),
    )


def _greenhouse(around: Around) -> Sensor:
    """Many sensors on one device that is set to Fahrenheit and mmHg, one of them broken."""
    celsius, humidity, pressure = around(24, 3), around(62, 9), around(1009, 6)
    water = [
        ("DS18B20-1", "0316A279C1FF", around(19, 1.2)),
        ("DS18B20-2", "0316A2790A12", around(33, 2.5)),
    ]
    co2, dust, light = around(640, 180), around(7, 4), around(5200, 3900)
    door = switched(on=1, off=0, on_s=15, period_s=50)

    def sensor(now_s: float) -> Json:
        air = _air(celsius.at(now_s), humidity.at(now_s), fahrenheit=True)
        carbon, fine = round(co2.at(now_s)), dust.at(now_s)
        return {
            "Switch1": "ON" if door.at(now_s) else "OFF",
            # What the firmware writes once eight readings in a row have failed.
            "AM2301-05": {"Temperature": None, "Humidity": None, "DewPoint": None},
            **{
                name: {"Id": address, "Temperature": round(_fahrenheit(curve.at(now_s)), 1)}
                for name, address, curve in water
            },
            "BME280": {**air, "Pressure": round(pressure.at(now_s) * _MMHG_PER_HPA, 1)},
            "SCD40": {"CarbonDioxide": carbon, "eCO2": carbon, **air},
            "BH1750": {"Illuminance": round(light.at(now_s))},
            "PMS5003": {key: round(fine * share) for key, share in _DUST.items()},
            "PressureUnit": "mmHg",
            "TempUnit": "F",
        }

    return sensor


def _smart_meter(around: Around) -> Sensor:
    """Make the utility's meter, read through its optical port by a script of the user (SML)."""
    power = swing(mean=120, amplitude=640, period_s=240)
    drawn, fed = Counter(power.drawn, 4210.7), Counter(power.fed, 318.2)
    ripples = (around(60, 40), around(-35, 30))

    def sensor(now_s: float) -> Json:
        whole = round(power.at(now_s), 2)
        first, second = (round(whole / 3 + ripple.at(now_s), 2) for ripple in ripples)
        return {
            "MT175": {
                "E_in": round(drawn.total(now_s), 4),
                "E_out": round(fed.total(now_s), 4),
                "P": whole,
                "L1": first,
                "L2": second,
                "L3": round(whole - first - second, 2),
                "Server_ID": "0a01495341001122aabb",
            }
        }

    return sensor


def _cistern(around: Around) -> Sensor:
    """The air, and the distance down to the water in cm."""
    celsius, humidity, distance = around(14, 3), around(78, 8), around(84, 11)

    def sensor(now_s: float) -> Json:
        return {
            "SHT3X": _air(celsius.at(now_s), humidity.at(now_s)),
            "SR04": {"Distance": round(distance.at(now_s), 1)},
            "TempUnit": "C",
        }

    return sensor


def _air(celsius: float, humidity: float, *, fahrenheit: bool = False) -> Json:
    """Return temperature, relative humidity in percent and dew point, by the firmware's names."""
    gamma = math.log(humidity / 100) + _MAGNUS_FACTOR * celsius / (_MAGNUS_C + celsius)
    dew_point = _MAGNUS_C * gamma / (_MAGNUS_FACTOR - gamma)
    show = _fahrenheit if fahrenheit else float
    return {
        "Temperature": round(show(celsius), 1),
        "Humidity": round(humidity, 1),
        "DewPoint": round(show(dew_point), 1),
    }


def _fahrenheit(celsius: float) -> float:
    return celsius * 1.8 + 32
