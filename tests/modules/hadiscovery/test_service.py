"""The module as a whole: announcements, subscriptions, restarts, limits."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import AgentConfig, AgentSettings, ModuleConfig
from metrics_agent.interfaces import ModuleKind
from metrics_agent.modules.hadiscovery.config import HadiscoverySettings
from metrics_agent.modules.hadiscovery.payload import Payload
from metrics_agent.modules.hadiscovery.remembered import FORGET_AFTER_S
from metrics_agent.modules.hadiscovery.service import HadiscoveryModule
from metrics_agent.modules.opendtu import MODULE as OPENDTU
from metrics_agent.modules.opendtu.config import OpenDtuMqttSettings, OpenDtuSettings
from metrics_agent.modules.tasmota import MODULE as TASMOTA
from metrics_agent.modules.tasmota.config import TasmotaSettings
from metrics_agent.plan import build
from metrics_agent.testing import FakeContext

PREFIX = "homeassistant"
ANNOUNCEMENTS = [f"{PREFIX}/+/+/+/config", f"{PREFIX}/+/+/config"]


def sensor(**changes: Any) -> bytes:
    """Return the announcement of a temperature."""
    config = {
        "unique_id": "n1_temperature",
        "state_topic": "n1/t",
        "device_class": "temperature",
        "unit_of_measurement": "°C",
        "device": {"identifiers": ["n1"], "name": "Node"},
        **changes,
    }
    return json.dumps(config).encode()


def topic(object_id: str = "temperature", node: str = "n1", component: str = "sensor") -> str:
    """Return a discovery topic."""
    return f"{PREFIX}/{component}/{node}/{object_id}/config"


class ServiceCase(SynchronousTestCase):
    """A module, started."""

    def make(self, state_dir: Path | None = None, **settings: Any) -> FakeContext:
        """Start a module; returns its context."""
        context = FakeContext(state_dir=state_dir)
        self.module = HadiscoveryModule(HadiscoverySettings(**settings), context)
        self.successResultOf(self.module.startService())
        self.addCleanup(context.stop)
        return context


class AnnouncementTests(ServiceCase):
    """What is subscribed to, and what is not."""

    def test_announcements_come_first(self) -> None:
        """The filters of announcements hold back other messages."""
        context = self.make()
        self.assertEqual(context.filters(), ANNOUNCEMENTS)
        self.assertTrue(all(each.announcements for each in context.subscriptions))

    def test_other_prefix(self) -> None:
        """The prefix is a setting."""
        context = self.make(discovery_prefix="ha/disc")
        context.deliver("ha/disc/sensor/x/config", sensor())
        self.assertIn("n1/t", context.filters())

    def test_expiry_is_passed_on(self) -> None:
        """The shortest and the longest `expire_after` of a device's entities, if any has one."""
        context = self.make()
        context.deliver(topic(), sensor(expire_after=600))
        context.deliver(topic("b"), sensor(unique_id="b", expire_after=3600))
        context.deliver(topic("c"), sensor(unique_id="c"))
        self.assertEqual(context.expected, {"n1": (600.0, 3600.0)})
        context.deliver(topic(), b"")
        self.assertEqual(context.expected, {"n1": (3600.0, 3600.0)})
        context.deliver(topic("b"), sensor(unique_id="b"))
        self.assertEqual(context.expected, {"n1": (0.0, 0.0)})

    def test_topics_are_subscribed_once_and_given_up_with_the_last_entity(self) -> None:
        """Two entities on a topic have one subscription, learned from a publisher."""
        context = self.make()
        context.deliver(topic(), sensor())
        context.deliver(
            topic("other"), sensor(unique_id="o", device_class="humidity", unit_of_measurement="%")
        )
        self.assertEqual(context.filters(), [*ANNOUNCEMENTS, "n1/t"])
        self.assertTrue(context.subscriptions[-1].learned)
        context.deliver(topic(), b"")
        self.assertEqual(context.filters(), [*ANNOUNCEMENTS, "n1/t"])
        context.deliver(topic("other"), b"")
        self.assertEqual(context.filters(), ANNOUNCEMENTS)

    def test_new_topic_before_the_old_one_goes(self) -> None:
        """A change of topics leaves no gap, and a topic that stays is not touched."""
        context = self.make()
        context.deliver(topic(), sensor(availability_topic="n1/a"))
        before = list(context.subscriptions)
        context.deliver(topic(), sensor(availability_topic="n1/a", state_topic="n1/new"))
        self.assertEqual(context.filters(), [*ANNOUNCEMENTS, "n1/a", "n1/new"])
        self.assertEqual(len(context.subscriptions), len(before) + 1)

    def test_topics_that_are_refused(self) -> None:
        """Wildcards alone, announcements, the broker's own topics and shares."""
        context = self.make()
        refused = (
            "#",
            "+",
            "+/+",
            "/",
            "homeassistant/#",
            "homeassistant/sensor/n1/x/config",
            "+/sensor/+/config",
            "$SYS/broker/uptime",
            "$share/g/x",
            "a+",
            "x" * 600,
        )
        for number, state_topic in enumerate(refused):
            context.deliver(
                topic(f"x{number}"), sensor(unique_id=str(number), state_topic=state_topic)
            )
        self.assertEqual(context.filters(), ANNOUNCEMENTS)
        self.assertEqual(len(context.logged()), len(refused))

    def test_wildcard_of_a_sensor(self) -> None:
        """What OpenMQTTGateway and Theengs send for every sensor is taken."""
        context = self.make()
        context.deliver(topic(), sensor(state_topic="+/+/BTtoMQTT/A4C138000001"))
        context.deliver("home/gw2/BTtoMQTT/A4C138000001", b"21")
        self.assertEqual(len(context.lines()), 1)

    def test_illegal_topic(self) -> None:
        """A component or an id that Home Assistant does not know is logged once."""
        context = self.make()
        for each in ("homeassistant/Sensor/x/config", "homeassistant/sensor/a.b/config"):
            context.deliver(each, sensor())
            context.deliver(each, sensor())
        self.assertEqual(context.dropped, {"illegal_topic": 4})
        self.assertEqual(len(context.logged()), 2)

    def test_what_cannot_run_is_named(self) -> None:
        """The log names the topic, the reason and the template."""
        context = self.make()
        context.deliver(topic(), sensor(value_template="{% for x in value %}{% endfor %}"))
        (line,) = context.logged()
        self.assertIn("n1/temperature/config", line)
        self.assertIn("template_not_allowed", line)


