"""Devices as they are, at a real broker, and what the real agent makes of them."""

from __future__ import annotations

import re
from typing import Any

from line_protocol_parser import parse_line

from tests.integration.broker import Mosquitto, with_both_mosquittos
from tests.integration.mqtt_agent import MqttCase, announcement, field_values, publish
from tests.integration.test_mqtt_broker import Client
from tests.integration.watching import pause, until

COUNTERS = 'self_metrics_interval = "200ms"'
MAC = "A4CF12C0FFEE"
TWO_CHANNELS = b'{"Time":"2025-02-11T07:30:00","ENERGY":{"Total":%d,"Power":[1,2]}}'
TOTALS = b'{"EnergyTotal":{"Total":[3,2],"Yesterday":[1,0],"Today":[0.5,0]}}'

SHAPES = (
    # Changes to the announcement, and the topic that the firmware makes of them.
    ({}, "tele/%s/SENSOR"),
    ({"ft": "%topic%/%prefix%/"}, "%s/tele/SENSOR"),
    ({"ft": "home/%prefix%/%topic%/"}, "home/tele/%s/SENSOR"),
    ({"ft": "tasmota/%topic%/%prefix%/"}, "tasmota/%s/tele/SENSOR"),
    ({"ft": "home//%prefix%/%topic%#/x"}, "home/tele/%s/x/SENSOR"),
    ({"ft": "%topic%/"}, "%s/SENSOR"),
    ({"tp": ["befehl", "status", "daten"]}, "daten/%s/SENSOR"),
    ({"ft": "%prefix%/%hostname%/house", "hn": "host-%s"}, "tele/host-%s/house/SENSOR"),
    ({"ft": "%prefix%/id/%id%/", "mac": MAC}, f"tele/id/{MAC}/SENSOR"),
    ({"ft": "%prefix%/id/%id%/", "mac": "B4CF12C0FFEF"}, "tele/id/C0FFEF/SENSOR"),
    ({"t": "cellar/%s"}, "tele/cellar/%s/SENSOR"),
)


