"""A simulated DTU with three inverters: its messages in the shapes of OpenDTU's socket; pure.

As today's firmware it sends a message about each inverter that was heard since it looked last, and
about each at least every ten seconds. The sun of the demo never sets, but one inverter is out of
reach now and then.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from attrs import frozen

from metrics_agent.demo.curves import Counter, Curve, switched, wave

__all__ = ["HEARD_EVERY_S", "Dtu", "SimulatedInverter"]

HEARD_EVERY_S: Final = 5.0
"""How often an inverter answers its DTU."""

_REPEAT_AFTER_S: Final = 10.0
_RATED_W: Final = 420
_EFFICIENCY: Final = 0.95
_PANEL_V: Final = 33.5
_BATTERY_V: Final = 52.9

_INVERTERS: Final = (
    ("114182ab0001", "Garage", ("East", "West"), 200),
    ("116182ab0002", "House", ("A", "B", "C", "D"), 200),
    ("112182ab0003", "Garden shed", ("",), 150),
)
"""Serial number, name, names of the panels, and how many of 200 seconds it is in reach."""

Json = dict[str, Any]


@frozen
class SimulatedInverter:
    """An inverter; its strings are the counters of their power, by the names of the panels."""

    order: int
    serial: str
    name: str
    strings: dict[str, Counter]
    in_reach: Curve
    grid_v: Curve
    chip: Curve

    def heard_at(self, now_s: float) -> float:
        """Return when it was last heard."""
        heard_s = now_s - (now_s + self.order) % HEARD_EVERY_S
        while not self.in_reach.at(heard_s):
            heard_s -= HEARD_EVERY_S
        return heard_s

    def total(self, heard_s: float) -> Json:
        """Return what it fed in, at the time it was heard."""
        strings = self.strings.values()
        return {
            "Power": _leaf(_EFFICIENCY * sum(each.power.at(heard_s) for each in strings), "W", 1),
            "YieldDay": _leaf(sum(each.today(heard_s) for each in strings) * 1000, "Wh", 0),
            "YieldTotal": _leaf(sum(each.total(heard_s) for each in strings), "kWh", 3),
        }

    def message(self, now_s: float) -> Json:
        """Return what the DTU says of it, by the firmware's keys."""
        heard_s = self.heard_at(now_s)
        voltage, total = self.grid_v.at(heard_s), self.total(heard_s)
        power = total["Power"]["v"]
        count = int(heard_s % 86_400 / HEARD_EVERY_S)
        output = {
            "Power": _leaf(power, "W", 1),
            "Voltage": _leaf(voltage, "V", 1),
            "Current": _leaf(power / voltage, "A", 2),
            "Frequency": _leaf(50.01, "Hz", 2),
            "PowerFactor": _leaf(0.999, "", 3),
            "ReactivePower": _leaf(-0.4, "var", 1),
        }
        itself = {
            "Power DC": _leaf(power / _EFFICIENCY, "W", 1),
            "YieldDay": total["YieldDay"],
            "YieldTotal": total["YieldTotal"],
            "Temperature": _leaf(self.chip.at(heard_s), "°C", 1),
            "Efficiency": _leaf(100 * _EFFICIENCY, "%", 3),
        }
        return {
            "serial": self.serial,
            "name": self.name,
            "order": self.order,
            "data_age": int(now_s - heard_s),
            "data_age_ms": int((now_s - heard_s) * 1000),
            "poll_enabled": True,
            "reachable": bool(self.in_reach.at(now_s)),
            "producing": True,
            "limit_relative": 100,
            "limit_absolute": _RATED_W * len(self.strings),
            "radio_stats": {
                "tx_request": count + count // 50,
                "tx_re_request": count // 30,
                "rx_success": count,
                "rx_fail_nothing": count // 60,
                "rx_fail_partial": count // 300,
                "rx_fail_corrupt": count // 900,
                "rssi": -30,
            },
            "AC": {"0": output},
            "DC": {
                str(index): _string(name, counter, heard_s)
                for index, (name, counter) in enumerate(self.strings.items())
            },
            "INV": {"0": itself},
            "events": 1,
        }


class Dtu:
    """The DTU, its inverters, the battery in the cellar and the meter; the same each time."""

    def __init__(self) -> None:
        random = Random(20240219)  # noqa: S311 - a demo
        self.inverters = [
            SimulatedInverter(
                order,
                serial,
                name,
                {panel: Counter(wave(random, 235, 145), 400.0) for panel in panels},
                in_reach=switched(1.0, 0.0, reach_s, 200),
                grid_v=wave(random, 231, 2.5),
                chip=wave(random, 34, 6),
            )
            for order, (serial, name, panels, reach_s) in enumerate(_INVERTERS)
        ]
        self._battery = wave(random, -120, 400)
        self._meter = wave(random, 60, 300)
        self._sent: dict[str, tuple[float, float]] = {}
        self._parts_s = 0.0

    def messages(self, now_s: float) -> Iterator[str]:
        """Yield the messages that are due; to be called once a second."""
        if now_s - self._parts_s >= _REPEAT_AFTER_S:
            self._parts_s = now_s
            yield self._parts(now_s)
        for inverter in self.inverters:
            heard_s = inverter.heard_at(now_s)
            before_s, sent_s = self._sent.get(inverter.serial, (0.0, 0.0))
            if heard_s > before_s or now_s - sent_s >= _REPEAT_AFTER_S:
                self._sent[inverter.serial] = (heard_s, now_s)
                yield self.frame(inverter, now_s)

    def frame(self, inverter: SimulatedInverter, now_s: float) -> str:
        """Return the message about one inverter, with the total of all."""
        each = [every.total(every.heard_at(now_s)) for every in self.inverters]
        total = {
            key: _leaf(sum(one[key]["v"] for one in each), leaf["u"], leaf["d"])
            for key, leaf in each[0].items()
        }
        return json.dumps({"inverters": [inverter.message(now_s)], "total": total, "hints": {}})

    def _parts(self, now_s: float) -> str:
        power = self._battery.at(now_s)
        battery = {
            "enabled": True,
            "soc": _leaf(71, "%", 0),
            "voltage": _leaf(_BATTERY_V, "V", 2),
            "current": _leaf(power / _BATTERY_V, "A", 1),
            "power": _leaf(power, "W", 1),
        }
        meter = {"enabled": True, "Power": _leaf(self._meter.at(now_s), "W", 1)}
        return json.dumps({"battery": battery, "power_meter": meter})


def _string(name: str, counter: Counter, heard_s: float) -> Json:
    power = counter.power.at(heard_s)
    return {
        "name": {"u": name},
        "Power": _leaf(power, "W", 1),
        "Voltage": _leaf(_PANEL_V, "V", 1),
        "Current": _leaf(power / _PANEL_V, "A", 2),
        "YieldDay": _leaf(counter.today(heard_s) * 1000, "Wh", 0),
        "YieldTotal": _leaf(counter.total(heard_s), "kWh", 3),
        "Irradiation": {**_leaf(100 * power / _RATED_W, "%", 3), "max": _RATED_W},
    }


def _leaf(value: float, unit: str, digits: int) -> Json:
    """Make a value: a float32 printed as it is, as the firmware does."""
    (single,) = struct.unpack("f", struct.pack("f", round(value, digits)))
    return {"v": float(f"{single:.10g}"), "u": unit, "d": digits}