class SettingsTests(SynchronousTestCase):
    """What the settings refuse."""

    def test_shared_group(self) -> None:
        """With the reason."""
        [fault] = HadiscoverySettings(shared_group="g").check()
        self.assertEqual(fault.path, "shared_group")
        self.assertIn("no stored announcements", fault.got)

    def test_prefix(self) -> None:
        """It is a topic."""
        [fault] = HadiscoverySettings(discovery_prefix="a/+").check()
        self.assertEqual(fault.path, "discovery_prefix")


class LimitTests(ServiceCase):
    """What publishers can make the module keep is bounded."""

    def test_entities(self) -> None:
        """Those beyond the limit are refused; those that are known stay."""
        context = self.make()
        with patch("metrics_agent.modules.hadiscovery.registry.HADISCOVERY_ENTITIES", 3):
            for number in range(5):
                context.deliver(topic(f"x{number}"), sensor(unique_id=str(number)))
        self.assertEqual(len(self.module.registry), 3)
        self.assertEqual(context.dropped["too_many_entities"], 2)

    def test_topics(self) -> None:
        """So are topics."""
        context = self.make()
        with patch("metrics_agent.modules.hadiscovery.registry.HADISCOVERY_TOPICS", 3):
            for number in range(5):
                context.deliver(
                    topic(f"x{number}"), sensor(unique_id=str(number), state_topic=f"t/{number}")
                )
        self.assertEqual(self.module.registry.topics, 3)
        self.assertEqual(context.dropped["too_many_topics"], 2)

    def test_entities_of_one_device_and_of_one_topic(self) -> None:
        """What is handled at once has a limit of its own; a change within it is taken."""
        context = self.make()
        with patch("metrics_agent.modules.hadiscovery.registry.HADISCOVERY_ENTITIES_TOGETHER", 3):
            for number in range(5):
                changes = {"state_topic": f"t/{number}", "unique_id": str(number)}
                context.deliver(topic(f"x{number}"), sensor(**changes))
                changes = {"state_topic": "t/all", "device": {"identifiers": [f"d{number}"]}}
                context.deliver(topic(f"y{number}"), sensor(unique_id=f"y{number}", **changes))
            self.assertEqual(len(self.module.registry), 6)
            self.assertEqual(context.dropped["too_many_entities"], 4)
            renamed = {"identifiers": ["n1"], "name": "Renamed"}
            context.deliver(topic("x1"), sensor(unique_id="1", state_topic="t/1", device=renamed))
            self.assertEqual(context.dropped["too_many_entities"], 4)
            # None moves to where there is no room.
            context.deliver(topic("y1"), sensor(unique_id="y1", state_topic="t/all"))
            context.deliver(topic("x1"), sensor(unique_id="1", state_topic="t/all"))
        self.assertEqual(context.dropped["too_many_entities"], 6)

    def test_long_texts(self) -> None:
        """Entities with long texts have a limit of their own; ordinary ones still have room."""
        context = self.make(texts=True)
        with patch("metrics_agent.modules.hadiscovery.registry.HADISCOVERY_LONG_BYTES", 18_000):
            for number in range(5):
                options = [f"{number}{index}" * 10 for index in range(100)]
                changes = {"device_class": "enum", "options": options, "unit_of_measurement": None}
                context.deliver(topic(f"x{number}"), sensor(unique_id=str(number), **changes))
            context.deliver(topic(), sensor())
        self.assertEqual(context.dropped["too_many_entities"], 3)
        self.assertEqual(len(self.module.registry), 3)

    def test_templates(self) -> None:
        """Templates of entities that are gone, or were refused, take no room."""
        context = self.make()
        for number in range(50):
            context.deliver(topic(), sensor(value_template=f"{{{{ value_json.a{number} * 2 }}}}"))
        self.assertEqual(len(self.module.registry.templates), 1)
        context.deliver(topic(), sensor(value_template="{{ value_json.b + 1 }}", unique_id=[]))
        self.assertEqual(len(self.module.registry.templates), 1)
        context.deliver(topic(), b"")
        self.assertEqual(len(self.module.registry.templates), 0)
        self.assertEqual(self.module.registry.templates.size_bytes, 0)

    def test_templates_with_blanks_around_them(self) -> None:
        """They are the same as without, and go like others."""
        context = self.make()
        available = {"topic": "n1/a", "value_template": " {{ value_json.state }} "}
        for blanks in (" ", "\n", ""):
            template = f"{blanks}{{{{ value_json.t * 2 }}}}{blanks}"
            context.deliver(topic(), sensor(value_template=template, availability=[available]))
            self.assertEqual(len(self.module.registry.templates), 2)
            context.deliver(topic(), b"")
        self.assertEqual(self.indexes(), [0] * len(self.indexes()))

    def test_templates_of_one_announcement(self) -> None:
        """What takes long to compile is limited in each; what is known costs nothing."""
        context = self.make()
        for wrong in ("", "{% for x in 'abc' %}"):
            components = {
                f"c{number}": {
                    "platform": "sensor",
                    "unique_id": f"c{number}",
                    "device_class": "temperature",
                    "unit_of_measurement": "°C",
                    "state_topic": "n1/t",
                    "value_template": f"{wrong}{{{{ value_json.a{number} * 2 }}}}",
                }
                for number in range(200)
            }
            payload = {
                "device": {"identifiers": ["n1"]},
                "origin": {"name": "o"},
                "components": components,
            }
            context.deliver(f"{PREFIX}/device/n1/config", json.dumps(payload).encode())
        self.assertEqual(len(self.module.registry), 67)
        self.assertEqual(context.dropped["too_many_templates"], 133 + 133)
        context.deliver(topic(), sensor(value_template="{{ value_json.b * 2 }}"))
        self.assertEqual(len(self.module.registry), 68)

    def test_nothing_is_left_of_what_was_removed(self) -> None:
        """After a removal all indexes are as before."""
        context = self.make()
        empty = self.indexes()
        for round_ in range(3):
            for number in range(20):
                context.deliver(
                    topic(f"x{number}"),
                    sensor(
                        unique_id=str(number),
                        state_topic=f"t/{number}/{round_}",
                        device={"identifiers": [f"d{number % 3}"], "name": f"{round_}"},
                        availability_topic=f"a/{number % 4}",
                        value_template="{{ value_json.x }}",
                    ),
                )
        for number in range(20):
            context.deliver(topic(f"x{number}"), b"")
        self.assertEqual(self.indexes(), empty)
        self.assertEqual(context.filters(), ANNOUNCEMENTS)

    def indexes(self) -> list[int]:
        """Return the lengths of all that the registry keeps."""
        registry = self.module.registry
        kept = [each for each in vars(registry).values() if isinstance(each, dict)]
        return [*map(len, kept), registry._long_bytes, len(registry.templates)]


