"""Inverters on a roof as their DTU sees them, in the shapes of OpenDTU's socket.

Pure functions of time: what the panels give, what an inverter said when it was last heard, and the
messages about it. The sun of the demo never sets, but one inverter is out of reach now and then.
"""

from __future__ import annotations

import json
import struct
from random import Random
from typing import Any, Final

from attrs import frozen

from metrics_agent.demo.energy import Counter
from metrics_agent.demo.waves import Switched, Wave, make_wave

__all__ = ["HEARD_EVERY_S", "Roof", "RoofInverter", "make_roof"]

HEARD_EVERY_S: Final = 5.0
"""How often an inverter answers its DTU."""

_RATED_W: Final = 420
_EFFICIENCY: Final = 0.95
_PANEL_V: Final = 33.5
_REACH: Final = Switched(1.0, 0.0, on_s=150.0, period_s=200.0)
_ALWAYS: Final = Switched(1.0, 0.0, on_s=1.0, period_s=1.0)


@frozen
class RoofInverter:
    """An inverter.

    Attributes:
        serial: its serial number.
        name: what people call it.
        strings: names and powers in W of the panels behind each input.
        grid: the voltage of the grid.
        chip: its temperature.
        in_reach: when it answers.
        order: its place in the DTU.
        start_kwh: what each string had given at the origin of the counters.
    """

    serial: str
    name: str
    strings: tuple[tuple[str, Wave], ...]
    grid: Wave
    chip: Wave
    in_reach: Switched
    order: int
    start_kwh: float

    def heard_at(self, now_s: float) -> float:
        """Return when it was last heard."""
        heard_s = now_s - (now_s + self.order) % HEARD_EVERY_S
        while not self.in_reach.is_on(heard_s):
            heard_s -= HEARD_EVERY_S
        return heard_s

    def power(self, now_s: float) -> float:
        """Return what it feeds in, in W."""
        return _EFFICIENCY * sum(wave.at(now_s) for _name, wave in self.strings)

    def counters(self) -> list[Counter]:
        """Return the counter of each string."""
        return [Counter(wave.integral, self.start_kwh) for _name, wave in self.strings]

    def message(self, now_s: float) -> dict[str, Any]:
        """Return what the DTU says of it, by the firmware's keys."""
        heard_s = self.heard_at(now_s)
        reachable = self.in_reach.is_on(now_s)
        counters = self.counters()
        power = self.power(heard_s)
        voltage = self.grid.at(heard_s)
        dc_power = power / _EFFICIENCY
        return {
            "serial": self.serial,
            "name": self.name,
            "order": self.order,
            "data_age": int(now_s - heard_s),
            "data_age_ms": int((now_s - heard_s) * 1000),
            "poll_enabled": True,
            "reachable": reachable,
            "producing": True,
            "limit_relative": 100,
            "limit_absolute": _RATED_W * len(self.strings),
            "radio_stats": _radio(heard_s),
            "AC": {
                "0": {
                    "Power": _leaf(power, "W", 1),
                    "Voltage": _leaf(voltage, "V", 1),
                    "Current": _leaf(power / voltage, "A", 2),
                    "Frequency": _leaf(50.01, "Hz", 2),
                    "PowerFactor": _leaf(0.999, "", 3),
                    "ReactivePower": _leaf(-0.4, "var", 1),
                }
            },
            "DC": {
                str(index): {
                    "name": {"u": name},
                    "Power": _leaf(wave.at(heard_s), "W", 1),
                    "Voltage": _leaf(_PANEL_V, "V", 1),
                    "Current": _leaf(wave.at(heard_s) / _PANEL_V, "A", 2),
                    "YieldDay": _leaf(counter.today(heard_s) * 1000, "Wh", 0),
                    "YieldTotal": _leaf(counter.total(heard_s), "kWh", 3),
                    "Irradiation": {
                        **_leaf(100 * wave.at(heard_s) / _RATED_W, "%", 3),
                        "max": _RATED_W,
                    },
                }
                for index, ((name, wave), counter) in enumerate(
                    zip(self.strings, counters, strict=True)
                )
            },
            "INV": {
                "0": {
                    "Power DC": _leaf(dc_power, "W", 1),
                    "YieldDay": _leaf(
                        sum(each.today(heard_s) for each in counters) * 1000, "Wh", 0
                    ),
                    "YieldTotal": _leaf(sum(each.total(heard_s) for each in counters), "kWh", 3),
                    "Temperature": _leaf(self.chip.at(heard_s), "°C", 1),
                    "Efficiency": _leaf(100 * _EFFICIENCY, "%", 3),
                }
            },
            "events": 1,
        }


