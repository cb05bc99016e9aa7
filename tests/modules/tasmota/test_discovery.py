"""Announcements, topics, names, and the registry of devices."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.errors import PayloadError
from metrics_agent.limits import TASMOTA_STRANGERS
from metrics_agent.modules.tasmota.device import Device, DeviceNaming
from metrics_agent.modules.tasmota.discovery import DeviceConfig, parse_config
from metrics_agent.modules.tasmota.filters import MAX_SHAPES, user_filters
from metrics_agent.modules.tasmota.registry import Registry
from metrics_agent.modules.tasmota.topics import DEFAULT_PREFIXES, TopicShape
from tests.modules.tasmota.support import announcement

IDENTITY = {"topic": "plug", "hostname": "host-1", "mac": "A4CF12C0FFEE"}


class ParseConfig(SynchronousTestCase):
    """Reading ``config``."""

    def test_all_keys(self) -> None:
        config = parse_config(
            announcement(dslp=1, fn=["A", None, "C", None], state=["AUS", "AN"], tp=["c", "s", "t"])
        )
        self.assertEqual(
            config,
            DeviceConfig(
                topic="plug",
                device_name="Plug",
                friendly_names=("A", "", "C"),
                mac="A4CF12C0FFEE",
                prefixes=("c", "s", "t"),
                states=("AUS", "AN"),
                deep_sleep=True,
            ),
        )

    def test_hostname_only_where_the_topic_has_it(self) -> None:
        config = parse_config(announcement(ft="%prefix%/%hostname%/"))
        self.assertEqual(config.hostname, "tasmota-C0FFEE-8174")

    def test_absent_keys(self) -> None:
        """Only the topic is needed."""
        self.assertEqual(parse_config(b'{"t":"x"}'), DeviceConfig("x"))

    def test_unexpected_types_count_as_absent(self) -> None:
        """A firmware to come cannot make a device invisible."""
        odd = announcement(
            dn=5, fn="x", hn=None, mac=[], ft=1, tp=["a", 2, "c"], state=["a"], ofln={}, onln=False,
            sho=[1], sht=[[1, 2, 3]],
        )  # fmt: skip
        self.assertEqual(parse_config(odd), DeviceConfig("plug"))
        self.assertEqual(parse_config(announcement(tp=["a", "b"])).prefixes, DEFAULT_PREFIXES)

    def test_device_name_that_is_not_escaped(self) -> None:
        """Quotes, backslashes, newlines and broken UTF-8 in ``dn`` cost nothing but themselves."""
        for name in ('a"b', "back\\slash", "trail\\", "new\nline", '","fn":"x', "plain"):
            payload = announcement(dn="NAME").replace(
                b'"dn": "NAME", ', b'"dn":"%b",' % name.encode()
            )
            payload = payload.replace(b'"fn": [', b'"fn":[')
            with self.subTest(name=name):
                self.assertEqual(parse_config(payload).topic, "plug")
        broken = announcement(dn="NAME").replace(b'"dn": "NAME", "fn": ', b'"dn":"\xff","fn":')
        self.assertEqual(parse_config(broken).device_name, "\ufffd")

    def test_reasons(self) -> None:
        """What cannot be used says why."""
        for payload, reason in (
            (b"[]", "not_an_object"),
            (b'{"t":5}', "no_topic"),
            (b'{"t":""}', "no_topic"),
            (b'{"t":"x","ver":2}', "discovery_version"),
            (b'{"t":"x"', "invalid_json"),
            (b'{"dn":"x","fn":[', "invalid_json"),
            (b" ", "empty"),
        ):
            fault = self.assertRaises(PayloadError, parse_config, payload)
            self.assertEqual(fault.reason, reason)


class Topics(SynchronousTestCase):
    """Topics as the firmware builds them."""

    def test_bases(self) -> None:
        """Status and telemetry bases, and the one for commands."""
        for full_topic, bases, command in (
            ("%prefix%/%topic%/", ("stat/plug", "tele/plug"), "cmnd/plug"),
            ("%topic%/%prefix%", ("plug/stat", "plug/tele"), "plug/cmnd"),
            ("home//%prefix%/%topic%#/", ("home/stat/plug", "home/tele/plug"), "home/cmnd/plug"),
            ("%topic%/", ("plug",), "plug/cmnd"),
            ("a/%hostname%/+/%prefix%/", ("a/host-1/stat", "a/host-1/tele"), "a/host-1/cmnd"),
            (
                "%prefix%/%id%/",
                ("stat/A4CF12C0FFEE", "stat/C0FFEE", "tele/A4CF12C0FFEE", "tele/C0FFEE"),
                "cmnd/A4CF12C0FFEE",
            ),
        ):
            config = DeviceConfig(full_topic=full_topic, **IDENTITY)
            self.assertEqual((config.bases, config.command_base), (bases, command), full_topic)

    def test_shapes(self) -> None:
        """A level that differs from device to device is a wildcard."""
        for full_topic, levels, shape in (
            ("%prefix%/%topic%/", 1, ("cmnd/+", "stat/+", "tele/+")),
            ("%prefix%/%topic%/", 2, ("cmnd/+/+", "stat/+/+", "tele/+/+")),
            ("x/dev_%topic%/%prefix%/", 1, ("x/+/cmnd", "x/+/stat", "x/+/tele")),
            ("%hostname%/%id%/", 1, ("+/+/cmnd", "+/+", "+/+")),
            ("fixed/%prefix%/", 1, ("fixed/cmnd", "fixed/stat", "fixed/tele")),
        ):
            found = TopicShape.of(full_topic, DEFAULT_PREFIXES, levels)
            self.assertEqual(tuple(found), shape, full_topic)

    def test_shape_tells_the_device(self) -> None:
        """From a base come the device's name and its other bases; foreign bases are refused."""
        shape = TopicShape.of("home/%prefix%/%topic%/", DEFAULT_PREFIXES)
        self.assertEqual(shape.topic_of("home/stat/plug"), "plug")
        self.assertEqual(
            shape.bases("home/tele/plug"), ("home/cmnd/plug", "home/stat/plug", "home/tele/plug")
        )
        for foreign in ("home/x/plug", "home/tele", "tele/plug"):
            self.assertEqual((shape.topic_of(foreign), shape.bases(foreign)), (None, None))
        fixed = TopicShape.of("fixed/%prefix%/", DEFAULT_PREFIXES)
        self.assertEqual(fixed.topic_of("fixed/tele"), "fixed/tele")

    def test_user_filters(self) -> None:
        """A token or a slash at the end makes a FullTopic, anything else is a filter."""
        shapes, plain = user_filters(("home/%topic%/%prefix%", "fixed/", "a/+/SENSOR", "b/#"))
        self.assertEqual([shape.telemetry for shape in shapes], ["tele/+", "home/+/tele", "fixed"])
        self.assertEqual(plain, ["a/+/SENSOR", "b/#"])


