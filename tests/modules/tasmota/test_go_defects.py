"""Defects of the Go agent that this module must not have; the numbers are of our list of them."""

from __future__ import annotations

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.modules import tasmota
from tests.modules.tasmota.support import TWO_CHANNELS, announcement, config_topic, make

POWER = b'{"ENERGY":{"Power":%d}}'


class GoDefects(SynchronousTestCase):
    """One test a defect."""

    def test_topics_are_built_from_the_announcement(self) -> None:
        """B13: a custom FullTopic or prefix gave nothing, the topic was hard-coded."""
        _, context = make()
        context.deliver(
            config_topic(), announcement(ft="house/%topic%/%prefix%/", tp=["c", "s", "t"])
        )
        self.assertEqual(len(context.deliver("house/plug/t/SENSOR", POWER % 1)), 1)

    def test_shutters_are_discovered(self) -> None:
        """B14: ``sho`` and ``sht`` were declared as texts, so every shutter was refused."""
        _, context = make()
        context.deliver(
            config_topic(), announcement(rl=[3, 3], sho=[0, 1], sht=[[-90, 90, 5], [0, 0, 0]])
        )
        self.assertEqual(len(context.deliver("tele/plug/SENSOR", POWER % 1)), 1)
        self.assertEqual(context.dropped, {})

    def test_removed_devices_are_forgotten(self) -> None:
        """B15: the empty announcement of a removal was a parse error, the device stayed."""
        module, context = make()
        context.deliver(config_topic(), announcement())
        context.deliver(config_topic(), b"", retain=True)
        self.assertEqual(len(module._registry), 0)
        self.assertEqual((context.dropped, context.logged("warn")), ({}, []))

    def test_other_sensors_are_read_and_unknown_ones_counted(self) -> None:
        """B16: everything but ENERGY and MT175 was dropped without a word."""
        _, context = make()
        context.deliver(config_topic(), announcement())
        metrics = context.deliver(
            "tele/plug/SENSOR",
            b'{"BME280":{"Temperature":20},"SML":{"Total_in":5},"MT175":{"P":1,"E_in":2},"WAT":{"a":1}}',
        )
        self.assertEqual(
            [metric.series.tags["sensor"] for metric in metrics], ["BME280", "SML", "MT175"]
        )
        self.assertEqual(context.dropped, {"unknown_object": 1, "unmapped_key": 1})

    def test_no_http(self) -> None:
        """B17: each message of a device with channels waited for a GET to an address it named."""
        _, context = make()
        context.deliver(config_topic(), announcement(ip="192.0.2.1"))
        self.assertEqual(len(context.deliver("tele/plug/SENSOR", TWO_CHANNELS % 5)), 3)
        self.assertEqual([each.topic for each in context.published], ["cmnd/plug/EnergyTotal"])
        imported = set()
        for path in Path(tasmota.__file__).parent.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ImportFrom):
                    imported.add(node.module or "")
                elif isinstance(node, ast.Import):
                    imported.update(alias.name for alias in node.names)
        for name in imported:
            self.assertNotRegex(name, r"http|twisted\.web|socket|urllib")

    def test_order_is_kept(self) -> None:
        """B18: each message had its own goroutine, so a device's points came in any order."""
        _, context = make()
        for index in range(100):
            context.deliver("tele/plug/SENSOR", POWER % index)
        context.deliver(config_topic(), announcement())
        for index in range(100, 200):
            context.deliver("tele/plug/SENSOR", POWER % index)
        self.assertEqual(
            [metric.fields["power"] for metric in context.metrics], [float(i) for i in range(200)]
        )
        times = [metric.time_ns for metric in context.metrics]
        self.assertEqual(times, sorted(set(times)))

    def test_null_and_arrays_are_no_texts(self) -> None:
        """B37: null became the text "" and an array "1,2": a type conflict in the database."""
        _, context = make()
        context.deliver(config_topic(), announcement())
        context.deliver("tele/plug/SENSOR", b'{"ENERGY":{"Power":1,"Voltage":null,"Factor":"0.5"}}')
        context.deliver("tele/plug/SENSOR", b'{"ENERGY":{"Power":1,"Voltage":[230,null]}}')
        values = [value for metric in context.metrics for value in metric.fields.values()]
        self.assertEqual({type(value) for value in values}, {float})

    def test_power_is_not_required(self) -> None:
        """Points without ``Power`` were dropped, and of MT175 those with the documented ``P``."""
        _, context = make()
        context.deliver(config_topic(), announcement())
        self.assertEqual(len(context.deliver("tele/plug/SENSOR", b'{"ENERGY":{"Voltage":1}}')), 1)
        self.assertEqual(len(context.deliver("tele/plug/SENSOR", b'{"MT175":{"P":1,"E_in":2}}')), 1)
