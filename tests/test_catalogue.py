"""The catalogue of fields, and docs/metrics.md that is made of it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from line_protocol_parser import parse_line
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from metrics_agent import catalogue
from metrics_agent.catalogue import (
    CLIMATE,
    ELECTRICITY,
    MEASUREMENTS,
    METRICS_AGENT,
    STATE,
    Field,
    Measurement,
    Tag,
)

CASES = Path(__file__).resolve().parent / "modules"
METRICS_MD = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"


class LookUpTests(SynchronousTestCase):
    """Decoders take their names from the catalogue."""

    def test_known(self):
        """A known name gives its description, and itself as a plain string."""
        self.assertEqual(ELECTRICITY.field("power").unit, "W")
        self.assertEqual(CLIMATE.key("pm25"), "pm25")
        self.assertIs(type(CLIMATE.key("pm25")), str)

    def test_unknown(self):
        """A misspelled name is an error that names the nearest."""
        error = self.assertRaises(LookupError, ELECTRICITY.key, "volatge")
        self.assertEqual(str(error), "electricity has no field 'volatge', did you mean 'voltage'?")
        error = self.assertRaises(LookupError, ELECTRICITY.field, "xyzzy")
        self.assertEqual(str(error), "electricity has no field 'xyzzy'")

    def test_family(self):
        """A name with a placeholder is that of a family, but not for its bare stem."""
        self.assertEqual(METRICS_AGENT.key("errors_message"), "errors_message")
        self.assertEqual(METRICS_AGENT.field("dropped_too_deep").name, "dropped_<reason>")
        self.assertEqual(METRICS_AGENT.field("errors").name, "errors")
        self.assertRaises(LookupError, METRICS_AGENT.field, "errors_")
        self.assertRaises(LookupError, METRICS_AGENT.field, "other_message")
        self.assertEqual(STATE.field("contact").name, "contact")
        self.assertEqual(STATE.field("pump").name, "<object>")

    def test_wrong_description(self):
        """A name that is there twice or badly spelled cannot get into the catalogue."""
        for fields in ((Field("a"), Field("a")), (Field("A"),), (Field("a b"),), (Field("<X>"),)):
            self.assertRaises(ValueError, Measurement, "m", "", (), fields)
        self.assertRaises(ValueError, Measurement, "m", "", (Tag("t", ""), Tag("t", "")), ())


class ContentTests(SynchronousTestCase):
    """What the catalogue must contain."""

    def test_units_of_the_design(self):
        """The names and units that the design promises stand in it."""
        for measurement, promised in (
            (
                ELECTRICITY,
                {
                    "power": "W",
                    "voltage": "V",
                    "current": "A",
                    "frequency": "Hz",
                    "energy_today": "kWh",
                    "energy_yesterday": "kWh",
                    "energy_total": "kWh",
                    "energy_exported_total": "kWh",
                    "power_factor": "",
                    "apparent_power": "VA",
                    "reactive_power": "var",
                },
            ),
            (
                CLIMATE,
                {
                    "temperature": "°C",
                    "humidity": "%",
                    "pressure": "hPa",
                    "dew_point": "°C",
                    "co2": "ppm",
                    "noise": "dB",
                    "illuminance": "lx",
                    "pm25": "ug/m3",
                    "tvoc": "ppb",
                },
            ),
            (
                catalogue.DEVICE,
                {"uptime": "s", "signal_quality": "%", "signal": "dBm", "battery": "%"},
            ),
        ):
            for name, unit in promised.items():
                self.assertEqual(measurement.field(name).unit, unit, name)

    def test_measured_is_float(self):
        """What has a unit is a float, but for the agent's own counters."""
        for measurement in MEASUREMENTS:
            for field in measurement.fields:
                if field.unit and measurement is not METRICS_AGENT:
                    self.assertEqual(field.kind, "float", field.name)

    def test_originals(self):
        """The Go agent's names and scales for Tasmota stand beside ours."""
        self.assertEqual(
            ELECTRICITY.originals(),
            {
                "power": ("power", 1.0),
                "voltage": ("voltage", 1.0),
                "current": ("current", 1000.0),
                "frequency": ("frequency", 1.0),
                "power_factor": ("power_factor", 1.0),
                "apparent_power": ("apparent_power", 1.0),
                "reactive_power": ("reactive_power", 1.0),
                "energy_today": ("sum_power_today", 1000.0),
                "energy_yesterday": ("sum_power_yesterday", 1000.0),
                "energy_total": ("sum_power_total", 1000.0),
                "energy_exported_total": ("sum_power_total_out", 1000.0),
            },
        )

    def test_every_measurement_is_listed(self):
        """A measurement of the module is one of MEASUREMENTS, once."""
        defined = [each for each in vars(catalogue).values() if isinstance(each, Measurement)]
        self.assertEqual(defined, list(MEASUREMENTS))
        self.assertEqual(len({each.name for each in MEASUREMENTS}), len(MEASUREMENTS))


