"""The devices that announce themselves, read by the module that is to read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from line_protocol_parser import parse_line
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.demo.announced import REPORT_EVERY, EspHomeNode, ZigbeeSensor, make_announced
from metrics_agent.modules.hadiscovery.config import HadiscoverySettings
from metrics_agent.modules.hadiscovery.service import HadiscoveryModule
from metrics_agent.testing import FakeContext

NOW_S = 1_770_000_000.0
PERIOD_S = 720
"""After which the node does the same again."""


class Announced(SynchronousTestCase):
    """Each device becomes the measurements it is there to show."""

    def setUp(self) -> None:
        self.context = FakeContext()
        HadiscoveryModule(HadiscoverySettings(), self.context).startService()
        self.sensor, self.node = make_announced()

    def send(
        self, device: ZigbeeSensor | EspHomeNode, intervals: Iterable[int], start_s: float = NOW_S
    ) -> None:
        """Give the module what a device sends: announcements first, as the connection does."""
        for interval in intervals:
            messages = list(device.due(interval, start_s + interval))
            for message in sorted(messages, key=lambda each: not each.topic.endswith("/config")):
                self.context.deliver(message.topic, message.payload)

    def found(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the fields of all lines, by measurement and sensor."""
        fields: dict[tuple[str, str], dict[str, Any]] = {}
        for each in map(parse_line, self.context.lines()):
            key = (each["measurement"], each["tags"].get("sensor", ""))
            fields.setdefault(key, {}).update(each["fields"])
        return fields

    def test_sensor_on_a_battery(self) -> None:
        """One line for what shares a series; it reports now and then."""
        self.send(self.sensor, range(1))
        found = self.found()
        self.assertEqual(
            {key: set(fields) for key, fields in found.items()},
            {
                ("climate", ""): {"temperature", "humidity", "pressure"},
                ("device", ""): {"battery", "online"},
                ("electricity", ""): {"voltage"},
            },
        )
        self.assertApproximates(found["climate", ""]["temperature"], 22.5, 1.5)
        self.assertApproximates(found["electricity", ""]["voltage"], 2.985, 0.021)
        tags = parse_line(self.context.lines()[-1])["tags"]
        self.assertEqual(
            (tags["vendor"], tags["device"], tags["friendly"]),
            ("zigbee2mqtt", "zigbee2mqtt_0x00158d0000000001", "Bathroom"),
        )
        before = len(self.context.metrics)
        self.send(self.sensor, range(1, REPORT_EVERY))
        self.assertEqual(len(self.context.metrics), before)
        self.send(self.sensor, range(REPORT_EVERY, REPORT_EVERY + 1))
        self.assertGreater(len(self.context.metrics), before)

    def test_node(self) -> None:
        """Its counter is a total, its compressor runs now and then, and so does its radio."""
        self.send(self.node, range(PERIOD_S))
        found = self.found()
        self.assertEqual(
            {key: set(fields) for key, fields in found.items()},
            {
                ("climate", "flow"): {"temperature"},
                ("climate", "return"): {"temperature"},
                ("device", ""): {"online"},
                ("device", "wifi"): {"signal"},
                ("electricity", ""): {"power", "energy_total"},
                ("state", "compressor"): {"running"},
            },
        )
        online = [
            each["fields"]["online"]
            for each in map(parse_line, self.context.lines())
            if "online" in each["fields"]
        ]
        self.assertGreater(online.count(False), 5)
        self.assertLessEqual(abs(online.count(True) - online.count(False)), 1)
        running = [
            each["fields"]["running"]
            for each in map(parse_line, self.context.lines())
            if "running" in each["fields"]
        ]
        self.assertEqual(set(running), {True, False})

    def test_nothing_is_left_out(self) -> None:
        """Also of a node that is out of reach at first: it is known, and offline."""
        start_s = next(
            NOW_S + each for each in range(PERIOD_S) if not self.node.in_reach.at(NOW_S + each)
        )
        self.send(self.node, range(1), start_s)
        self.assertEqual([each.fields for each in self.context.metrics], [{"online": False}])
        self.send(self.node, range(1, 80), start_s)
        self.send(self.sensor, range(10))
        self.assertEqual(self.context.dropped, {})
        self.assertEqual(len({each.series.tags["device"] for each in self.context.metrics}), 2)
