"""What announces itself to Home Assistant, at a real broker, and what the agent makes of it."""

from __future__ import annotations

import json
from typing import Any

from line_protocol_parser import parse_line

from tests.integration.broker import Mosquitto, with_both_mosquittos
from tests.integration.case import CLIENT_ID, AgentCase
from tests.integration.mqtt_agent import publish
from tests.integration.watching import until

BRIDGE = {"t": "zigbee2mqtt/bridge/state", "val_tpl": "{{ value_json.state }}"}


def sensor(name: str, device_class: str, unit: str, **more: Any) -> tuple[str, bytes]:
    """Return topic and payload of an announcement as Zigbee2MQTT makes it."""
    config = {
        "uniq_id": f"0x01_{name}",
        "stat_t": "zigbee2mqtt/room",
        "val_tpl": f"{{{{ value_json.{name} }}}}",
        "dev_cla": device_class,
        "unit_of_meas": unit,
        "avty": [BRIDGE],
        "dev": {"ids": ["zigbee2mqtt_0x01"], "name": "Room"},
        "o": {"name": "Zigbee2MQTT"},
        **more,
    }
    return f"homeassistant/sensor/0x01/{name}/config", json.dumps(config).encode()


TEMPERATURE = sensor("temperature", "temperature", "°C")
# More than a path: needs Jinja2.
PRESSURE = sensor(
    "pressure", "atmospheric_pressure", "hPa", val_tpl="{{ value_json.pressure * 10 }}"
)

KEPT = 30
"""More than a broker sends before it waits for acknowledgements."""


@with_both_mosquittos
class HadiscoveryTests(AgentCase):
    """Announcements, values and restarts."""

    timeout = 120

    async def begin(self, broker: Mosquitto) -> Any:
        """Start an agent at a broker."""
        self.configure(
            f'[modules.hadiscovery]\nenabled = true\nbroker = "{broker.url}"\n'
            f'client_id = "{CLIENT_ID}"\n'
        )
        parent = await self.start(restart_delay_s=0.1)
        await self.connected(parent)
        return parent

    async def connected(self, parent: Any, times: int = 1) -> None:
        """Wait until the connection was made so many times."""

        def count() -> int:
            return sum("onnected to" in said.text for said in parent.log)

        await until(lambda: count() >= times, lambda: str(parent.log))

    def points(self, parent: Any) -> list[tuple[str, dict[str, Any]]]:
        """Return measurement and fields of each line."""
        found = [parse_line(line) for line in parent.lines()]
        return [(each["measurement"], each["fields"]) for each in found]

    async def wait_for(self, parent: Any, fields: dict[str, Any]) -> None:
        """Wait for a line with these fields."""
        await until(
            lambda: any(fields == found for _, found in self.points(parent)),
            lambda: f"{fields} among {self.points(parent)}, {parent.log}",
        )

    async def test_a_device_announces_itself_sends_changes_and_goes(self) -> None:
        """Its names come before its values; what is stored at the broker is old."""
        broker = Mosquitto.start(self)
        for topic, payload in (TEMPERATURE, PRESSURE):
            await publish(broker, topic, payload, "-r")
        await publish(broker, BRIDGE["t"], b'{"state":"online"}', "-r")
        await publish(broker, "zigbee2mqtt/room", b'{"temperature":1,"pressure":1}', "-r")
        parent = await self.begin(broker)
        await self.wait_for(parent, {"online": True})
        await publish(broker, "zigbee2mqtt/room", b'{"temperature":20.5,"pressure":101.3}')
        await self.wait_for(parent, {"temperature": 20.5, "pressure": 1013.0})
        self.assertNotIn(("climate", {"temperature": 1.0, "pressure": 10.0}), self.points(parent))
        # Renamed: topics change while it runs.
        for topic, payload in (TEMPERATURE, PRESSURE):
            await publish(
                broker, topic, payload.replace(b"zigbee2mqtt/room", b"zigbee2mqtt/cellar")
            )
        for number in range(50):
            await publish(broker, "zigbee2mqtt/cellar", b'{"temperature":%d}' % number)
            if ("climate", {"temperature": float(number)}) in self.points(parent):
                break
        await self.wait_for(parent, {"temperature": float(number)})
        self.assert_valid(parent)

    async def test_announcements_are_known_after_a_restart(self) -> None:
        """Also those that the broker does not have."""
        broker = Mosquitto.start(self)
        parent = await self.begin(broker)
        await publish(broker, *TEMPERATURE)
        await publish(broker, BRIDGE["t"], b'{"state":"online"}', "-r")
        await self.said(parent, "Discovered entity")
        await parent.stop()
        parent.start()
        await self.connected(parent, times=2)
        for number in range(50):
            await publish(broker, "zigbee2mqtt/room", b'{"temperature":%d}' % number)
            if ("climate", {"temperature": float(number)}) in self.points(parent):
                break
        await self.wait_for(parent, {"temperature": float(number)})

    async def test_values_that_the_broker_kept_while_the_agent_was_away(self) -> None:
        """All of them count, also of a device that went meanwhile."""
        broker = Mosquitto.start(self)
        await publish(broker, *TEMPERATURE, "-r")
        await publish(broker, BRIDGE["t"], b'{"state":"online"}', "-r")
        parent = await self.begin(broker)
        await self.wait_for(parent, {"online": True})
        await parent.stop()
        sent = [float(number) for number in range(KEPT)]
        for number in sent:
            await publish(broker, "zigbee2mqtt/room", b'{"temperature":%d}' % number, "-q", "1")
        await publish(broker, BRIDGE["t"], b'{"state":"offline"}', "-r", "-q", "1")
        parent.start()
        await self.wait_for(parent, {"online": False})
        found = [
            fields["temperature"] for _, fields in self.points(parent) if "temperature" in fields
        ]
        self.assertEqual(found, sent)