class GoldenCaseTests(SynchronousTestCase):
    """The catalogue describes what the modules write, which the golden cases show.

    What the agent itself writes is in no golden case; `test_assembly` and `test_liveness` show it.
    """

    own = frozenset({"metrics_agent", "demo"})
    own_fields = frozenset({("device", "last_seen"), ("device", "stale")})

    def golden_lines(self) -> Iterator[dict]:
        """Yield every line of the golden cases that has the catalogue's names."""
        for path in CASES.glob("*/cases/*/expected.lp"):
            if '"original"' not in (path.parent / "config.toml").read_text("utf-8"):
                yield from filter(None, map(parse_line, path.read_text("utf-8").splitlines()))

    def test_every_written_field_is_in_a_golden_case(self):
        """A field that no case shows has the mark, a field that one shows does not."""
        named = {measurement.name: measurement for measurement in MEASUREMENTS}
        seen = {
            (line["measurement"], named[line["measurement"]].field(name).name)
            for line in self.golden_lines()
            for name in line["fields"]
        }
        described = {
            (measurement.name, field.name): field.written
            for measurement in MEASUREMENTS
            if measurement.name not in self.own
            for field in measurement.fields
            if (measurement.name, field.name) not in self.own_fields
        }
        self.assertEqual(sorted(seen - described.keys()), [], "not in the catalogue")
        not_shown = sorted(
            name for name, written in described.items() if written is not (name in seen)
        )
        self.assertEqual(
            not_shown,
            [],
            "in no golden case though it is not marked, or in one though it is: add a case, or "
            "change written= in metrics_agent/catalogue.py",
        )

    def test_every_tag_is_described(self):
        """A tag that a case shows is one of its measurement's."""
        described = {each.name: {tag.name for tag in each.tags} for each in MEASUREMENTS}
        for line in self.golden_lines():
            self.assertLessEqual(set(line["tags"]), described[line["measurement"]], line)

    def test_the_mark_is_on_the_page(self):
        """A reader sees which fields are reserved only."""
        page = catalogue.as_markdown()
        self.assertIn("| `overpower` |  | bool | not written yet |  |\n", page)
        self.assertIn("| `contact` |  | bool | true is closed |  |\n", page)
        self.assertIn("| `formaldehyde` | mg/m3 | float | not written yet |  |\n", page)


class MarkdownTests(SynchronousTestCase):
    """docs/metrics.md is made from the catalogue."""

    def test_file_is_current(self):
        """The checked-in file is the generated text."""
        if not METRICS_MD.exists():
            raise SkipTest("the tests run without the repository's docs")
        self.assertTrue(
            METRICS_MD.read_text(encoding="utf-8") == catalogue.as_markdown(),
            "docs/metrics.md is out of date; regenerate it:\n"
            "    python -m metrics_agent.catalogue > docs/metrics.md",
        )

    def test_every_field_and_tag(self):
        """Every measurement has a row for each of its tags and fields, every row whole."""
        sections = catalogue.as_markdown().split("\n## ")[1:]
        self.assertEqual(len(sections), len(MEASUREMENTS))
        for section, measurement in zip(sections, MEASUREMENTS, strict=True):
            rows = re.findall(r"^\| `([^`]+)` \|", section, flags=re.MULTILINE)
            expected = [each.name for each in (*measurement.tags, *measurement.fields)]
            self.assertEqual(rows, expected)
            for line in section.splitlines():
                if line.startswith("| `"):
                    self.assertIn(line.count("|"), {3, 6})

    def test_row(self):
        """A row shows name, unit, type, meaning and the Go agent's name with its factor."""
        self.assertIn(
            "| `energy_exported_total` | kWh | float | fed into the grid "
            "| `sum_power_total_out` x 1000 |\n",
            catalogue.as_markdown(),
        )

    def test_command(self):
        """Run as a program it writes the text and nothing else."""
        done = subprocess.run(
            [sys.executable, "-m", "metrics_agent.catalogue"],
            capture_output=True,
            check=True,
            timeout=30,
            env={"PYTHONIOENCODING": "utf-8", "PYTHONPATH": ":".join(filter(None, sys.path))},
        )
        self.assertEqual(done.stdout.decode(), catalogue.as_markdown())