class Devices:
    """What holds for both versions."""

    async def announce(self, broker: Mosquitto, topic: str, mac: str = MAC, **more: Any) -> None:
        """Announce a device, retained, as it does itself."""
        payload = announcement(topic, mac, **more)
        await publish(broker, f"tasmota/discovery/{mac}/config", payload, "-r", qos=0)

    async def known(self, parent: Any, devices: int = 1) -> None:
        """Wait until so many devices are known; a burst of them is reported in one line."""

        def logged() -> int:
            lines = "\n".join(said.text for said in parent.log)
            several = re.findall(r"Discovered (\d+) devices", lines)
            return lines.count("Discovered device ") + sum(map(int, several))

        await until(lambda: logged() == devices, lambda: f"{devices} devices: {parent.log}")

    def tags(self, parent: Any, measurement: str = "electricity") -> list[dict[str, str]]:
        """Return the tags of each line of a measurement, without the vendor."""
        points = [parse_line(line) for line in parent.lines()]
        return [
            {name: value for name, value in point["tags"].items() if name != "vendor"}
            for point in points
            if point["measurement"] == measurement
        ]

    async def test_topics_of_every_shape(self) -> None:
        """Whatever a device's FullTopic and prefixes are, its messages come, and come once."""
        broker = Mosquitto.start(self)
        for index, (changes, _) in enumerate(SHAPES):
            name = f"plug{index}"
            texts = {
                key: value % name if isinstance(value, str) and "%s" in value else value
                for key, value in changes.items()
            }
            await self.announce(broker, name, **{"mac": f"{index:012X}", **texts})
        parent = await self.run_at(broker)
        await self.known(parent, len(SHAPES))
        for index, (_, topic) in enumerate(SHAPES):
            name = topic % f"plug{index}" if "%s" in topic else topic
            await publish(broker, name, b'{"ENERGY":{"Power":%d}}' % index, qos=0)
        await self.values(parent, list(range(len(SHAPES))))
        self.assertEqual(
            [tags.get("friendly") for tags in self.tags(parent)],
            [f"Name of plug{index}" for index in range(len(SHAPES))],
        )

    async def test_channel_totals_over_mqtt(self) -> None:
        """Asked for with an empty payload, once; the answer gives the counter of each channel."""
        broker = Mosquitto.start(self)
        device = Client(self, broker.url, self.protocol, id="device")
        commands = []

        def answer(message: Any, _lines: list[bytes]) -> None:
            commands.append((message.topic, message.payload))
            device.connection.publish("stat/plug/RESULT", TOTALS)

        device.connection.subscribe("cmnd/plug/+", 1, answer)
        await device.start()
        await self.announce(broker, "plug")
        parent = await self.run_at(broker)
        await self.known(parent)
        for total in (5, 6):
            await publish(broker, "tele/plug/SENSOR", TWO_CHANNELS % total)
        await until(lambda: len(field_values(parent, "energy_total")) == 4, "all totals")
        await pause(0.5)
        self.assertEqual(commands, [("cmnd/plug/EnergyTotal", b"")])
        totals = {
            (point["tags"].get("channel"), point["fields"]["energy_total"])
            for point in map(parse_line, parent.lines())
            if "energy_total" in point["fields"]
        }
        self.assertEqual(totals, {(None, 5.0), (None, 6.0), ("1", 3.0), ("2", 2.0)})

    async def test_channel_totals_turned_off(self) -> None:
        """With the setting off, devices get no command."""
        broker = Mosquitto.start(self)
        await self.announce(broker, "plug")
        parent = await self.run_at(broker, request_channel_totals=False)
        await self.known(parent)
        await publish(broker, "tele/plug/SENSOR", TWO_CHANNELS % 5)
        await until(lambda: field_values(parent, "energy_total"), "the sum")
        await pause(0.3)
        self.assertNotIn("Received PUBLISH from agent", broker.log)

    async def test_devices_that_do_not_announce_themselves(self) -> None:
        """Taken at once, with the topics of the settings too."""
        broker = Mosquitto.start(self)
        parent = await self.run_at(broker, topics=["home/%prefix%/%topic%/", "garden/+/SENSOR"])
        await self.connected(parent)
        await pause(0.3)
        for topic in ("tele/a/SENSOR", "home/tele/b/SENSOR", "garden/c/SENSOR"):
            await publish(broker, topic, b'{"ENERGY":{"Power":1}}')
        await self.values(parent, [1, 1, 1], limit_s=3)
        self.assertEqual(
            self.tags(parent), [{"device": "a"}, {"device": "b"}, {"device": "garden/c"}]
        )
        await publish(broker, "tele/a/SENSOR", b'{"ENERGY":{"Power":2}}')
        await self.values(parent, [1, 1, 1, 2], limit_s=3)

    async def test_no_rights_to_the_announcements(self) -> None:
        """Where the login may read telemetry only, it is taken all the same."""
        rights = self.directory / "acl"
        rights.write_text("topic readwrite tele/#\ntopic write tasmota/#\n")
        broker = Mosquitto.start(self, settings=[f"acl_file {rights}"])
        await self.announce(broker, "plug")
        parent = await self.run_at(broker)
        await self.connected(parent)
        await pause(0.3)
        await publish(broker, "tele/plug/SENSOR", b'{"ENERGY":{"Power":1}}')
        await self.values(parent, [1])
        self.assertEqual(self.tags(parent), [{"device": "plug"}])

    async def test_no_rights_to_the_telemetry(self) -> None:
        """The broker grants that subscription and never serves it: one warning names the rules."""
        rights = self.directory / "acl"
        rights.write_text("topic readwrite tasmota/#\ntopic write tele/#\n")
        broker = Mosquitto.start(self, settings=[f"acl_file {rights}"])
        await self.announce(broker, "plug")
        await publish(broker, "tele/plug/LWT", b"Online", "-r")
        parent = await self.run_at(broker, no_telemetry_after="2s")
        await self.said(parent, "none has sent telemetry for 2 s", "W")
        await publish(broker, "tele/plug/SENSOR", b'{"ENERGY":{"Power":1}}')
        await pause(2.5)
        (warning,) = [said.text for said in parent.log if said.level in "WE"]
        self.assertIn("the broker's rules (ACL) do not let this login read tele/#", warning)
        self.assertEqual(parent.lines(), [])

    async def test_the_state_at_the_broker_proves_the_rights_to_the_telemetry(self) -> None:
        """Then nothing is said, however long nothing comes."""
        broker = Mosquitto.start(self)
        await self.announce(broker, "plug")
        await publish(broker, "tele/plug/LWT", b"Online", "-r")
        parent = await self.run_at(broker, no_telemetry_after="1s")
        await self.known(parent)
        await pause(2.5)
        self.assertEqual([said.text for said in parent.log if said.level in "WE"], [])

    async def test_no_device_at_all(self) -> None:
        """One warning says what is likely wrong."""
        broker = Mosquitto.start(self)
        parent = await self.run_at(broker, silent_after="1s")
        await self.said(parent, "No Tasmota device", "W")
        await pause(1.5)
        where = f"tcp://127.0.0.1:{broker.port}"
        (warning,) = [said.text for said in parent.log if said.level in "WE"]
        self.assertEqual(
            warning,
            f"[tasmota] No Tasmota device was seen within 1 s at {where}. Likely causes: the "
            "devices are at another broker; they do not announce themselves (SetOption19 is 1) and "
            "have another FullTopic than %prefix%/%topic%/ (set topics); the login may not read "
            "tasmota/discovery/# and tele/#.",
        )

    async def test_a_fleet_changes(self) -> None:
        """Availability, retained telemetry, one that sleeps, one that is renamed and removed."""
        broker = Mosquitto.start(self)
        await self.announce(broker, "plug")
        await self.announce(broker, "sleeper", "B4CF12C0FFEE", dslp=1)
        for name, text in (("plug", b"Online"), ("sleeper", b"Offline")):
            await publish(broker, f"tele/{name}/LWT", text, "-r")
        await publish(broker, "tele/plug/SENSOR", b'{"ENERGY":{"Power":99}}', "-r")
        parent = await self.run_at(broker, top=COUNTERS)
        await self.known(parent, 2)
        await until(lambda: field_values(parent, "online") == [True], "plug online")
        await until(lambda: b"dropped_retained=1i" in parent.output, "the count of the retained")
        await publish(broker, "tele/sleeper/LWT", b"Online", "-r")
        await publish(broker, "tele/plug/LWT", b"Offline", "-r")
        await until(lambda: len(field_values(parent, "online")) == 3, "both")
        self.assertEqual(field_values(parent, "online"), [True, True, False])
        await self.announce(broker, "plug", fn=["Other"])
        await publish(broker, "tele/plug/SENSOR", b'{"ENERGY":{"Power":1}}')
        await self.values(parent, [1])
        await publish(broker, f"tasmota/discovery/{MAC}/config", b"", "-r")
        await self.said(parent, "Device plug was removed.", "I")
        await publish(broker, "tele/plug/SENSOR", b'{"ENERGY":{"Power":2}}')
        await self.values(parent, [1, 2])
        self.assertEqual(
            self.tags(parent), [{"device": "plug", "friendly": "Other"}, {"device": "plug"}]
        )

    async def test_what_cannot_be_read_is_told_once_a_device(self) -> None:
        """Counted each time, one line a device and reason."""
        broker = Mosquitto.start(self)
        await self.announce(broker, "one", "A4CF12C0FFE1")
        await self.announce(broker, "two", "A4CF12C0FFE2")
        parent = await self.run_at(broker, top=COUNTERS)
        await self.known(parent, 2)
        for _ in range(3):
            for name in ("one", "two"):
                await publish(broker, f"tele/{name}/SENSOR", b'{"CHIRP0":{"sleeping"}}')
                await publish(broker, f"tele/{name}/SENSOR", b'{"ENERGY":{"Power":"1"}}')
        await until(lambda: b"dropped_invalid_json=6i" in parent.output, "the count")
        await until(lambda: b"dropped_not_a_number=6i" in parent.output, "the count")
        warnings = [said.text for said in parent.log if said.level == "W"]
        self.assertEqual(len(warnings), 4, warnings)
        for name in ("one", "two"):
            self.assertIn(
                f"[tasmota] {name}: left out ENERGY.Power (not_a_number); counted from now on, "
                "not logged again.",
                warnings,
            )
        self.assertEqual([said for said in parent.log if said.level == "E"], [])

    async def test_names_of_the_go_agent(self) -> None:
        """Its names, units and tags, so that dashboards need no change."""
        broker = Mosquitto.start(self)
        await self.announce(broker, "plug")
        parent = await self.run_at(broker, field_names="original", request_channel_totals=False)
        await self.known(parent)
        payload = b'{"ENERGY":{"Total":[3,2],"Power":[1,2],"Current":[0.25,0]}}'
        await publish(broker, "tele/plug/SENSOR", payload)
        await self.values(parent, [1, 2])
        lines = [line.rpartition(b" ")[0].decode() for line in parent.lines()]
        tags = r"electricity,device=plug.%d,friendly=Name\ of\ plug,vendor=tasmota "
        self.assertEqual(
            lines,
            [
                tags % 0 + "current=250.0,power=1.0,sum_power_total=3000.0",
                tags % 1 + "current=0.0,power=2.0,sum_power_total=2000.0",
            ],
        )

    async def test_filters_that_the_broker_refuses(self) -> None:
        """Those for Bluetooth bridges are named once, and the others go on."""
        granted = (
            "tasmota/discovery/+/config",
            *(f"tele/+/{name}" for name in ("SENSOR", "STATE", "LWT", "ZbReceived")),
            *(f"tele/+/+/{name}" for name in ("SENSOR", "ZbReceived")),
            *(f"stat/+/{name}" for name in ("RESULT", "ENERGYTOTAL")),
            *(f"stat/+/STATUS{number}" for number in (8, 10, 11)),
        )
        rights = self.rights(subscribeLiteral=granted, publishClientSend=("#",))
        broker = Mosquitto.start(self, settings=rights)
        parent = await self.run_at(broker, username="admin", password="secret")
        await self.connected(parent)
        await self.said(parent, "refuses to subscribe us to ")
        login = ("-u", "admin", "-P", "secret")
        await publish(broker, f"tasmota/discovery/{MAC}/config", announcement("plug", MAC), *login)
        await self.known(parent)
        for topic in ("tele/plug/SENSOR", "stat/plug/SENSOR", "tele/tasmota_ble/Attic"):
            await publish(broker, topic, b'{"ENERGY":{"Power":1}}', *login)
        await publish(broker, "stat/plug/RESULT", b'{"POWER":"ON"}', *login)
        await publish(broker, "tele/plug/SENSOR", b'{"ENERGY":{"Power":2}}', *login)
        await self.values(parent, [1, 2])
        self.assertEqual(self.tags(parent, "switch")[0]["friendly"], "Name of plug")
        errors = "\n".join(said.text for said in parent.log if said.level == "E")
        self.assertEqual(
            sorted(re.findall(r"(\S+) \((?:refused|not authorised)", errors)),
            ["stat/+/SENSOR", "tele/tasmota_ble/+"],
            errors,
        )


class Mqtt311DeviceTests(Devices, MqttCase):
    """MQTT 3.1.1."""

    protocol = "3.1.1"


@with_both_mosquittos
class Mqtt5DeviceTests(Devices, MqttCase):
    """MQTT 5."""

    protocol = "5"
