"""Every device class of Home Assistant, in every unit that it may have: what it is called here."""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose
from pathlib import Path
from typing import Any

from line_protocol_parser import parse_line

from metrics_agent.modules.hadiscovery.classes import BINARY_CLASSES, CLASS_UNITS, TEXT_CLASSES
from tests.modules.hadiscovery.test_service import ServiceCase, sensor, topic

TABLE = Path(__file__).parent / "classes.txt"
ANY_UNIT = {"", "EUR"}
"""Of the class monetary."""
BINARY = """
battery device battery_low true
battery_charging state charging true
carbon_monoxide state carbon_monoxide true
cold state cold true
connectivity state connected true
door state contact false
garage_door state contact false
gas state gas true
glass_break state glass_break true
heat state heat true
light state light true
lock state locked false
moisture state water_leak true
motion state motion true
moving state moving true
occupancy state occupancy true
opening state contact false
plug state plugged_in true
power state power true
presence state presence true
problem state problem true
running state running true
safety state unsafe true
smoke state smoke true
sound state sound true
tamper state tamper true
update state update_available true
vibration state vibration true
window state contact false
"""
"""Class, measurement, field, what ON is."""


def rows() -> Iterator[tuple[str, str, str, float]]:
    """Yield class, unit, measurement and field, value."""
    for line in TABLE.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            device_class, unit, name, value = line.split("|")
            yield device_class, unit, name, float(value)


class ClassTests(ServiceCase):
    """An entity of each class and unit sends a 10, or ON."""

    def test_table_is_whole(self) -> None:
        """All units of all classes that have numbers are in it."""
        found: dict[str, set[str]] = {}
        for device_class, unit, _, _ in rows():
            found.setdefault(device_class, set()).add(unit)
        wanted = {
            name: ANY_UNIT if units is None else {unit or "" for unit in units}
            for name, units in CLASS_UNITS.items()
            if name not in TEXT_CLASSES
        }
        self.assertEqual(found, wanted)

    def lines_of(self, entities: list[tuple[str, str, dict[str, object]]]) -> list[dict[str, Any]]:
        """Return the lines of entities that send a 10 or an ON, each of a device of its own.

        Args:
            entities: component, object id and what is announced.
        """
        context = self.make()
        for number, (component, object_id, changes) in enumerate(entities):
            payload = sensor(
                unique_id=str(number),
                state_topic=f"n{number}/t",
                command_topic="x",
                device={"identifiers": [f"d{number}"]},
                **changes,
            )
            context.deliver(topic(object_id, f"d{number}", component), payload)
            context.deliver(f"n{number}/t", b"ON" if component == "binary_sensor" else b"10")
        lines = [parse_line(line) for line in context.lines()]
        self.assertEqual(len(lines), len(entities))
        return lines

    def test_sensors_and_numbers(self) -> None:
        """The name is the catalogue's, the value is in its unit, with Home Assistant's factors."""
        table = list(rows())
        for component in ("sensor", "number"):
            lines = self.lines_of(
                [
                    (component, "x", {"device_class": name, "unit_of_measurement": unit or None})
                    for name, unit, _, _ in table
                ]
            )
            for found, (device_class, unit, name, value) in zip(lines, table, strict=True):
                [(field, number)] = found["fields"].items()
                self.assertEqual(f"{found['measurement']} {field}", name, device_class)
                self.assertTrue(
                    isclose(number, value, rel_tol=2e-6), f"{device_class} {unit} {number} {value}"
                )

    def test_a_number_is_not_taken_for_what_is_measured(self) -> None:
        """It has the tag sensor, the rest of its name or the word set."""
        lines = self.lines_of(
            [
                ("number", name, {"device_class": "temperature"})
                for name in ("temperature", "temperature_offset")
            ]
        )
        self.assertEqual([each["measurement"] for each in lines], ["climate", "climate"])
        self.assertEqual([each["tags"]["sensor"] for each in lines], ["set", "offset"])

    def test_binary_sensors(self) -> None:
        """All classes, and what ON means."""
        table = [line.split() for line in BINARY.split("\n") if line]
        self.assertEqual({row[0] for row in table}, BINARY_CLASSES)
        lines = self.lines_of([("binary_sensor", "x", {"device_class": row[0]}) for row in table])
        for found, (device_class, measurement, field, is_on) in zip(lines, table, strict=True):
            self.assertEqual(found["measurement"], measurement)
            self.assertEqual(found["fields"], {field: is_on == "true"}, device_class)
