"""Two devices that announce themselves to Home Assistant, in the shapes of their publishers; pure.

A sensor on a battery as Zigbee2MQTT 2.12 announces it: one JSON document for all values. A node as
ESPHome 2026.10 announces it: a topic for each value. The node is out of reach now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

from attrs import define, field, frozen

from metrics_agent.demo.curves import Counter, Curve, switched, wave
from metrics_agent.demo.sent import Sent, to_json

__all__ = ["REPORT_EVERY", "EspHomeNode", "Value", "ZigbeeSensor", "make_announced"]

REPORT_EVERY: Final = 3
"""How many intervals the sensor on a battery has from one report to the next."""

_PREFIX: Final = "homeassistant"
_BRIDGE: Final = "zigbee2mqtt/bridge/state"
_ONLINE: Final = to_json({"state": "online"})

Json = dict[str, Any]


@frozen
class Value:
    """A value of a device.

    Attributes:
        id: of its entity.
        device_class: of it.
        unit: of it; empty for a binary sensor.
        at: returns it at a time.
        digits: behind the point.
        state_class: of it.
    """

    id: str
    device_class: str
    unit: str
    at: Callable[[float], float]
    digits: int = 0
    state_class: str = "measurement"

    @property
    def component(self) -> str:
        """The component that it is announced as."""
        return "sensor" if self.unit else "binary_sensor"


@frozen
class ZigbeeSensor:
    """A sensor behind Zigbee2MQTT.

    Attributes:
        address: of its radio.
        name: the friendly name.
        values: what it measures.
    """

    address: str
    name: str
    values: tuple[Value, ...]

    def due(self, interval: int, now_s: float) -> Iterator[Sent]:
        """Yield what is sent about it at an interval: 0 is the first."""
        if interval == 0:
            yield Sent(_BRIDGE, _ONLINE, retain=True)
            yield from map(self._announcement, self.values)
            yield Sent(f"{self._topic}/availability", _ONLINE, retain=True)
        if interval % REPORT_EVERY == 0:
            values = {each.id: round(each.at(now_s), each.digits) for each in self.values}
            yield Sent(self._topic, to_json(values))

    @property
    def _topic(self) -> str:
        return f"zigbee2mqtt/{self.name}"

    def _announcement(self, value: Value) -> Sent:
        template = "{{ value_json.state }}"
        object_id = f"{self.name.lower()}_{value.id}"
        config = {
            "availability": [
                {"topic": topic, "value_template": template}
                for topic in (_BRIDGE, f"{self._topic}/availability")
            ],
            "availability_mode": "all",
            "default_entity_id": f"sensor.{object_id}",
            "device": {
                "identifiers": [f"zigbee2mqtt_{self.address}"],
                "manufacturer": "Aqara",
                "model": "Temperature and humidity sensor",
                "model_id": "WSDCGQ11LM",
                "name": self.name,
                "via_device": "zigbee2mqtt_bridge_0x00124b0000000001",
            },
            "device_class": value.device_class,
            "enabled_by_default": True,
            "object_id": object_id,
            "origin": {
                "name": "Zigbee2MQTT",
                "sw": "2.12.1",
                "url": "https://www.zigbee2mqtt.io",
            },
            "state_class": value.state_class,
            "state_topic": self._topic,
            "unique_id": f"{self.address}_{value.id}_zigbee2mqtt",
            "unit_of_measurement": value.unit,
            "value_template": f'{{{{ value_json["{value.id}"] }}}}',
        }
        topic = f"{_PREFIX}/{value.component}/{self.address}/{value.id}/config"
        return Sent(topic, to_json(config), retain=True)


@define
class EspHomeNode:
    """A node with ESPHome.

    Attributes:
        name: of the node, and its topics' prefix.
        mac: 12 lower-case hexadecimal digits.
        values: what it measures.
        in_reach: 1 while its radio reaches the network, else 0.
    """

    name: str
    mac: str
    values: tuple[Value, ...]
    in_reach: Curve
    _was_in_reach: bool = field(default=False, init=False)

    def due(self, interval: int, now_s: float) -> Iterator[Sent]:
        """Yield what it or, once it is out of reach, the broker sends; call it at each interval."""
        in_reach = bool(self.in_reach.at(now_s))
        if in_reach is not self._was_in_reach or interval == 0:
            self._was_in_reach = in_reach
            yield Sent(self._status, b"online" if in_reach else b"offline", retain=True)
            # It announces itself at each connection.
            yield from map(self._announcement, self.values if in_reach or interval == 0 else ())
        if in_reach:
            for each in self.values:
                shown = each.at(now_s)
                text = f"{shown:.{each.digits}f}" if each.unit else "ON" if shown else "OFF"
                yield Sent(self._topic(each), text.encode(), retain=True)

    @property
    def _status(self) -> str:
        return f"{self.name}/status"

    def _topic(self, value: Value) -> str:
        return f"{self.name}/{value.component}/{value.id}/state"

    def _announcement(self, value: Value) -> Sent:
        config = {
            "dev_cla": value.device_class,
            **({"unit_of_meas": value.unit, "stat_cla": value.state_class} if value.unit else {}),
            "name": value.id.replace("_", " ").capitalize(),
            "stat_t": self._topic(value),
            "avty_t": self._status,
            "uniq_id": f"ESP{value.component}{value.id}",
            "dev": {
                "ids": self.mac,
                "name": self.name,
                "sw": "2026.10.0",
                "mdl": "esp32dev",
                "mf": "Espressif",
                "cns": [["mac", self.mac]],
            },
        }
        topic = f"{_PREFIX}/{value.component}/{self.name}/{value.id}/config"
        return Sent(topic, to_json(config), retain=True)


def make_announced() -> tuple[ZigbeeSensor | EspHomeNode, ...]:
    """Make the devices: the sensor in the bathroom, and the node at the heat pump."""
    random = Random(2019)  # noqa: S311 - a demo

    def around(mean: float, amplitude: float) -> Callable[[float], float]:
        return wave(random, mean, amplitude).at

    sensor = ZigbeeSensor(
        "0x00158d0000000001",
        "Bathroom",
        (
            Value("temperature", "temperature", "°C", around(22.5, 1.5), 2),
            Value("humidity", "humidity", "%", around(61, 14), 2),
            Value("pressure", "atmospheric_pressure", "hPa", around(1009, 6), 1),
            Value("battery", "battery", "%", around(91, 1)),
            Value("voltage", "voltage", "mV", around(2985, 20)),
        ),
    )
    runs, power = (
        switched(on=on, off=off, on_s=40, period_s=90) for on, off in ((1, 0), (1850, 12))
    )
    node = EspHomeNode(
        "heat-pump",
        "a4cf12000001",
        (
            Value("flow_temperature", "temperature", "°C", around(38, 4), 1),
            Value("return_temperature", "temperature", "°C", around(31, 3), 1),
            Value("power", "power", "W", power.at, 1),
            Value("energy", "energy", "kWh", Counter(power, 812.4).total, 3, "total_increasing"),
            Value("compressor", "running", "", runs.at),
            Value("wifi_signal", "signal_strength", "dBm", around(-66, 5)),
        ),
        in_reach=switched(on=1, off=0, on_s=70, period_s=80),
    )
    return sensor, node
