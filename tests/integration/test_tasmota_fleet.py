"""5,000 devices at one broker with its default settings, and the real agent.

What devices announce is retained: when the agent subscribes, all of it comes in one burst. A
broker drops what a client does not read fast enough, and mosquitto keeps no more than 1,000
messages at QoS 1 for one client.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from line_protocol_parser import parse_line

from tests.integration.broker import Mosquitto, with_both_mosquittos
from tests.integration.case import QUIET, logged
from tests.integration.load import Load
from tests.integration.mqtt_agent import MqttCase, announcement
from tests.integration.watching import sequences, until

DEVICES = 5_000


class Fleet:
    """What holds for both versions."""

    timeout = 180

    async def test_one_burst_and_one_metric_of_each(self) -> None:
        """All are found and have their names from their first point on, after a restart too."""
        broker = Mosquitto.start(self, settings=QUIET)
        load = await Load.connect(self, broker.port, devices=DEVICES)
        parent = await self.run_at(broker)
        await self.judge_round(parent, load, 1)
        await parent.stop()
        parent.start()
        await self.judge_round(parent, load, 2)
        await parent.stop()
        self.assertEqual(parent.exits, [0, 0])
        self.assertEqual([said for said in parent.log if said.level in "WE"], [])

    async def test_announcements_kept_at_qos_1(self) -> None:
        """A bridge may have stored them so: asked for at QoS 0 they still come all."""
        broker = Mosquitto.start(self, settings=QUIET)
        load = await Load.connect(self, broker.port, devices=0)
        for number in range(DEVICES):
            topic = f"tasmota/discovery/{number:012X}/config"
            load.publish(topic, announcement(f"plug{number}"), retain=True, qos=1)
        await load.barrier()
        parent = await self.run_at(broker)
        await self.said(parent, f"Discovered {DEVICES} devices", "I", limit_s=60)

    async def judge_round(self, parent: Any, load: Load, times: int) -> None:
        """Have each device send one message, and look at all that came."""
        await self.said(parent, f"Discovered {DEVICES} devices", "I", times, limit_s=60)
        await self.subscribed(parent, load, times)
        load.send(DEVICES)
        await until(
            lambda: parent.output.count(b"energy_total=") >= times * DEVICES,
            lambda: f"a metric of each: {logged(parent.log)}",
            60,
        )
        self.assert_complete(sequences(parent.lines()), load.sent)
        points = [parse_line(line) for line in parent.lines()]
        names = {(point["tags"]["device"], point["tags"].get("friendly")) for point in points}
        self.assertEqual(names, {(device, f"Name of {device}") for device in load.devices})
        kinds = Counter(point["measurement"] for point in points)
        self.assertEqual(kinds, {"device": times * DEVICES, "electricity": times * DEVICES})


class Mqtt311FleetTests(Fleet, MqttCase):
    """MQTT 3.1.1."""

    protocol = "3.1.1"


@with_both_mosquittos
class Mqtt5FleetTests(Fleet, MqttCase):
    """MQTT 5."""

    protocol = "5"
