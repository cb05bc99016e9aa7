"""What no honest device does: it is left out, counted, logged once, and takes bounded work."""

from __future__ import annotations

import gc
import json
import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.errors import PayloadError
from metrics_agent.limits import (
    TASMOTA_MESSAGE_BYTES,
    TASMOTA_NAME_CHARS,
    TASMOTA_OBJECTS,
    TASMOTA_POINTS,
)
from metrics_agent.modules.tasmota.discovery import DeviceConfig, parse_config
from metrics_agent.testing import FakeContext
from tests.modules.tasmota.support import TWO_CHANNELS, announcement, config_topic, make

POWER = b'{"ENERGY":{"Power":1}}'


def known(**config: object) -> FakeContext:
    """Return a context whose module knows the device ``plug``."""
    _, context = make()
    context.deliver(config_topic(), announcement(**config))
    context.advance(20)
    return context


def said(context: FakeContext, part: str) -> list[str]:
    """Return the log lines that contain a text."""
    return [line for line in context.logged("warn") + context.logged("info") if part in line]


class LongNames(SynchronousTestCase):
    """Names of objects and sensors."""

    def test_left_out(self) -> None:
        """They are counted and logged once; what is beside them is taken."""
        for name in ("1" * 40_000 + "x", "DS18B20-" + "1" * 40_000, "x" * (TASMOTA_NAME_CHARS + 1)):
            context = known()
            payload = json.dumps({name: {"Temperature": 1}, "AM2301": {"Temperature": 2}})
            for _ in range(2):
                metrics = context.deliver("tele/plug/SENSOR", payload.encode())
                self.assertEqual([each.series.tags["sensor"] for each in metrics], ["AM2301"])
            self.assertEqual(context.dropped, {"name_too_long": 2})
            (line,) = said(context, "name_too_long")
            self.assertIn("plug: left out " + name[:40] + "...", line)
            self.assertIn("limit 128", line)
            self.assertLess(len(line), 300)

    def test_everywhere(self) -> None:
        """Also of inputs, of Zigbee devices and of a chip in ENERGY."""
        name = "x" * (TASMOTA_NAME_CHARS + 1)
        for document in (
            {name: "ON"},
            {"ZbReceived": {"0x01": {"Name": name, "Temperature": 1}}},
            {"ZbReceived": {name: {"Temperature": 1}}},
            {"ENERGY": {"Power": [1, 2], name: {"Temperature": 1}}},
        ):
            context = known()
            metrics = context.deliver("tele/plug/SENSOR", json.dumps(document).encode())
            self.assertEqual({each.series.measurement for each in metrics} - {"electricity"}, set())
            self.assertEqual(context.dropped, {"name_too_long": 1})

    def test_the_longest_is_taken(self) -> None:
        context = known()
        name = "x" * TASMOTA_NAME_CHARS
        self.assertEqual(
            len(context.deliver("tele/plug/SENSOR", b'{"%b":{"Temperature":1}}' % name.encode())), 1
        )

    def test_unknown_topic(self) -> None:
        """A topic that no device can have makes no device."""
        module, context = make()
        for index in range(3):
            context.deliver(f"tele/{index}{'x' * 60_000}/SENSOR", POWER)
        self.assertEqual((context.metrics, context.dropped), ([], {"topic_too_long": 3}))
        self.assertFalse(module._registry.seen_any)
        self.assertLess(len(context.logged("warn")[0]), 300)