class RestartTests(ServiceCase):
    """What was announced is known after a restart."""

    def restart(self, context: FakeContext, **settings: Any) -> FakeContext:
        """Stop the module and start another one with its state."""
        self.module.stopService()
        return self.make(context.state_path("x").parent, **settings)

    def test_restored(self) -> None:
        """Entities are there before the first message."""
        context = self.make()
        context.deliver(topic(), sensor())
        self.again = self.restart(context)
        self.assertIn("n1/t", self.again.filters())
        self.again.deliver("n1/t", b"21")
        self.assertEqual(len(self.again.lines()), 1)

    def test_saved_while_running(self) -> None:
        """A burst is saved once, soon after it."""
        context = self.make()
        context.deliver(topic(), sensor())
        context.advance(3)
        stored = json.loads((context.state_path("announcements.json")).read_text())
        self.assertEqual(list(stored), [topic()])

    def test_a_removed_one_is_not_restored(self) -> None:
        """Neither is one whose payload cannot be used."""
        context = self.make()
        context.deliver(topic(), sensor())
        context.deliver(topic("bad"), b"{")
        context.deliver(topic(), b"")
        again = self.restart(context)
        self.assertEqual(again.filters(), ANNOUNCEMENTS)

    def test_silent_ones_are_forgotten_after_a_day(self) -> None:
        """One that sent something stays, and one that announced itself."""
        context = self.make()
        for name in ("a", "b", "c"):
            context.deliver(topic(name), sensor(unique_id=name, state_topic=f"n1/{name}"))
        again = self.restart(context)
        again.deliver("n1/a", b"1")
        again.deliver(topic("b"), sensor(unique_id="b", state_topic="n1/b"))
        again.advance(FORGET_AFTER_S)
        self.assertEqual(again.filters(), [*ANNOUNCEMENTS, "n1/a", "n1/b"])

    def test_damaged_file(self) -> None:
        """What is no announcement is ignored."""
        context = self.make()
        path = context.state_path("announcements.json")
        for text in ('{"x": "y", "homeassistant/sensor/n1/a/config": 5}', "[]", "{", "null"):
            path.write_text(text)
            again = self.restart(context)
            self.assertEqual(again.filters(), ANNOUNCEMENTS)

    def test_file_has_a_limit(self) -> None:
        """The latest announcements are kept, as far as there is room."""
        context = self.make()
        with patch("metrics_agent.modules.hadiscovery.remembered.STATE_FILE_BYTES", 4000):
            for number in range(50):
                context.deliver(topic(f"x{number}"), sensor(unique_id=str(number)))
            self.module.stopService()
        path = context.state_path("announcements.json")
        self.assertLess(path.stat().st_size, 4001)
        self.assertEqual(list(json.loads(path.read_text()))[-1], topic("x49"))