class Names(SynchronousTestCase):
    """The tag ``friendly``."""

    def test_a_default_name_yields_to_a_name_that_was_set(self) -> None:
        """The firmware calls all devices Tasmota, and their outputs Tasmota2 and so on."""
        for device_name, names, expected in (
            ("Waschmaschine", ("Tasmota", "Tasmota2"), ("Waschmaschine",) * 3),
            ("Waschmaschine", ("Trommel", "Tasmota2"), ("Trommel", "Trommel", "Waschmaschine")),
            ("Waschmaschine", ("Sonoff",), ("Waschmaschine",) * 3),
            ("Tasmota", ("Tasmota", "Tasmota2"), ("Tasmota", "Tasmota", "Tasmota2")),
            ("Tasmota", ("Trommel", "Pumpe"), ("Trommel", "Trommel", "Pumpe")),
            ("", ("Tasmota",), ("Tasmota",) * 3),
            ("", ("Tasmota of mine",), ("Tasmota of mine",) * 3),
        ):
            config = DeviceConfig("plug", device_name=device_name, friendly_names=names)
            device = Device("plug", DeviceNaming({}), config)
            found = [device.series("electricity", each).tags["friendly"] for each in ("", "1", "2")]
            self.assertEqual(tuple(found), expected)

    def name(self, channel: str = "", sensor: str = "", **overrides: str) -> str:
        config = DeviceConfig("plug", device_name="Device", friendly_names=("First", "Second"))
        device = Device(
            "plug", DeviceNaming({key.replace("_", "."): v for key, v in overrides.items()}), config
        )
        return device.series("electricity", channel, sensor).tags["friendly"]

    def test_order(self) -> None:
        """Overrides first, the channel's own; then fn of the channel, fn[0], dn."""
        self.assertEqual(self.name(), "First")
        self.assertEqual(self.name("1"), "First")
        self.assertEqual(self.name("2"), "Second")
        self.assertEqual(self.name("3"), "First")
        self.assertEqual(self.name("2", plug="Mine"), "Mine")
        self.assertEqual(self.name("2", plug="Mine", plug_1="Other"), "Other")
        self.assertEqual(self.name("1", plug="Mine", plug_1="Other"), "Mine")

    def test_phases_of_a_meter_have_the_name_of_the_device(self) -> None:
        """``fn`` names what is switched."""
        self.assertEqual(self.name("2", "SML"), "First")

    def test_stranger(self) -> None:
        """An override names a device that never announced itself; without one there is no tag."""
        self.assertNotIn("friendly", Device("plug", DeviceNaming({})).series("device").tags)
        named = Device("plug", DeviceNaming({"plug": "Mine"}))
        self.assertEqual(named.series("device").tags["friendly"], "Mine")


