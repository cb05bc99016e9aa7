"""Updates, removals and restarts: what is written does not depend on what came first."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any, Final

from metrics_agent.testing import FakeContext
from tests.modules.hadiscovery.test_service import ServiceCase, sensor, topic

HUMIDITY: Final = {"device_class": "humidity", "unit_of_measurement": "%"}


class UpdateTests(ServiceCase):
    """An entity is announced once more, with something else."""

    def two_entities(self) -> FakeContext:
        """Start a module with two entities of a device: `a` is there, `b` is not."""
        context = self.make()
        for name in ("a", "b"):
            changes = {"unique_id": name, "availability_topic": name, "state_topic": f"{name}/t"}
            context.deliver(topic(name), sensor(**changes))
        context.deliver("a", b"online")
        context.deliver("b", b"offline")
        return context

    def test_availability_taken_away(self) -> None:
        """A value that waited is written, with its time; the device is there."""
        context = self.make()
        context.deliver(topic(), sensor(availability_topic="n1/a"))
        context.deliver("n1/a", b"offline")
        context.deliver("n1/t", b"5")
        context.deliver(topic(), sensor())
        self.assertEqual(
            [line.split(" ", 1) for line in context.lines()],
            [
                ["device,device=n1,friendly=Node", "online=false 1700000000000000001"],
                ["climate,device=n1,friendly=Node", "temperature=5.0 1700000000000000002"],
                ["device,device=n1,friendly=Node", "online=true 1700000000000000003"],
            ],
        )
        context.deliver("n1/t", b"6")
        self.assertIn("temperature=6.0", context.lines()[-1])

    def test_removal(self) -> None:
        """Whether a device is there is what the entities say that are left."""
        context = self.two_entities()
        self.assertIn("online=true", context.lines()[-1])
        context.deliver(topic("a"), b"")
        self.assertIn("online=false", context.lines()[-1])

    def test_entity_of_another_device(self) -> None:
        """So is it when one moves to another device."""
        context = self.two_entities()
        moved = {"unique_id": "a", "availability_topic": "a", "device": {"identifiers": ["n2"]}}
        context.deliver(topic("a"), sensor(**moved))
        found = {line.rpartition(" ")[0] for line in context.lines()[-2:]}
        self.assertEqual(
            found, {"device,device=n1,friendly=Node online=false", "device,device=n2 online=true"}
        )

    def test_the_same_with_another_unique_id(self) -> None:
        """The second time nothing changes: what has not expired has not expired."""
        context = self.make()
        context.deliver(topic(), sensor(expire_after=60))
        context.deliver(topic(), sensor(expire_after=60, unique_id="new"))
        context.deliver("n1/t", b"1")
        context.deliver(topic(), sensor(expire_after=60, unique_id="new"))
        [entity] = self.module.registry.entities.values()
        self.assertTrue(entity.is_available(context.reactor.seconds()))

    def test_identifiers(self) -> None:
        """A device keeps none of those that it no longer has."""
        context = self.make()
        context.deliver(topic("keep"), sensor(unique_id="k"))
        indexes = self.module.registry._devices
        for number in range(50):
            names = ["n1", *(f"{number}_{index}" for index in range(31))]
            context.deliver(topic("b"), sensor(unique_id="b", device={"identifiers": names}))
        self.assertEqual(list(indexes), ["n1"])
        context.deliver(topic("b"), sensor(unique_id="b", device={"identifiers": ["n2"]}))
        self.assertEqual(list(indexes), ["n1", "n2"])

    def test_off_delay_of_one_that_is_away(self) -> None:
        """It was off from then on, not from when it was switched on."""
        context = self.make()
        config = {"off_delay": 5, "availability_topic": "n1/a", "state_topic": "n1/m"}
        context.deliver(
            topic("motion", component="binary_sensor"),
            sensor(device_class="motion", unit_of_measurement=None, **config).replace(
                b'"unit_of_measurement": null, ', b""
            ),
        )
        context.deliver("n1/m", b"ON")
        context.advance(5)
        off_ns = context.now_ns()
        context.advance(5)
        context.deliver("n1/a", b"online")
        self.assertIn(f"motion=false {off_ns}", " ".join(context.lines()))
        # One that went away while it was on.
        context.deliver("n1/m", b"ON")
        context.deliver("n1/a", b"offline")
        context.advance(5)
        off_ns = context.now_ns()
        context.advance(5)
        context.deliver("n1/a", b"online")
        self.assertIn(f"motion=false {off_ns}", " ".join(context.lines()))


class OrderTests(ServiceCase):
    """Every order of the same announcements gives the same lines."""

    def written(self, announcements: list[tuple[str, bytes]], **settings: Any) -> set[str]:
        """Return what is written of a message on each state topic, without the times."""
        found = set()
        for order in permutations(announcements):
            context = self.make(**settings)
            for each in order:
                context.deliver(*each)
            for _, payload in announcements:
                context.deliver(json.loads(payload)["state_topic"], b"5")
            found.add("\n".join(sorted(line.rpartition(" ")[0] for line in context.lines())))
        return found

    def test_devices_with_an_identifier_in_common(self) -> None:
        """The tags of each entity are those of its own device."""
        maker = {"identifiers": ["n1"], "manufacturer": "Espressif"}
        other = {"identifiers": ["n0", "n1"], "name": "Kitchen"}
        [lines] = self.written(
            [
                (topic("kitchen_temperature"), sensor(unique_id="a", device=maker)),
                (topic("x"), sensor(unique_id="b", device=other, state_topic="h", **HUMIDITY)),
            ]
        )
        self.assertEqual(
            lines.splitlines(),
            [
                "climate,device=n0,friendly=Kitchen,sensor=x humidity=5.0",
                "climate,device=n1,sensor=kitchen,vendor=espressif temperature=5.0",
            ],
        )

    def test_names_of_one_device(self) -> None:
        """Name and vendor, which one entity says, are those of all; of two the smaller id's."""
        device = {"identifiers": ["n1"]}
        named = [{**device, "name": name} for name in ("First", "Second")]
        [lines] = self.written(
            [
                (topic("a"), sensor(unique_id="a", device=device, state_topic="a")),
                (
                    topic("b"),
                    sensor(unique_id="b", device=named[0], state_topic="b", origin={"name": "Z"}),
                ),
                (topic("c"), sensor(unique_id="c", device=named[1], state_topic="c")),
            ]
        )
        tags = ("climate,device=n1,friendly=First", "vendor=z temperature=5.0")
        self.assertEqual(lines.splitlines(), [f"{tags[0]},sensor={x},{tags[1]}" for x in "abc"])

    def test_the_one_that_named_a_device_goes(self) -> None:
        """The next one's name counts, in the series of all."""
        context = self.make()
        for name in ("a", "b", "c"):
            named = (
                {"identifiers": ["n1"]} if name == "c" else {"identifiers": ["n1"], "name": name}
            )
            context.deliver(topic(name), sensor(unique_id=name, device=named, state_topic=name))
        for payload in (b"", sensor(unique_id="a", device=named, state_topic="a")):
            context.deliver(topic("a"), payload)
            context.deliver("c", b"5")
            self.assertIn("friendly=b,sensor=c", context.lines()[-1])
        context.deliver(topic("b"), b"")
        context.deliver("c", b"5")
        self.assertIn("device=n1,sensor=c", context.lines()[-1])

    def test_two_components_with_one_id(self) -> None:
        """The same one has the name; `sensor_names` gives the other another."""
        number = {
            "unique_id": "u",
            "state_topic": "n",
            "command_topic": "c",
            "device": {"identifiers": ["n1"], "name": "Node"},
        }
        announcements = [
            (
                topic("cal"),
                sensor(unique_id="u", device_class=None, state_topic="s", unit_of_measurement="x"),
            ),
            (topic("cal", component="number"), json.dumps(number).encode()),
        ]
        [lines] = self.written(announcements)
        self.assertEqual(lines, "other,device=n1,friendly=Node cal=5.0")
        for key, entity in self.module.registry.entities.items():
            self.assertEqual(entity.inputs[0].point is not None, key[0] == "sensor")
        [lines] = self.written(announcements, sensor_names={"number.u": "set"})
        self.assertEqual(
            lines.splitlines(),
            [
                "other,device=n1,friendly=Node cal=5.0",
                "other,device=n1,friendly=Node,sensor=set cal=5.0",
            ],
        )