class MessageTests(ServiceCase):
    """Values."""

    def test_a_failing_template_costs_its_entity_only(self) -> None:
        """It is logged once with the entity, counted each time."""
        context = self.make()
        context.deliver(topic("bad"), sensor(unique_id="b", value_template="{{ 1 / 0 }}"))
        context.deliver(topic(), sensor())
        context.deliver("n1/t", b"20")
        context.deliver("n1/t", b"21")
        self.assertEqual(len(context.lines()), 2)
        self.assertEqual(context.dropped, {"template_error": 2})
        self.assertEqual(len(context.logged()), 1)

    def test_what_is_logged_of_a_template(self) -> None:
        """Device, entity and reason: of a value, of an availability, of one that is refused."""
        fails, loops = "{{ 1 / 0 }}", "{% for x in value %}{% endfor %}"
        of_availability = {"availability_topic": "n1/a", "availability_template": fails}
        cases: tuple[tuple[dict[str, Any], str], ...] = (
            ({"value_template": fails}, "ZeroDivisionError"),
            (of_availability, "ZeroDivisionError"),
            ({"value_template": loops}, "template_not_allowed"),
            ({**of_availability, "availability_template": loops}, "template_not_allowed"),
        )
        for config, reason in cases:
            context = self.make()
            context.deliver(topic(), sensor(**config))
            for name in {"n1/t", "n1/a"}.intersection(context.filters()):
                context.deliver(name, b"1")
            [line] = context.logged()
            for part in ("Node", "sensor", "temperature", reason):
                self.assertIn(part, line)

    def test_a_template_that_fails_with_an_earlier_message(self) -> None:
        """Counted and logged as well: the broker sends what it has stored only once."""
        context = self.make()
        context.deliver(topic(), sensor(availability_topic="n1/a"))
        context.deliver("n1/a", b"online", retain=True)
        fails = {"availability_topic": "n1/a", "availability_template": "{{ 1 / 0 }}"}
        context.deliver(topic("other"), sensor(unique_id="o", **fails))
        [line] = context.logged()
        self.assertIn("n1/a: left out the availability of Node sensor n1 other: Zero", line)
        self.assertEqual(context.dropped, {"template_error": 1})

    def test_device_of_a_refused_template(self) -> None:
        """By its name, or else by what identifies it, whatever has the place of these."""
        loops = "{% for x in value %}{% endfor %}"
        for device, expected in (
            ({"identifiers": ["a", "b"]}, "announcement of a: "),
            ({"identifiers": "a"}, "announcement of a: "),
            ({"identifiers": []}, "announcement: "),
            ({"name": 5, "identifiers": ["a"]}, "announcement: "),
            (None, "announcement: "),
        ):
            context = self.make()
            context.deliver(topic(), sensor(device=device, value_template=loops))
            [line] = context.logged()
            self.assertIn(expected, line)

    def test_large_messages_are_not_kept(self) -> None:
        """Nor their JSON, longer than for the turn in which they come."""
        context = self.make()
        context.deliver(topic(), sensor(value_template="{{ value_json.a }}"))
        # Modules of other tests that are not collected yet may have some.
        ours = json.dumps({"a": 5, "b": "large" * 2000}).encode()
        for _ in range(2):
            context.deliver("n1/t", ours)
            context.advance(0)
        kept = [each for each in gc.get_objects() if isinstance(each, Payload)]
        self.assertEqual([each for each in kept if each.data == ours], [])
        self.assertEqual(len(context.lines()), 2)

    def test_templates_share_the_steps_of_a_message(self) -> None:
        """However many take long, the message is soon done; the others have their values."""
        context = self.make()
        heavy = "{{ (value_json.x | upper | lower | upper | lower | upper | length) + 0 }}"
        for number in range(20):
            context.deliver(
                topic(f"x{number}"), sensor(unique_id=str(number), value_template=heavy)
            )
        cheap = "{{ value_json.a * 2 }}"
        context.deliver(topic("z"), sensor(unique_id="z", value_template=cheap))
        payload = json.dumps({"x": "x" * 60_000, "a": 4}).encode()
        for _ in range(2):
            values = [each.fields["temperature"] for each in context.deliver("n1/t", payload)]
            self.assertEqual(values[-1], 8.0)
            self.assertTrue(1 < len(values) < 10, values)
        self.assertGreater(context.dropped["template_error"], 20)

    def test_json_is_decoded_once(self) -> None:
        """However many entities read it."""
        context = self.make()
        for name in ("a", "b", "c"):
            context.deliver(
                topic(name), sensor(unique_id=name, value_template=f"{{{{ value_json.{name} }}}}")
            )
        with patch(
            "metrics_agent.modules.hadiscovery.payload.loads", return_value={"a": 1}
        ) as loads:
            context.deliver("n1/t", b'{"a":1}')
        self.assertEqual(loads.call_count, 1)

    def test_retained_value_is_taken_if_wanted(self) -> None:
        """By default it is counted only."""
        for retained, count in (("ignore", 0), ("take", 1)):
            context = self.make(retained=retained)
            context.deliver(topic(), sensor())
            context.deliver("n1/t", b"20", retain=True)
            self.assertEqual(len(context.lines()), count)

    def test_a_device_that_joins_has_its_state(self) -> None:
        """What is known of a shared availability topic counts for entities that come later."""
        context = self.make()
        bridge = {"topic": "bridge", "value_template": "{{ value_json.state }}"}
        context.deliver(topic(), sensor(availability=[bridge]))
        context.deliver("bridge", b'{"state":"online"}', retain=True)
        context.deliver(
            topic(node="n2"),
            sensor(availability=[bridge], unique_id="n2", device={"identifiers": ["n2"]}),
        )
        self.assertEqual([line.split(" ")[1] for line in context.lines()], ["online=true"] * 2)

    def test_a_device_that_was_offline_from_the_start(self) -> None:
        """What says nothing yet is no word of it; a topic that says offline is, be it the first."""
        topics = [{"topic": "bridge"}, {"topic": "n1/status"}]
        for mode, steps, expected in (
            ("all", (("bridge", b"online"), ("n1/status", b"offline")), ["online=false"]),
            ("all", (("n1/status", b"offline"), ("bridge", b"online")), ["online=false"]),
            ("all", (("bridge", b"online"), ("n1/status", b"online")), ["online=true"]),
            ("any", (("bridge", b"offline"),), []),
            ("any", (("bridge", b"offline"), ("n1/status", b"offline")), ["online=false"]),
            ("any", (("bridge", b"offline"), ("n1/status", b"online")), ["online=true"]),
            ("latest", (("bridge", b"offline"),), ["online=false"]),
            ("latest", (("bridge", b"hello"),), []),
        ):
            context = self.make()
            context.deliver(topic(), sensor(availability=topics, availability_mode=mode))
            for each, payload in steps:
                context.deliver(each, payload, retain=True)
            self.assertEqual([line.split(" ")[1] for line in context.lines()], expected, mode)

    def test_a_device_that_joins_one_that_is_offline(self) -> None:
        """It is offline too, as soon as it is known."""
        context = self.make()
        context.deliver(topic(), sensor(availability_topic="status"))
        context.deliver("status", b"offline", retain=True)
        context.deliver(
            topic(node="n2"),
            sensor(availability_topic="status", unique_id="n2", device={"identifiers": ["n2"]}),
        )
        self.assertEqual([line.split(" ")[1] for line in context.lines()], ["online=false"] * 2)

    def test_a_device_that_joins_a_bridge_that_is_known(self) -> None:
        """A topic that has its subscription brings nothing again: its last message counts."""
        context = self.make()
        bridge = {"topic": "bridge", "value_template": "{{ value_json.state }}"}
        context.deliver(topic(), sensor(availability=[bridge, {"topic": "n1/status"}]))
        context.deliver("bridge", b'{"state":"online"}', retain=True)
        context.deliver(
            topic(node="n2"),
            sensor(
                availability=[bridge, {"topic": "n2/status"}],
                availability_mode="all",
                unique_id="n2",
                device={"identifiers": ["n2"]},
                state_topic="n2/t",
            ),
        )
        context.deliver("n2/status", b"online", retain=True)
        context.deliver("n2/t", b"20")
        self.assertEqual(
            [line.split(" ")[1] for line in context.lines()][-2:],
            ["online=true", "temperature=20.0"],
        )

    def test_a_device_that_joins_a_bridge_that_is_a_value(self) -> None:
        """Zigbee2MQTT announces the state of its bridge first, an entity that is always there."""
        for now, expected in (
            ((), "true"),
            ((b"offline",), "false"),
            ((b"offline", b"online"), "true"),
        ):
            context = self.make()
            context.deliver(
                topic("connection", component="binary_sensor"),
                json.dumps(
                    {"unique_id": "c", "state_topic": "bridge", "payload_on": "up"}
                ).encode(),
            )
            context.deliver("bridge", b"online", retain=True)
            for payload in now:
                context.deliver("bridge", payload)
            context.deliver(topic(), sensor(availability=[{"topic": "bridge"}]))
            self.assertEqual(
                [line.split(" ")[1] for line in context.lines()], [f"online={expected}"]
            )

    def test_a_joining_device_and_a_long_message(self) -> None:
        """Long messages are states: they are not kept, and come again."""
        context = self.make()
        status = {"topic": "state", "value_template": "{{ value_json.s }}"}
        context.deliver(topic(), sensor(availability=[status, {"topic": "n1/status"}]))
        context.deliver("state", b'{"s":"online"}')
        context.deliver("state", b'{"s":"online","more":"%s"}' % (b"x" * 300))
        context.deliver(
            topic(node="n2"),
            sensor(availability=[status], unique_id="n2", device={"identifiers": ["n2"]}),
        )
        self.assertNotIn("device=n2", "".join(context.lines()))
        context.deliver("state", b'{"s":"online"}')
        self.assertIn("device=n2", "".join(context.lines()))

    def test_a_joining_device_and_a_topic_with_a_wildcard(self) -> None:
        """It never says who is there, in Home Assistant neither."""
        context = self.make()
        for number in ("1", "2"):
            context.deliver(
                topic(node=number),
                sensor(
                    availability=[{"topic": "+/status"}, {"topic": f"{number}/more"}],
                    availability_mode="any",
                    unique_id=number,
                    device={"identifiers": [number]},
                ),
            )
            context.deliver("x/status", b"online", retain=True)
        self.assertEqual(context.lines(), [])


