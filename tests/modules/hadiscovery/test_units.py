"""Conversions of units."""

from __future__ import annotations

from math import isclose

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.modules.hadiscovery.classes import CLASS_UNITS
from metrics_agent.modules.hadiscovery.units import converter, quantity_of

KNOWN = (
    ("°F", "°C", 212, 100),
    ("K", "°C", 0, -273.15),
    ("Wh", "kWh", 1, 0.001),
    ("MJ", "kWh", 3.6, 1),
    ("Gcal", "kWh", 1, 1162.2222222222222),
    ("inHg", "hPa", 29.92, 1013.2075109999999),
    ("psi", "hPa", 14.5, 999.739765),
    ("mmHg", "hPa", 760, 1013.2507359268098),
    ("mph", "km/h", 10, 16.09344),
    ("kn", "km/h", 10, 18.52),
    ("ft/s", "km/h", 10, 10.9728),
    ("Beaufort", "km/h", 7, 55.74),
    ("gal", "m3", 1000, 3.785411784),
    ("ft³", "m3", 100, 2.8316846592),
    ("CCF", "m3", 1, 2.8316846592),
    ("L/min", "m3/h", 10, 0.6),
    ("mL/s", "m3/h", 1000, 3.6),
    ("gal/d", "m3/h", 1000, 0.157725491),
    ("lb", "kg", 10, 4.5359237),
    ("oz", "kg", 16, 0.45359237),
    ("in", "cm", 1, 2.54),
    ("mi", "cm", 1, 160934.4),
    ("in", "mm", 1, 25.4),
    ("in/h", "mm/h", 1, 25.4),
    ("ppm", "ppb", 1, 1000),
    ("mg/m³", "ug/m3", 1, 1000),
    ("%", "", 95, 0.95),
    ("μA", "A", 1_000_000, 1),
    ("BTU/(h⋅ft²)", "W/m2", 1, 3.15459074506305),
)


class ConversionTests(SynchronousTestCase):
    """Each conversion gives what tables give."""

    def test_known(self) -> None:
        """Computed elsewhere."""
        for unit, wanted, value, expected in KNOWN:
            convert = converter(unit, wanted)
            found = value if convert is None else convert(value)
            self.assertTrue(isclose(found, expected, rel_tol=2e-4), f"{unit} {wanted} {found}")

    def test_every_unit_of_a_class_that_is_converted(self) -> None:
        """A class of the catalogue takes each unit that Home Assistant allows."""
        from metrics_agent.modules.hadiscovery.naming import _SENSORS

        missing = []
        for name, known in _SENSORS.items():
            for unit in CLASS_UNITS[name] or ():
                try:
                    converter(unit or "", known.unit, name)
                except LookupError:  # noqa: PERF203 - all that are missing at once
                    missing.append((name, unit))
        self.assertEqual(
            sorted(missing, key=str),
            [
                ("signal_strength", "dB"),
                ("sound_pressure", "dBA"),
            ],
        )

    def test_gases(self) -> None:
        """A share of the air is a concentration, with Home Assistant's molar masses."""
        for gas, unit, wanted, value, expected in (
            ("carbon_monoxide", "mg/m³", "ppm", 1, 0.8588046),
            ("nitrogen_dioxide", "ppb", "ug/m3", 10, 19.1250370),
            ("nitrogen_dioxide", "ppm", "ug/m3", 1, 1912.50370),
            ("nitrogen_monoxide", "ppb", "ug/m3", 10, 12.4738949),
            ("ozone", "ppb", "ug/m3", 10, 19.9541745),
            ("sulphur_dioxide", "ppb", "ug/m3", 10, 26.6330030),
        ):
            convert = converter(unit, wanted, gas)
            assert convert is not None
            self.assertTrue(isclose(convert(value), expected, rel_tol=1e-6), gas)
        self.assertRaises(LookupError, converter, "ppb", "ug/m3", "pm25")

    def test_quantity(self) -> None:
        """A unit that belongs to one quantity names it."""
        self.assertEqual(quantity_of("kW"), "power")
        self.assertEqual(quantity_of("°F"), "temperature")
        self.assertEqual(quantity_of("xyzzy"), "")