@frozen
class Roof:
    """All inverters, and the battery in the cellar.

    Attributes:
        inverters: in the order of the DTU.
        battery: its power in W, negative when it is discharged.
        grid: what is drawn from the grid in W, negative when it is fed.
    """

    inverters: tuple[RoofInverter, ...]
    battery: Wave
    grid: Wave

    def frame(self, inverter: RoofInverter, now_s: float) -> str:
        """Return the message about one inverter, with the total of all."""
        heard = [(each, each.heard_at(now_s)) for each in self.inverters]
        yields = [(counter, heard_s) for each, heard_s in heard for counter in each.counters()]
        total = {
            "Power": _leaf(sum(each.power(heard_s) for each, heard_s in heard), "W", 1),
            "YieldDay": _leaf(
                sum(counter.today(heard_s) for counter, heard_s in yields) * 1000, "Wh", 0
            ),
            "YieldTotal": _leaf(
                sum(counter.total(heard_s) for counter, heard_s in yields), "kWh", 3
            ),
        }
        return json.dumps({"inverters": [inverter.message(now_s)], "total": total, "hints": {}})

    def parts(self, now_s: float) -> str:
        """Return the message about battery and power meter."""
        power = self.battery.at(now_s)
        return json.dumps(
            {
                "battery": {
                    "enabled": True,
                    "soc": _leaf(71, "%", 0),
                    "voltage": _leaf(52.9, "V", 2),
                    "current": _leaf(power / 52.9, "A", 1),
                    "power": _leaf(power, "W", 1),
                },
                "power_meter": {"enabled": True, "Power": _leaf(self.grid.at(now_s), "W", 1)},
            }
        )


def make_roof() -> Roof:
    """Make the roof of the demo; it is the same each time."""
    random = Random(20240219)  # noqa: S311 - a demo
    inverters = []
    for order, (serial, name, strings, reach) in enumerate(
        (
            ("114182ab0001", "Garage", ("East", "West"), _ALWAYS),
            ("116182ab0002", "House", ("A", "B", "C", "D"), _ALWAYS),
            ("112182ab0003", "Garden shed", ("",), _REACH),
        )
    ):
        panels = tuple((each, make_wave(random, random.uniform(150, 320), 60)) for each in strings)
        inverters.append(
            RoofInverter(
                serial,
                name,
                panels,
                make_wave(random, 231, 2.5),
                make_wave(random, 34, 6),
                reach,
                order,
                random.uniform(100, 900),
            )
        )
    return Roof(tuple(inverters), make_wave(random, -120, 400), make_wave(random, 60, 300))


def _leaf(value: float, unit: str, digits: int) -> dict[str, Any]:
    """Make a value: a float32 printed as it is, as the firmware does."""
    rounded = round(value, digits)
    (single,) = struct.unpack("f", struct.pack("f", rounded))
    return {"v": float(f"{single:.10g}"), "u": unit, "d": digits}


def _radio(heard_s: float) -> dict[str, int]:
    count = int(heard_s % 86_400 / HEARD_EVERY_S)
    return {
        "tx_request": count + count // 50,
        "tx_re_request": count // 30,
        "rx_success": count,
        "rx_fail_nothing": count // 60,
        "rx_fail_partial": count // 300,
        "rx_fail_corrupt": count // 900,
        "rssi": -30,
    }
