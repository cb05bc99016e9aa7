"""Publishers that announce themselves to Home Assistant, and die, change or are hostile."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any, Final

from line_protocol_parser import parse_line

from metrics_agent.limits import HADISCOVERY_COMPONENTS
from tests.faults.case import GAP_LIMIT_MS
from tests.faults.outside_case import OutsideCase
from tests.faults.turns import MODULES, longest_turn_ms
from tests.integration.broker import Mosquitto
from tests.integration.case import logged
from tests.integration.load import Load, control_packet, mqtt_string
from tests.integration.watching import pause, peak_bytes, until
from tests.modules.hadiscovery.test_hostile import configs, device
from tests.modules.hadiscovery.test_service import PREFIX, sensor, topic

LIMIT_S: Final = 60.0
KEPT: Final = 30
"""More than a broker sends before it waits for acknowledgements."""
HOSTILE: Final = 10_000
RENAMES: Final = 30
RENAMES_A_SECOND: Final = 30
LONGEST_TOPIC: Final = 60_000
SHORT: Final = 3000
MOST_BYTES: Final = 128 * 1024 * 1024
"""Of the whole process; without any announcements it has some 45 MiB."""
THERE, AWAY = b"online", b"offline"
NODE = sensor(unique_id="node", availability_topic="n1/a")


class AnnouncedTests(OutsideCase):
    """Two healthy modules run beside `hadiscovery`."""

    async def begin(
        self, broker: Mosquitto, modules: Mapping[str, str] | None = None, **settings: str
    ) -> Any:
        """Start an agent with the module at a broker."""
        options = {"reconnect_min": "100ms", "reconnect_max": "300ms", **settings}
        text = "".join(f'{name} = "{value}"\n' for name, value in options.items())
        self.healthy_beside(
            f'[modules.hadiscovery]\nenabled = true\nbroker = "{broker.url}"\n'
            f'client_id = "announced"\n{text}'
            + "".join(f"[modules.{name}]\nenabled = true\n" for name in modules or ())
        )
        parent = await self.start_beside(modules=modules)
        await self.said(parent, "[mqtt:hadiscovery] Connected")
        return parent

    def values(self, parent: Any, field: str, friendly: str = "") -> list[Any]:
        """Return what was written of a field, under a name or any."""
        found = [parse_line(line) for line in parent.lines() if b"device=n1" in line]
        return [
            each["fields"][field]
            for each in found
            if field in each["fields"] and friendly in {"", each["tags"].get("friendly")}
        ]

    async def shows(self, parent: Any, field: str, value: object) -> None:
        """Wait for a value."""
        await until(
            lambda: value in self.values(parent, field),
            lambda: f"{field}={value}: {self.values(parent, field)} {logged(parent.log)[-2000:]}",
            LIMIT_S,
        )

    async def announced(self, broker: Mosquitto) -> Load:
        """Announce a node that is there; return who does."""
        load = await Load.connect(self, broker.port, devices=0, name="node")
        load.publish(topic(), NODE, retain=True)
        load.publish("n1/a", THERE, retain=True)
        await load.barrier()
        return load

    async def works(self, parent: Any, load: Load, value: float) -> None:
        """Send a value until it is there: the topic may not be subscribed to yet."""
        await self.shows(parent, "online", value=True)
        load.publish("n1/t", b"%d" % value, qos=1)
        await self.shows(parent, "temperature", value)

    async def test_announced_publisher_dies(self) -> None:
        """What it has said whole counts, its will too; it comes back as it was."""
        broker = Mosquitto.start(self)
        parent = await self.begin(broker)
        with socket.create_connection(("127.0.0.1", broker.port)) as publisher:
            will = mqtt_string("n1/a") + mqtt_string(AWAY.decode())
            connect = mqtt_string("MQTT") + b"\x04\x06\x00\x0a" + mqtt_string("p") + will
            whole = control_packet(0x31, mqtt_string(topic()) + NODE)
            half = control_packet(0x31, mqtt_string(topic("b")) + sensor(unique_id="b"))
            there = control_packet(0x31, mqtt_string("n1/a") + THERE)
            publisher.sendall(control_packet(0x10, connect) + whole + there)
            await self.shows(parent, "online", value=True)
            publisher.sendall(half[: len(half) // 2])
        since_s = time.monotonic()
        await self.shows(parent, "online", value=False)
        load = await self.announced(broker)
        await until(lambda: self.values(parent, "online")[-1] is True, "the node's return")
        await self.works(parent, load, 2.0)
        recovered_ms = (time.monotonic() - since_s) * 1000
        self.assertEqual(self.values(parent, "online"), [True, False, True])
        await self.finish("announced_publisher_dies", parent, recovered_ms=recovered_ms)

    async def test_announced_renamed_in_backlog(self) -> None:
        """The broker comes back with its sessions; a device has another name meanwhile."""
        broker = Mosquitto.start(self, persistent=True)
        load = await self.announced(broker)
        parent = await self.begin(broker, reconnect_min="2s", reconnect_max="2s")
        await self.works(parent, load, -1.0)
        broker.stop()
        await self.said(parent, "Lost the connection", "W")
        broker.start_again()
        since_s = time.monotonic()
        load = await Load.connect(self, broker.port, devices=0, name="later")
        for number in range(KEPT):
            load.publish("n1/t", b"%d" % number, qos=1)
        renamed = sensor(
            unique_id="node",
            availability_topic="n1/a",
            device={"identifiers": ["n1"], "name": "Cellar"},
        )
        load.publish(topic(), renamed, retain=True)
        for number in range(KEPT, 2 * KEPT):
            load.publish("n1/t", b"%d" % number, qos=1)
        await load.barrier()
        self.assertFalse(self.lines_with(parent, "again after"), "it was back too soon")
        await self.shows(parent, "temperature", 2 * KEPT - 1.0)
        recovered_ms = (time.monotonic() - since_s) * 1000
        self.assertEqual(
            self.values(parent, "temperature", "Cellar"), [*map(float, range(2 * KEPT))]
        )
        await self.finish(
            "announced_renamed_in_backlog", parent, down=1, up=1, recovered_ms=recovered_ms
        )

    async def test_announced_broker_empty(self) -> None:
        """The broker comes back and has forgotten all: what is known goes on."""
        broker = Mosquitto.start(self)
        load = await self.announced(broker)
        parent = await self.begin(broker)
        await self.works(parent, load, 1.0)
        broker.stop()
        await self.said(parent, "Lost the connection", "W")
        broker.start_again()
        since_s = time.monotonic()
        await self.said(parent, "again after", "I")
        load = await Load.connect(self, broker.port, devices=0, name="later")
        while 2.0 not in self.values(parent, "temperature"):
            load.publish("n1/t", b"2", qos=1)
            await pause(0.05)
        recovered_ms = (time.monotonic() - since_s) * 1000
        await self.finish("announced_broker_empty", parent, down=1, up=1, recovered_ms=recovered_ms)

    async def test_announced_hostile(self) -> None:
        """Thousands of hostile announcements at once, then renames without end."""
        # It works all the time, so what other programs take of the processor makes gaps, too.
        self.gap_limit_ms = 1000.0
        broker = Mosquitto.start(self)
        load = await self.announced(broker)
        hostile = list(configs())
        for name, payload in hostile:
            load.publish(name[:LONGEST_TOPIC], payload, retain=True)
        short = [payload for name, payload in hostile if len(name) + len(payload) < SHORT]
        for number in range(HOSTILE):
            load.publish(topic(f"h{number}"), short[number % len(short)], retain=True)
        await load.barrier()
        since_s = time.monotonic()
        parent = await self.begin(broker, modules=MODULES)
        await self.works(parent, load, 1.0)
        recovered_ms = (time.monotonic() - since_s) * 1000
        for number in range(RENAMES):
            payload = device(HADISCOVERY_COMPONENTS, "r", name=f"Node {number}")
            load.publish(f"{PREFIX}/device/renamed/config", payload)
            await pause(1 / RENAMES_A_SECOND)
        await self.works(parent, load, 2.0)
        most_bytes = peak_bytes(parent.agent_pid)
        await self.finish("announced_hostile", parent, down=None, recovered_ms=recovered_ms)
        longest_ms = longest_turn_ms(bytes(parent.output))
        self.assertLess(longest_ms, GAP_LIMIT_MS)
        self.assertLess(most_bytes, MOST_BYTES)
        said = [each.text for each in parent.log if "left out" in each.text]
        self.assertGreater(len(said), len(hostile))
        self.assertEqual(len(said), len(set(said)))
