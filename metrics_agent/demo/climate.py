"""What the sensors among the simulated devices measure, in the firmware's shapes."""

from __future__ import annotations

import math
from typing import Any, Final

from attrs import frozen

from metrics_agent.demo.waves import Switched, Wave

__all__ = ["Air", "Cistern", "Greenhouse", "dew_point"]

Sensors = dict[str, Any]

_MMHG_PER_HPA: Final = 0.750_062

# Magnus' formula over water.
_MAGNUS_FACTOR: Final = 17.62
_MAGNUS_C: Final = 243.12


def dew_point(celsius: float, humidity: float) -> float:
    """Return the dew point in degrees Celsius of air with that relative humidity in percent."""
    gamma = math.log(humidity / 100) + _MAGNUS_FACTOR * celsius / (_MAGNUS_C + celsius)
    return _MAGNUS_C * gamma / (_MAGNUS_FACTOR - gamma)


@frozen
class Air:
    """Air as a sensor sees it.

    Attributes:
        celsius: temperature.
        humidity: relative, in percent.
    """

    celsius: Wave
    humidity: Wave

    def values(self, now_s: float, *, fahrenheit: bool = False) -> Sensors:
        """Return temperature, humidity and dew point, by the firmware's names."""
        celsius, humidity = self.celsius.at(now_s), self.humidity.at(now_s)
        degrees = [celsius, dew_point(celsius, humidity)]
        if fahrenheit:
            degrees = [degree * 1.8 + 32 for degree in degrees]
        return {
            "Temperature": round(degrees[0], 1),
            "Humidity": round(humidity, 1),
            "DewPoint": round(degrees[1], 1),
        }


@frozen
class Greenhouse:
    """Many sensors on one device that is set to Fahrenheit and mmHg, one of them broken.

    Attributes:
        air: of the BME280 and, a little off, of the SCD40.
        pressure: in hPa.
        water: temperatures in degrees Celsius of the two DS18B20, by their addresses.
        co2: in ppm.
        dust: PM2.5 in ug/m3; the other sizes follow it.
        light: in lx.
        door: a contact at an input.
    """

    air: Air
    pressure: Wave
    water: tuple[tuple[str, Wave], ...]
    co2: Wave
    dust: Wave
    light: Wave
    door: Switched

    def sensor(self, now_s: float, period_s: float | None) -> Sensors:
        """Return the content of SENSOR; see ``device.Content``."""
        del period_s
        air = self.air.values(now_s, fahrenheit=True)
        co2 = round(self.co2.at(now_s))
        dust = self.dust.at(now_s)
        return {
            "Switch1": "ON" if self.door.is_on(now_s) else "OFF",
            # What the firmware writes once eight readings in a row have failed.
            "AM2301-05": {"Temperature": None, "Humidity": None, "DewPoint": None},
            **{
                f"DS18B20-{number}": {
                    "Id": address,
                    "Temperature": round(wave.at(now_s) * 1.8 + 32, 1),
                }
                for number, (address, wave) in enumerate(self.water, 1)
            },
            "BME280": {**air, "Pressure": round(self.pressure.at(now_s) * _MMHG_PER_HPA, 1)},
            "SCD40": {"CarbonDioxide": co2, "eCO2": co2, **air},
            "BH1750": {"Illuminance": round(self.light.at(now_s))},
            "PMS5003": {
                "CF1": round(dust * 0.6),
                "CF2.5": round(dust),
                "CF10": round(dust * 1.2),
                "PM1": round(dust * 0.6),
                "PM2.5": round(dust),
                "PM10": round(dust * 1.2),
                "PB0.3": round(dust * 160),
                "PB0.5": round(dust * 45),
                "PB1": round(dust * 7),
                "PB2.5": round(dust * 0.8),
                "PB5": round(dust * 0.2),
                "PB10": 0,
            },
            "PressureUnit": "mmHg",
            "TempUnit": "F",
        }

    def energy_total(self, now_s: float) -> Sensors:
        """Return nothing: there is no meter."""
        del now_s
        return {}


@frozen
class Cistern:
    """A battery's worth of sensors: the air, and the distance down to the water in cm."""

    air: Air
    distance: Wave

    def sensor(self, now_s: float, period_s: float | None) -> Sensors:
        """Return the content of SENSOR; see ``device.Content``."""
        del period_s
        return {
            "SHT3X": self.air.values(now_s),
            "SR04": {"Distance": round(self.distance.at(now_s), 1)},
            "TempUnit": "C",
        }

    def energy_total(self, now_s: float) -> Sensors:
        """Return nothing: there is no meter."""
        del now_s
        return {}
