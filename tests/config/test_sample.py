"""The sample configuration: accepted as printed, accepted uncommented, and true."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import AgentConfig, AgentSettings, Secret, load, setting, structure
from metrics_agent.config.declared import declared, needed
from metrics_agent.config.output import OutputSettings
from metrics_agent.config.sample import Subject, sample_file, sample_modules
from metrics_agent.config.status import StatusSettings
from metrics_agent.module_kind import ModuleKind
from metrics_agent.modules import BUILT_IN, find_kind
from metrics_agent.plan import build
from tests.config import kinds as fakes
from tests.config.sample_text import uncomment

if sys.version_info >= (3, 11):
    from tomllib import loads as parse_toml
else:
    from tomli import loads as parse_toml


@frozen
class Nested:
    """A required table, and a doc that a comment of TOML cannot hold as it is."""

    tls: fakes.Tls = setting(doc="Line\none\x00\x7f.")
    spare: fakes.Tls | None = setting(default=None, doc="Another.")


NESTED = ModuleKind("nested", Nested, lambda _settings, _context: None)


def kind_of(name: str) -> ModuleKind:
    """Return one of ours, or one in place of those of others."""
    kind = NESTED if name == "nested" else find_kind(name) or fakes.kinds(name)
    assert kind is not None
    return kind


def subject(name: str) -> Subject:
    """Return the same, as the sample wants it."""
    return Subject(name, "a purpose", kind_of(name).settings)


NAMES = (*BUILT_IN, "plain", "account", "nested")
ALL = [subject(name) for name in NAMES]


class SampleCase(SynchronousTestCase):
    """Loads texts as `metrics-agent check` does."""

    def load(self, text: str) -> AgentConfig:
        path = Path(self.mktemp())
        path.mkdir()
        path /= "sample.toml"
        path.write_text(text, "utf-8")
        path.chmod(0o640)
        return load(path, kind_of, NAMES, {})

    def assert_right(self, text: str, *names: str) -> AgentConfig:
        """Check that a text has no fault and no warning, and that these modules run."""
        config = self.load(text)
        plan = build(config)
        self.assertEqual((config.faults, config.warnings, plan.faults), ((), (), ()))
        self.assertEqual(tuple(module.name for module in plan.modules), names)
        return config


class FileTests(SampleCase):
    """Without a module."""

    def test_it_is_accepted_as_printed_and_changes_nothing(self) -> None:
        text = sample_file(ALL)
        self.assertEqual(self.assert_right(text).settings, AgentSettings())
        self.assertEqual(parse_toml(text), {})

    def test_it_is_accepted_with_everything_uncommented(self) -> None:
        self.assert_right(uncomment(sample_file(ALL)), *NAMES)

    def test_each_module_alone_is_accepted_uncommented(self) -> None:
        for name in NAMES:
            with self.subTest(name):
                self.assert_right(uncomment(sample_file([subject(name)])), name)

    def test_global_settings_are_shown_at_their_defaults(self) -> None:
        """What is uncommented is the default; what is not set by default has an example."""
        config = self.load(uncomment(sample_file([])))
        nothing = OutputSettings(token=Secret(""), password=Secret(""), tls_key_password=Secret(""))
        self.assertEqual(
            config.settings,
            AgentSettings(
                state_dir="/var/lib/metrics-agent",
                output_settings=nothing,
                status=StatusSettings(token=Secret("")),
            ),
        )

    def test_a_module_that_cannot_be_used_says_so(self) -> None:
        text = sample_file([Subject("odd", "cannot be used: no oven", None), subject("demo")])
        self.assertIn("## odd: cannot be used: no oven\n", text)
        self.assert_right(uncomment(text), "demo")


class ModuleTests(SampleCase):
    """With modules."""

    def test_each_is_enabled_and_accepted_as_printed(self) -> None:
        for name in NAMES:
            with self.subTest(name):
                self.assert_right(sample_modules([subject(name)]), name)
        self.assert_right(sample_modules(ALL), *NAMES)

    def test_each_is_accepted_uncommented(self) -> None:
        for name in NAMES:
            with self.subTest(name):
                self.assert_right(uncomment(sample_modules([subject(name)])), name)
        self.assert_right(uncomment(sample_modules(ALL)), *NAMES)

    def test_only_what_is_needed_is_set(self) -> None:
        for name in BUILT_IN:
            table = parse_toml(sample_modules([subject(name)]))["modules"][name]
            self.assertEqual(set(table) - {"enabled"}, needed(kind_of(name).settings), name)
        table = parse_toml(sample_modules([subject("nested")]))["modules"]["nested"]
        self.assertEqual(table, {"enabled": True, "tls": {"ca": "example"}})

    def test_an_alternative_is_accepted_in_place_of_what_it_replaces(self) -> None:
        """The broker of opendtu: with its marks taken away, and without url."""
        text = sample_modules([subject("opendtu")])
        self.assertNotIn("\n#[", text)
        text = uncomment(text, "##").replace("\nurl = ", "\n#url = ")
        config = self.assert_right(text, "opendtu")
        self.assertIsNotNone(getattr(config.modules[0].settings, "mqtt", None))

    def test_every_value_is_the_default(self) -> None:
        """Uncommented, each setting that has a default is at it: the sample cannot lie."""
        for name in NAMES:
            cls = kind_of(name).settings
            text = uncomment(uncomment(sample_modules([subject(name)])), "##")
            with self.subTest(name):
                self.assert_defaults(cls, parse_toml(text)["modules"][name])

    def assert_defaults(self, cls: type[Any], table: dict[str, Any]) -> None:
        """Compare with what an instance has for which only the needed settings are given."""
        for key in ("enabled", "log_level"):
            table.pop(key, None)
        settings = {each.name: each for each in declared(cls)}
        self.assertEqual(set(table), set(settings), "every setting is shown")
        for name, each in settings.items():
            if each.table is not None:
                self.assert_defaults(each.table, table[name])
        wanted = {name: settings[name].raw_sample for name in needed(cls)}
        tables = {n: table[n] for n, each in settings.items() if each.table and each.required}
        bare = structure(cls, {**wanted, **tables}).value
        for name, each in settings.items():
            if each.table is None and each.default is not None:
                given = {**wanted, **tables, name: table[name]}
                self.assertEqual(structure(cls, given).value, bare, name)


class TextTests(SampleCase):
    """How it reads."""

    def test_lines_are_short(self) -> None:
        """Prose fits on a terminal of 80 columns."""
        prose = [line for line in sample_file(ALL).splitlines() if line.startswith("## ")]
        self.assertGreater(len(prose), 100)
        self.assertEqual([line for line in prose if len(line) > 79], [])

    def test_what_stands_above_a_setting(self) -> None:
        """Its meaning; in brackets its type or choices, its limits, and why it has no value."""
        text = sample_modules([subject("plain"), subject("account")])
        for lines in (
            '## A duration. [duration; at least "1s"; 0: off]\n#interval = "30s"\n',
            '## A choice. [one of "fast", "slow"]\n#mode = "fast"\n',
            '## A duration or nothing. [duration; not set]\n#pause = "10s"\n',
            '## Required. [string; required]\nclient_id = "example"\n',
        ):
            self.assertIn(f"\n{lines}", text)

    def test_it_names_the_check(self) -> None:
        for text in (sample_file([]), sample_modules([subject("demo")])):
            self.assertIn("metrics-agent check -c FILE", text)

    def test_it_is_printable(self) -> None:
        """Whatever a module of another package writes into its docs, the file is TOML."""
        text = sample_file(ALL)
        self.assertEqual(re.findall(r"[^\n -~]", text), [])