class ElsewhereTests(ServiceCase):
    """What another module collects at the same broker is not collected twice."""

    def announced(self, *kinds: tuple[str, ModuleKind, object]) -> FakeContext:
        """Announce devices beside enabled modules; returns the context."""
        modules = tuple(
            ModuleConfig(name, kind, True, None, settings, ()) for name, kind, settings in kinds
        )
        plan = build(AgentConfig(Path("agent.toml"), AgentSettings(), modules, ()))
        self.assertEqual(plan.faults, ())
        settings = HadiscoverySettings(client_id="ha")
        context = FakeContext(
            elsewhere=plan.collected_elsewhere("hadiscovery", settings.connection_settings())
        )
        self.module = HadiscoveryModule(settings, context)
        self.successResultOf(self.module.startService())
        self.addCleanup(context.stop)
        for maker, object_id, state_topic in (
            ("Tasmota", "plug", "tele/plug/SENSOR"),
            ("Tasmota", "behind", "tele/plug/5ADF/SENSOR"),
            ("Tasmota", "odd", "house/plug/SENSOR"),
            ("OpenDTU", "inverter", "solar/116180123456/0/power"),
            ("OpenDTU", "dtu", "solar/dtu/rssi"),
            ("OpenDTU", "other", "roof/116180123456/0/power"),
            ("OpenDTU", "limiter", "solar/powerlimiter/status/target"),
            ("espressif", "node", "tele/node/SENSOR"),
        ):
            device = {"identifiers": [object_id], "manufacturer": maker}
            config = sensor(unique_id=object_id, state_topic=state_topic, device=device)
            context.deliver(topic(object_id), config)
        return context

    def left_out(self) -> set[str]:
        """Return the entities that are not there."""
        there = {entity.object_id for entity in self.module.registry.entities.values()}
        names = {"plug", "behind", "odd", "inverter", "dtu", "other", "limiter", "node"}
        return names - there

    def test_nothing_is_lost_without_the_modules(self) -> None:
        """Also where they are at other brokers, or read their device without a broker."""
        self.announced()
        self.assertEqual(self.left_out(), set())
        broker = {"broker": "tcp://other.test"}
        self.announced(
            ("tasmota", TASMOTA, TasmotaSettings(**broker)),
            ("opendtu", OPENDTU, OpenDtuSettings(url="http://dtu.test")),
            ("opendtu:b", OPENDTU, OpenDtuSettings(mqtt=OpenDtuMqttSettings(**broker))),
        )
        self.assertEqual(self.left_out(), set())

    def test_what_they_collect_is_left_out(self) -> None:
        """By publisher and topic, with one line for each publisher."""
        context = self.announced(
            ("tasmota", TASMOTA, TasmotaSettings(topics=("%topic%/%prefix%/",))),
            ("opendtu:roof", OPENDTU, OpenDtuSettings(mqtt=OpenDtuMqttSettings())),
        )
        self.assertEqual(self.left_out(), {"plug", "behind", "inverter", "dtu"})
        lines = [line for line in context.logged("info") if "collects them" in line]
        self.assertEqual(len(lines), 2)
        self.assertIn("Tasmota", lines[0])
        self.assertIn("module opendtu:roof collects them", lines[1])
        self.assertEqual(context.dropped, {"ignored_publisher": 4})
