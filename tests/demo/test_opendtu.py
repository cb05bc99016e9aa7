"""The demo's DTU: what it sends, and what the module makes of it."""

from __future__ import annotations

import json

from line_protocol_parser import parse_line
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.demo.opendtu import HEARD_EVERY_S, Dtu
from tests.modules.opendtu.support import Dtu as ModuleUnderTest

START_S = 1_760_000_000.0


class InverterTests(SynchronousTestCase):
    """What the inverters say."""

    def test_the_same_each_time(self) -> None:
        """It is made of nothing but the time."""
        one, other = Dtu(), Dtu()
        self.assertEqual(
            one.frame(one.inverters[0], START_S), other.frame(other.inverters[0], START_S)
        )

    def test_age(self) -> None:
        """An inverter in reach was heard within five seconds, one out of it longer ago."""
        roof = Dtu()
        ages = {inverter.serial: set() for inverter in roof.inverters}
        for second in range(400):
            for inverter in roof.inverters:
                message = inverter.message(START_S + second)
                ages[inverter.serial].add(message["data_age"])
                self.assertEqual(message["reachable"], inverter.in_reach.at(START_S + second) > 0)
        *always, shed = [max(ages[inverter.serial]) for inverter in roof.inverters]
        self.assertLess(max(always), HEARD_EVERY_S)
        self.assertGreater(shed, 40)

    def test_counters_fit_the_power(self) -> None:
        """What a total grows by in an hour is the mean power of that hour."""
        counter, *_ = Dtu().inverters[0].strings.values()
        grown = counter.total(START_S + 3600) - counter.total(START_S)
        self.assertAlmostEqual(grown, counter.power.integral(START_S, START_S + 3600) / 3_600_000)

    def test_values_are_printed_floats(self) -> None:
        """Values are float32, as the firmware prints them, with their unit and digits."""
        leaf = Dtu().inverters[0].message(START_S)["AC"]["0"]["Voltage"]
        self.assertEqual((leaf["u"], leaf["d"]), ("V", 1))
        self.assertNotEqual(leaf["v"], round(leaf["v"], 1))
        self.assertAlmostEqual(leaf["v"], round(leaf["v"], 1), places=4)


class DtuTests(SynchronousTestCase):
    """When messages are due."""

    def test_heard_or_ten_seconds(self) -> None:
        """Each inverter once in five seconds while it is heard, once in ten while it is not."""
        dtu = Dtu()
        counts = {"114182ab0001": 0, "112182ab0003": 0}
        parts = 0
        for second in range(200):
            for text in dtu.messages(START_S + second):
                message = json.loads(text)
                parts += "battery" in message
                for inverter in message.get("inverters", []):
                    if inverter["serial"] in counts:
                        counts[inverter["serial"]] += 1
        self.assertEqual(counts["114182ab0001"], 40)
        self.assertIn(counts["112182ab0003"], range(33, 37))
        self.assertEqual(parts, 20)

    def test_what_the_module_makes_of_it(self) -> None:
        """All of it becomes valid lines, and nothing is left out."""
        module = ModuleUnderTest().start()
        dtu = Dtu()
        for _ in range(60):
            for text in dtu.messages(START_S + module.reactor.seconds()):
                module.send(text)
            module.wait(1)
        lines = module.lines()
        for line in lines:
            parse_line(line)
        self.assertEqual(module.context.dropped, {})
        devices = {parse_line(line)["tags"]["device"] for line in lines}
        self.assertEqual(
            devices,
            {"114182ab0001", "116182ab0002", "112182ab0003", "total", "battery", "power_meter"}
            | {"dtu"},
        )
        self.assertGreater(sum(line.startswith("electricity,channel=4,") for line in lines), 10)
        module.stop()