class Announcements(SynchronousTestCase):
    """Texts of announcements."""

    def test_names_are_cut(self) -> None:
        """A friendly name of 65,000 characters costs itself only; counted, logged once."""
        context = known(fn=["Lamp" * 16_000], dn="D" * 1000)
        (metric,) = context.deliver("tele/plug/SENSOR", POWER)
        self.assertEqual(metric.series.tags["friendly"], ("Lamp" * 32)[:TASMOTA_NAME_CHARS])
        self.assertEqual(len(context.lines()), 1)
        context.deliver(config_topic(), announcement(fn=["Lamp" * 16_000], dn="D" * 1000))
        self.assertEqual(context.dropped, {"name_too_long": 4})
        (line,) = said(context, "name_too_long")
        self.assertIn("plug: left out fn LampLamp", line)
        self.assertLess(len(line), 300)

    def test_number_of_names(self) -> None:
        self.assertEqual(len(parse_config(announcement(fn=["x"] * 1000)).friendly_names), 32)

    def test_payload_texts_are_ignored(self) -> None:
        """What is compared with payloads cannot be cut."""
        dropped: list[str] = []
        config = parse_config(
            announcement(onln="x" * 1000, ofln="x" * 1000, state=["x" * 1000, "AN", "x" * 9000]),
            lambda reason, _where: dropped.append(reason),
        )
        self.assertEqual((config.online, config.offline), ("Online", "Offline"))
        self.assertEqual(config.states, ("OFF", "ON"))
        self.assertEqual(dropped, ["name_too_long"] * 3)

    def test_refused(self) -> None:
        """Topics cannot be cut, and invalid ones cannot be used."""
        for changes, reason in (
            ({"t": "x" * 60_000}, "topic_too_long"),
            ({"ft": "%topic%" * 9000}, "topic_too_long"),
            ({"ft": "%topic%" * 30, "t": "x" * 200}, "topic_too_long"),
            ({"tp": ["c", "s", "t" * 300]}, "topic_too_long"),
            ({"hn": "x" * 300, "ft": "%prefix%/%hostname%/"}, "topic_too_long"),
            ({"t": "/".join("x" * 250)}, "topic_too_long"),
            ({"tp": ["cmnd", "st\ufdd0at", "tele"]}, "bad_topic"),
            ({"tp": ["cm\ufffend", "stat", "tele"]}, "bad_topic"),
            ({"ft": "$share/g/%prefix%/%topic%/"}, "bad_topic"),
            ({"ft": "\ud800/%prefix%/%topic%/"}, "bad_topic"),
            ({"fn": ["x" * TASMOTA_MESSAGE_BYTES]}, "too_long"),
        ):
            fault = self.assertRaises(PayloadError, parse_config, announcement(**changes))
            self.assertEqual(fault.reason, reason, changes)
            self.assertLess(len(str(fault)), 300)

    def test_refusal_is_logged(self) -> None:
        _, context = make()
        before = context.filters()
        context.deliver(config_topic(), announcement(tp=["cmnd", "st\ufdd0at", "tele"]))
        context.deliver(config_topic("x" * 1000), announcement())
        self.assertEqual(context.dropped, {"bad_topic": 1, "topic_too_long": 1})
        self.assertEqual(context.filters(), before)
        first, second = context.logged("warn")
        self.assertIn("A4CF12C0FFEE cannot be used: bad_topic", first)
        self.assertLess(len(second), 200)

    def test_nothing_stays(self) -> None:
        """Texts of devices that are gone take no memory: in Python 3.12 sys.intern keeps them."""

        def announce(start: int) -> None:
            for index in range(start, start + 2000):
                text = f"{index:x<100}"
                parse_config(announcement(onln=text, ofln=f"o{text}", ft=f"{text}/%prefix%"))

        announce(0)
        gc.collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        announce(10_000)
        gc.collect()
        self.assertLess(tracemalloc.get_traced_memory()[0], 300_000)