class NameTests(ServiceCase):
    """The tag `sensor`, and fields that an object id names."""

    def sensors(self, names: tuple[str, ...], **changes: Any) -> list[str]:
        """Return the tag of each object id's line."""
        context = self.make()
        for name in names:
            context.deliver(topic(name), sensor(unique_id=name, state_topic=name, **changes))
            context.deliver(name, b"5")
        self.assertEqual(context.dropped, {})
        return [line.partition("sensor=")[2].partition(" ")[0] for line in context.lines()]

    def test_what_tells_values_apart_stays(self) -> None:
        """Phases, numbers, words that say more than the class."""
        cases: tuple[tuple[tuple[str, ...], list[str], dict[str, Any]], ...] = (
            (
                ("voltage_u", "voltage_v", "voltage_w", "voltage"),
                ["u", "v", "w", ""],
                {"device_class": "voltage", "unit_of_measurement": "V"},
            ),
            (
                ("pm25_2", "pm25_5", "pm2_5"),
                ["2", "5", ""],
                {"device_class": "pm25", "unit_of_measurement": "µg/m³"},
            ),
            (("humidity", "relative_humidity"), ["", "relative"], HUMIDITY),
            (
                ("energy", "energy_total", "total_energy_sum"),
                ["", "total", "total_sum"],
                {
                    "device_class": "energy",
                    "unit_of_measurement": "kWh",
                    "state_class": "total_increasing",
                },
            ),
            (
                ("battery", "battery_level", "battery_soc"),
                ["", "level", "soc"],
                {"device_class": "battery", "unit_of_measurement": "%"},
            ),
            (("temperature", "temperature_c", "boiler_temperature"), ["", "c", "boiler"], {}),
        )
        for names, expected, changes in cases:
            self.assertEqual(self.sensors(names, **changes), expected)

    def on(self, name: str, device_class: str | None) -> str:
        """Return the line of a binary sensor that is on."""
        context = self.make()
        config = {"unique_id": name, "state_topic": "n1/b", "device": {"identifiers": ["n1"]}}
        if device_class is not None:
            config["device_class"] = device_class
        context.deliver(topic(name, component="binary_sensor"), json.dumps(config).encode())
        context.deliver("n1/b", b"ON")
        [line] = context.lines()
        return line.rpartition(" ")[0]

    def test_binary_sensors(self) -> None:
        """Without a class nothing is said that a catalogue's field means the other way round."""
        self.assertEqual(self.on("contact", None), "state,device=n1 contact_on=true")
        self.assertEqual(self.on("locked", None), "state,device=n1 locked_on=true")
        self.assertEqual(self.on("pump", None), "state,device=n1 pump=true")
        self.assertEqual(self.on("contact", "door"), "state,device=n1 contact=false")
        self.assertEqual(self.on("door", "door"), "state,device=n1,sensor=door contact=false")


class RetainedTests(ServiceCase):
    """What the broker has stored, with ``retained = "take"``."""

    def test_once(self) -> None:
        """It comes again after a connection without a session, and is not a new value then."""
        context = self.make(retained="take")
        context.deliver(topic(), sensor())
        for _ in range(3):
            context.deliver("n1/t", b"20", retain=True)
        self.assertEqual(len(context.lines()), 1)
        self.assertEqual(context.dropped, {"retained": 2})
        context.deliver("n1/t", b"21")
        context.deliver("n1/t", b"21", retain=True)
        self.assertEqual(len(context.lines()), 2)
        context.deliver("n1/t", b"22", retain=True)
        context.deliver("n1/t", b"22")
        self.assertEqual(len(context.lines()), 4)
