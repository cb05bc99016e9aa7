"""Home Assistant's semantics where none of the judge's cases has them.

Each was read in the sources of Home Assistant 2026.11, ``homeassistant/components/mqtt``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from metrics_agent.limits import HADISCOVERY_COMPONENTS
from tests.modules.hadiscovery.test_service import PREFIX, ServiceCase, sensor, topic

COMMAND: Final = {"command_topic": "n1/set"}
HUMIDIFIER: Final = {**COMMAND, "target_humidity_command_topic": "n1/h/set"}
REFUSED: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("sensor", {"message_expiry_interval": -1}),
    ("sensor", {"message_expiry_interval": {"years": 1}}),
    ("sensor", {"message_expiry_interval": "5"}),
    ("sensor", {"group": [None]}),
    ("sensor", {"json_attributes_template": "{{ value"}),
    ("number", {**COMMAND, "mode": "wheel"}),
    ("number", {**COMMAND, "retain": "perhaps"}),
    ("number", {**COMMAND, "command_template": "{{ value | nothing }}"}),
    ("number", {**COMMAND, "command_template": None}),
    ("climate", {"mode_state_topic": ""}),
    ("climate", {"temperature_command_topic": "a/+"}),
    ("climate", {"fan_mode_state_template": "{{ value"}),
    ("climate", {"target_humidity_state_topic": "n1/h"}),
    ("climate", {"preset_modes": ["eco"]}),
    ("climate", {"preset_modes": ["none"], "preset_mode_command_topic": "n1/p"}),
    ("climate", {"precision": 0.2}),
    ("climate", {"temperature_unit": "K"}),
    ("climate", {"max_temp": "hot"}),
    ("cover", {"position_topic": "n1/p", "position_open": "100"}),
    ("cover", {"position_topic": "n1/p", "position_open": 99.0}),
    ("cover", {"tilt_max": "90"}),
    ("cover", {"tilt_status_template": "{{ value }}"}),
    ("cover", {"state_open": None}),
    ("humidifier", {**HUMIDIFIER, "modes": ["a"]}),
    ("humidifier", {**HUMIDIFIER, "modes": ["None"], "mode_command_topic": "n1/m"}),
    ("humidifier", {**HUMIDIFIER, "min_humidity": -1}),
    ("valve", {"reports_position": True, "state_open": "o"}),
    ("valve", {"reports_position": True, "pl_open": "o"}),
    ("water_heater", {"mode_state_topic": "a#"}),
    ("water_heater", {"initial": None}),
)
TAKEN: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("sensor", {"message_expiry_interval": {"minutes": 5}, "group": "x"}),
    ("sensor", {"json_attributes_template": "{{ states('x') }}"}),
    ("sensor", {"availability": [{"topic": "n1/a", "note": 1}]}),
    ("number", {**COMMAND, "command_template": "{% for x in value %}{{ x }}{% endfor %}"}),
    ("number", {**COMMAND, "command_template": '{"a": {{ value | int }} }', "mode": "box"}),
    ("climate", {"temperature_unit": "f", "precision": 0.5, "initial": "20"}),
    ("climate", {"preset_modes": ["eco"], "preset_mode_command_topic": "n1/p"}),
    ("cover", {"position_topic": "n1/p", "position_open": 99, "payload_stop": None}),
    ("humidifier", {**HUMIDIFIER, "modes": ["a"], "mode_command_topic": "n1/m"}),
    ("valve", {"reports_position": True, "position_open": "99", "payload_stop": "s"}),
)


TIMES: Final[Mapping[str, str | None]] = {
    "2026-11-27T12:30:45Z": "2026-11-27T12:30:45+00:00",
    "2026-11-27t12:30z": "2026-11-27T12:30:00+00:00",
    "20261127T123045+0130": "2026-11-27T11:00:45+00:00",
    "2026-11-27 12:30:45,5+01": "2026-11-27T11:30:45+00:00",
    "2026-11-27T24:00:00Z": "2026-11-28T00:00:00+00:00",
    "2026-W48-5T12:00Z": "2026-11-27T12:00:00+00:00",
    "2026-331T12Z": "2026-11-27T12:00:00+00:00",
    "2026-11T12:00Z": "2026-11-01T12:00:00+00:00",
    "2026-1-2T1:2:03Z": "2026-01-02T01:02:03+00:00",
    "2026-11-27T12:30:45+01:30:15": "2026-11-27T11:00:30+00:00",
    "2026-11-27T123045Z": None,
    "20261127T12:30:45Z": None,
    "202611T12Z": None,
    "2026-11-31T12:00Z": None,
    "2026-366T12Z": None,
    "2026-11-27T12:30:45 Z": None,
    "2026-11-27T24:00:01Z": None,
    "1700000000": None,
}
"""Texts of a timestamp and what is shown; None is unknown. Read with ciso8601 2.4.1."""


class ConfigTests(ServiceCase):
    """Which configs make an entity."""

    def announce(self, component: str, changes: dict[str, Any]) -> int:
        """Announce an entity; returns how many there are."""
        if component == "sensor":
            payload = sensor(**changes)
        else:
            payload = json.dumps({"device": {"identifiers": ["n1"]}, **changes}).encode()
        context = self.make(texts=True)
        context.deliver(topic(component=component), payload)
        return len(self.module.registry)

    def test_refused(self) -> None:
        """One wrong key refuses the entity, also one on which no value depends."""
        wrong = [each for each in REFUSED if self.announce(*each) != 0]
        self.assertEqual(wrong, [])

    def test_taken(self) -> None:
        """What is rendered elsewhere may have what is not allowed here."""
        wrong = [each for each in TAKEN if self.announce(*each) != 1]
        self.assertEqual(wrong, [])

    def test_unused_templates_take_no_room(self) -> None:
        """They are checked and not kept."""
        self.announce("number", {**COMMAND, "command_template": "{% if value %}1{% endif %}"})
        self.assertEqual(len(self.module.registry.templates), 0)

    def test_topic_base_at_both_ends(self) -> None:
        """The one at the end counts."""
        context = self.make()
        context.deliver(topic(), sensor(**{"~": "base", "state_topic": "~/x/~"}))
        self.assertIn("~/x/base", context.filters())

    def test_migration(self) -> None:
        """What has no id or no device cannot migrate, and stays; other keys are no migration."""
        context = self.make()
        for changes in ({"unique_id": None}, {"device": None}):
            config = {key: value for key, value in json.loads(sensor(**changes)).items() if value}
            context.deliver(topic(), json.dumps(config).encode())
            context.deliver(topic(), b'{"migrate_discovery": true}')
            self.assertEqual(len(self.module.registry), 1)
            context.deliver(topic(), b"")
        context.deliver(topic(), sensor(migrate_discovery=True))
        self.assertEqual(len(self.module.registry), 1)
        context.deliver(topic(), b'{"migr_discvry": true}')
        self.assertEqual(len(self.module.registry), 0)

    def test_platforms_that_are_none(self) -> None:
        """Whatever stands there, the payload is void with one line."""
        for platform in ([], {}, None, 5, "nothing"):
            context = self.make()
            payload = {
                "device": {"identifiers": ["n1"]},
                "origin": {"name": "x"},
                "components": {"c": {"p": platform, "state_topic": "a"}},
            }
            context.deliver(f"{PREFIX}/device/n1/config", json.dumps(payload).encode())
            self.assertEqual(len(context.logged()), 1, platform)

    def test_child_devices(self) -> None:
        """A part that is a device of its own has its own name, in both forms."""
        context = self.make()
        component = {"p": "sensor", "uniq_id": "c", "stat_t": "n1/c", "unit_of_meas": "W"}
        children = [{"ids": ["n1_l1"], "name": "L1", "cmps": {"c": component}}]
        payload: dict[str, Any] = {
            "dev": {"ids": ["n1"], "name": "Meter", "mf": "Maker"},
            "o": {"name": "x"},
            "cdevs": children,
        }
        context.deliver(f"{PREFIX}/device/n1/config", json.dumps(payload).encode())
        device = {"ids": ["n2"], "mf": "Maker", "cdev": {"ids": "n2_l1", "name": "L2"}}
        context.deliver(
            topic(node="n2"), sensor(state_topic="n2/t", device=device, unique_id="n2t")
        )
        context.deliver("n1/c", b"5")
        context.deliver("n2/t", b"6")
        self.assertEqual(
            [line.split(" ")[0] for line in context.lines()],
            [
                "electricity,device=n1_l1,friendly=L1,sensor=c,vendor=x",
                "climate,device=n2_l1,friendly=L2,vendor=maker",
            ],
        )

    def test_child_devices_that_are_refused(self) -> None:
        """As a whole, as anything else that is wrong in a device payload."""
        component = {"p": "sensor", "unique_id": "c", "state_topic": "n1/c"}
        good = {"identifiers": ["c1"], "components": {"c": component}}
        for children in (
            "x",
            [1],
            [{**good, "identifiers": []}],
            [{**good, "identifiers": ["n1"]}],
            [{**good, "color": "red"}],
            [{"identifiers": ["c1"]}],
            [{**good, "components": {"c": {**component, "p": "tag"}}}],
            [good, {**good, "identifiers": ["c2"]}],
        ):
            context = self.make()
            payload = {
                "device": {"identifiers": ["n1"]},
                "origin": {"name": "x"},
                "child_devices": children,
            }
            context.deliver(f"{PREFIX}/device/n1/config", json.dumps(payload).encode())
            self.assertEqual(len(self.module.registry), 0, children)


class ValueTests(ServiceCase):
    """What messages mean."""

    def shown(self, component: str, config: dict[str, Any], *payloads: bytes) -> list[object]:
        """Announce an entity with the state topic ``n1/t``; returns what is shown each time."""
        context = self.make(texts=True)
        if component == "sensor":
            announced = sensor(**config)
        else:
            announced = json.dumps({"device": {"identifiers": ["n1"]}, **config}).encode()
        context.deliver(topic(component=component), announced)
        [entity] = self.module.registry.entities.values()
        found: list[object] = []
        for payload in payloads:
            context.deliver("n1/t", payload)
            found.append(entity.inputs[0].shown)
        return found

    def test_valve(self) -> None:
        """The position of an object counts whatever its state says, but for None."""
        config = {"reports_position": True, "state_topic": "n1/t", "state_opening": "77"}
        found = self.shown(
            "valve",
            config,
            b"50",
            b"opening",
            b'{"state": null, "position": 60}',
            b'{"state": "None"}',
            b'{"state": "77", "position": 61}',
            b"77",
            b'{"state": "None", "position": 5}',
        )
        self.assertEqual(found, [50.0, 50.0, 60.0, 60.0, 61.0, 61.0, None])

    def test_cover(self) -> None:
        """The template has the positions; true is 1, and null is none."""
        template = "{{ (value | int) * position_open / 100 + tilt_min }}"
        config = {"position_topic": "n1/t", "position_open": 50, "position_template": template}
        self.assertEqual(self.shown("cover", config, b"40", b"100"), [40.0, 100.0])
        found = self.shown(
            "cover",
            {"position_topic": "n1/t"},
            b'{"position": 7}',
            b'{"position": null}',
            b'{"position": true}',
            b'{"x": 1}',
        )
        self.assertEqual(found, [7.0, 7.0, 1.0, 1.0])

    def test_timestamps(self) -> None:
        """All forms that Home Assistant's parser reads, and no others."""
        config = {"device_class": "timestamp", "unit_of_measurement": None}
        found = self.shown("sensor", config, *(text.encode() for text in TIMES))
        self.assertEqual(dict(zip(TIMES, found, strict=True)), dict(TIMES))

    def test_timestamps_out_of_range(self) -> None:
        """In UTC they are before the first year or after the last: what was there stays."""
        config = {"device_class": "timestamp", "unit_of_measurement": None}
        good = b"2026-11-27T12:30:45Z"
        for bad in (b"0001-01-01T00:00:00+01:00", b"9999-12-31T23:59:59-01:00"):
            found = self.shown("sensor", config, good, bad)
            self.assertEqual(found, ["2026-11-27T12:30:45+00:00"] * 2)

    def test_encodings(self) -> None:
        """JSON is read in the encoding of the entity; bytes are JSON too."""
        template = "{{ value_json['gr\u00f6\u00dfe'] }}"
        latin = '{"gr\u00f6\u00dfe": 5}'.encode("iso8859-1")
        config = {"value_template": template, "encoding": "iso8859-1"}
        self.assertEqual(self.shown("sensor", config, latin), [5.0])
        config = {"value_template": "{{ value_json.t }}", "encoding": "utf-16"}
        self.assertEqual(self.shown("sensor", config, '{"t": 6}'.encode("utf-16")), [6.0])
        config = {"value_template": "{{ value_json.t }}", "encoding": ""}
        self.assertEqual(self.shown("sensor", config, b'{"t": 7}'), [7.0])
        self.assertEqual(self.shown("sensor", {"encoding": ""}, b"7"), [None])
        config = {"state_topic": "n1/t", "encoding": "", "value_template": "{{ value_json.t }}"}
        self.assertEqual(self.shown("binary_sensor", config, b"ON", b'{"t": "ON"}'), [None, True])

    def test_an_update_keeps_what_is_known_of_availability(self) -> None:
        """Of each topic that it still has, and of the last message."""
        context = self.make()
        first, second = {"topic": "n1/a"}, {"topic": "n1/b"}
        context.deliver(topic(), sensor(availability=[first, second]))
        context.deliver("n1/a", b"online")
        context.deliver(topic(), sensor(availability=[first], availability_mode="all"))
        [entity] = self.module.registry.entities.values()
        self.assertTrue(entity.is_available(0.0))
        context.deliver(topic(), sensor(availability=[second]))
        self.assertTrue(entity.is_available(0.0))
        context.deliver(topic(), sensor(availability=[second], availability_mode="all"))
        self.assertFalse(entity.is_available(0.0))

    def test_an_update_takes_no_template_away(self) -> None:
        """It goes on with the one that it had; sent again, the update changes nothing."""
        context = self.make()
        context.deliver(topic(), sensor(value_template="{{ value_json.t }}", expire_after=60))
        for _ in range(2):
            context.deliver(topic(), sensor(expire_after=60, name="New"))
            context.deliver("n1/t", b'{"t": 5}')
            [entity] = self.module.registry.entities.values()
            self.assertTrue(entity.is_available(context.reactor.seconds()))
        self.assertEqual(len(context.lines()), 2)
        context.deliver(topic(), sensor(value_template="{{ value_json.u }}"))
        context.deliver("n1/t", b'{"u": 6}')
        self.assertEqual(len(context.lines()), 3)
        context.deliver(topic(), b"")
        self.assertEqual(len(self.module.registry.templates), 0)

    def test_availability_of_each_value_of_a_boiler(self) -> None:
        """EMS-ESP has one topic for all values, and each has a template of availability."""
        context = self.make()
        names = [f"v{number}" for number in range(HADISCOVERY_COMPONENTS)]
        for name in names:
            one = f"{{{{'online' if value_json['{name}'] is defined else 'offline'}}}}"
            config = sensor(
                unique_id=name,
                state_topic="ems-esp/boiler_data",
                value_template=f"{{{{ value_json['{name}'] }}}}",
                availability=[
                    {"topic": "ems-esp/boiler_data", "value_template": one},
                    {"topic": "ems-esp/status"},
                ],
                availability_mode="all",
            )
            context.deliver(topic(name), config)
        context.deliver("ems-esp/status", b"online")
        context.deliver("ems-esp/boiler_data", json.dumps(dict.fromkeys(names, 5)).encode())
        values = [line for line in context.lines() if "temperature=" in line]
        self.assertEqual(len(values), len(names))
        self.assertEqual(context.dropped, {})

    def test_a_stored_value_is_for_each_filter_that_has_it(self) -> None:
        """Once, though the broker sends it for each of them; also for one that comes later."""
        context = self.make(retained="take")
        for number, state_topic in enumerate(("n1/t", "+/t", "n1/+")):
            one = {"unique_id": str(number), "device": {"identifiers": [str(number)]}}
            context.deliver(topic(f"x{number}"), sensor(**one, state_topic=state_topic))
            if number > 0:
                for _ in range(2):
                    context.deliver("n1/t", b"5", retain=True)
        devices = [line.partition("device=")[2][0] for line in context.lines()]
        self.assertEqual(devices, ["0", "1", "2"])