class LargeMessages(SynchronousTestCase):
    """Objects and points of one message."""

    def send(self, document: object) -> tuple[FakeContext, int]:
        context = known()
        payload = document if isinstance(document, bytes) else json.dumps(document).encode()
        return context, len(context.deliver("tele/plug/SENSOR", payload))

    def test_bytes(self) -> None:
        """35,000 points in 900 KB: not read at all."""
        sensors = {f"S{index}": {"Temperature": 1} for index in range(35_000)}
        context, count = self.send(sensors)
        self.assertEqual((count, context.dropped), (0, {"too_long": 1}))
        (line,) = said(context, "too_long")
        self.assertIn("plug: left out a message on tele/plug/SENSOR", line)
        self.assertIn(f"at most {TASMOTA_MESSAGE_BYTES}", line)

    def test_objects(self) -> None:
        """Those after the limit; units at the end hold for those before it."""
        sensors = {f"S{index}": {"Temperature": 50} for index in range(1000)}
        context, count = self.send({**sensors, "TempUnit": "F"})
        self.assertEqual((count, context.dropped), (TASMOTA_OBJECTS, {"too_many_objects": 1}))
        self.assertEqual(context.metrics[-1].fields, {"temperature": 10})
        (line,) = said(context, "too_many_objects")
        self.assertIn(f"limit {TASMOTA_OBJECTS}", line)
        context, count = self.send({"ZbReceived": {f"{i}": {"Humidity": 5} for i in range(1000)}})
        self.assertEqual((count, context.dropped), (TASMOTA_OBJECTS, {"too_many_objects": 1}))

    def test_points(self) -> None:
        """Objects may give several points each, and inputs are not objects."""
        sensors = {f"S{i}": {"Temperature": [1] * 32} for i in range(20)}
        context, count = self.send(sensors)
        self.assertEqual(count, TASMOTA_POINTS)
        self.assertEqual(context.dropped, {"too_many_points": 1})
        (line,) = said(context, "too_many_points")
        self.assertIn(f"limit {TASMOTA_POINTS} points a message", line)
        context, count = self.send({f"Switch{i}": "ON" for i in range(1000)})
        self.assertEqual(count, TASMOTA_POINTS)


class Commands(SynchronousTestCase):
    """Where we publish."""

    def asked(self, topics: tuple[str, ...] = (), **config: object) -> list[str]:
        _, self.context = make(topics=topics)
        self.context.deliver(config_topic(), announcement(**config))
        found = parse_config(announcement(**config))
        self.assertIsInstance(found, DeviceConfig)
        for total in (5, 6):
            self.context.deliver(f"{found.bases[-1]}/SENSOR", TWO_CHANNELS % total)
        return [each.topic for each in self.context.published]

    def test_only_below_cmnd(self) -> None:
        """Else a device could have us publish with our rights where it has none."""
        self.assertEqual(self.asked(), ["cmnd/plug/EnergyTotal"])
        for config in (
            {"ft": "victim/%prefix%/%topic%/"},
            {"tp": ["victim", "stat", "tele"]},
            {"ft": "%topic%/%prefix%/", "t": "victim"},
            {"tp": ["cmndx", "stat", "tele"]},
        ):
            self.assertEqual(self.asked(**config), [], config)
            self.assertEqual(self.context.dropped, {"command_topic": 2})
            (line,) = said(self.context, "command_topic")
            self.assertIn("plug" if "t" not in config else "victim", line)
            self.assertIn("the setting topics", line)

    def test_where_the_configuration_says_so(self) -> None:
        topics = ("home/%prefix%/%topic%/", "garden/#")
        for topic in ("plug", "room/plug"):
            self.assertEqual(
                self.asked(topics, ft="home/%prefix%/%topic%/", t=topic),
                [f"home/cmnd/{topic}/EnergyTotal"],
            )
        self.assertEqual(self.asked(topics, ft="garden/%prefix%/%topic%/"), [])
        self.assertEqual(self.asked(topics, ft="home/%prefix%/x/%topic%/"), [])

    def test_stranger(self) -> None:
        """A shape that another device announced does not make a configured one."""
        _, context = make()
        context.deliver(config_topic(), announcement(ft="victim/%prefix%/%topic%/"))
        context.deliver("victim/tele/other/SENSOR", TWO_CHANNELS % 5)
        self.assertEqual((context.published, context.dropped), ([], {"command_topic": 1}))