class Devices(SynchronousTestCase):
    """The registry."""

    def setUp(self) -> None:
        self.registry = Registry(
            DeviceNaming({}), [TopicShape.of("%prefix%/%topic%/", DEFAULT_PREFIXES)]
        )

    def test_same_announcement_keeps_the_device(self) -> None:
        """Retained announcements come again at each reconnection."""
        config = DeviceConfig(**IDENTITY)
        first = self.registry.discover("A", config)
        self.assertIs(self.registry.discover("A", DeviceConfig(**IDENTITY)), first)

    def test_changed_announcement_moves_the_device(self) -> None:
        """A new topic replaces the old one."""
        self.registry.discover("A", DeviceConfig("old"))
        second = self.registry.discover("A", DeviceConfig("new"))
        self.assertIsNone(self.registry.find("tele/old"))
        self.assertIs(self.registry.find("tele/new"), second)

    def test_stranger_is_one_device_on_all_its_bases(self) -> None:
        stranger = self.registry.stranger("tele/x")
        self.assertIs(self.registry.stranger("stat/x"), stranger)
        self.assertEqual((stranger.topic, stranger.command_base), ("x", "cmnd/x"))
        self.assertEqual(self.registry.stranger("tele/").topic, "tele/")
        self.assertEqual(self.registry.stranger("a/tele/b").topic, "a/b")

    def test_announcement_replaces_the_stranger(self) -> None:
        """Also when it takes its bases one after the other."""
        self.registry.stranger("tele/x")
        self.registry.stranger("stat/x")
        device = self.registry.discover("A", DeviceConfig("x"))
        self.assertIs(self.registry.find("tele/x"), device)
        self.assertIs(self.registry.find("stat/x"), device)
        self.assertEqual(self.registry._strangers, {})
        self.registry.stranger("tele/y")
        self.registry.stranger("stat/y")
        self.registry.discover("B", DeviceConfig("y", prefixes=("cmnd", "tele", "tele")))
        self.assertEqual(self.registry.find("stat/y").config, None)

    def test_strangers_are_bounded(self) -> None:
        """Whoever publishes to random topics makes us forget strangers, no more."""
        for index in range(TASMOTA_STRANGERS + 5):
            self.registry.stranger(f"tele/{index}")
        self.assertIsNone(self.registry.find("tele/4"))
        self.assertIsNotNone(self.registry.find("tele/5"))
        self.assertEqual(len(self.registry._by_base), TASMOTA_STRANGERS)

    def test_shapes_are_bounded(self) -> None:
        """A device that announces another FullTopic each time takes no memory without end."""
        for index in range(MAX_SHAPES + 5):
            config = DeviceConfig("x", full_topic=f"room{index}/%prefix%/%topic%/")
            self.registry.discover("A", config)
        self.assertEqual(len(self.registry), 1)
        self.assertEqual(len(self.registry._shapes), MAX_SHAPES)

    def test_removing_what_is_not_known(self) -> None:
        self.assertIsNone(self.registry.remove("A"))
