"""`metrics-agent modules`: what can be enabled, and the settings of one module."""

from __future__ import annotations

import sys
from typing import Any

from attrs import fields_dict, frozen

from metrics_agent.commands import kinds as kinds_module
from metrics_agent.commands.modules import modules
from metrics_agent.config import setting
from metrics_agent.errors import MissingDependency
from metrics_agent.module_kind import ModuleKind
from metrics_agent.modules import BUILT_IN, find_kind
from metrics_agent.transports.mqtt.settings import MqttSettings
from tests.commands.case import CommandCase
from tests.config.kinds import kinds


@frozen
class Settings:
    """None."""


@frozen
class Impossible:
    """A type that no file can express."""

    when: complex = setting(default=1j, doc="d")


class Maker:
    """A maker that is an object."""

    def __call__(self, settings: object, context: object) -> Any:
        raise AssertionError


class KindsCase(CommandCase):
    """Beside ours there is one of another package, ``odd``."""

    def install(self, kind: Any) -> None:
        """Have `odd` be that kind, or raise that error when it is imported."""

        def find(name: str) -> ModuleKind | None:
            if name != "odd":
                return find_kind(name)
            if isinstance(kind, BaseException):
                raise kind
            return kind  # type: ignore[no-any-return]  # anything, in these tests

        self.patch(kinds_module, "known_kinds", lambda: (*BUILT_IN, "odd"))
        self.patch(kinds_module, "find_kind", find)


class ListTests(KindsCase):
    """Without a name."""

    def only(self, make: Any) -> str:
        """Return the line of a module of that maker."""
        self.install(ModuleKind("odd", Settings, make))
        self.assertEqual(modules(), 0)
        return self.said()[-1]

    def test_built_in(self) -> None:
        """Each has a line: its name, and what it is for in its own words."""
        self.assertEqual(modules(), 0)
        self.assertEqual([line.split()[0] for line in self.said()], list(BUILT_IN))
        by_name = {line.split()[0]: line.split(None, 1)[1] for line in self.said()}
        self.assertEqual(by_name["tasmota"], "devices with Tasmota firmware, at an MQTT broker")
        self.assertEqual(len({line.index(line.split(None, 1)[1]) for line in self.said()}), 1)

    def test_cannot_be_used(self) -> None:
        """A module that cannot be used says why, and the others are listed."""
        for kind, reason in (
            (MissingDependency("odd needs an oven"), "odd needs an oven"),
            (SystemExit(3), "module 'odd' cannot be loaded: SystemExit: 3"),
            (ModuleKind("odd", int, Maker()), "module 'odd' cannot be loaded: "),
            (ModuleKind("odd", Impossible, Maker()), "module 'odd' cannot be loaded: TypeError"),
            (None, "module 'odd' cannot be loaded: AssertionError: it was uninstalled just now"),
        ):
            self.install(kind)
            before = len(self.said())
            self.assertEqual(modules(), 0)
            said = self.said()[before:]
            self.assertEqual(len(said), len(BUILT_IN) + 1)
            self.assertIn(f"odd          cannot be used: {reason}", said[-1])

    def test_odd_makers(self) -> None:
        """A maker may be anything that can be called; there may be nothing to say of it."""
        self.assertEqual(
            self.only(Maker()), "odd          what can be enabled, and the settings of one module"
        )
        for module in ("no.where", None):
            odd = type("Odd", (Maker,), {"__module__": module})
            self.assertEqual(self.only(odd()), "odd          ")


class SettingsTests(KindsCase):
    """With a name."""

    def shown(self, name: str) -> str:
        self.assertEqual(modules(name), 0)
        return self.stdout.getvalue()

    def test_every_setting_is_shown(self) -> None:
        """Those of every module, the module's own and those of its connection."""
        for name in BUILT_IN:
            kind = find_kind(name)
            assert kind is not None
            self.stdout.truncate(0)
            text = self.shown(name)
            for key in ("enabled", "log_level", *fields_dict(kind.settings)):
                self.assertIn(f"\n  {key}: ", text)

    def test_nested_tables(self) -> None:
        """Their settings come with the names of their tables."""
        text = self.shown("opendtu")
        for key in fields_dict(MqttSettings):
            self.assertIn(f"\n  mqtt.{key}: ", text)

    def test_type_default_unit_and_limits(self) -> None:
        text = self.shown("tasmota")
        for lines in (
            '  keepalive: duration; default "30s"; at least "5s"; at most "18h"\n      A silent',
            '  max_payload: size; default "1MiB"; at least "1KiB"; at most "255MiB"\n',
            "  password: secret; not set\n      Password at the broker.\n",
            '  protocol: string; default "auto"; one of "auto", "3.1.1", "5"\n',
            '      Login name at the broker. Example: "telegraf".\n',
        ):
            self.assertIn(lines, text)
        self.assertIn("  client_id: string; required\n", self.shown("netatmo"))

    def test_it_fits_on_a_terminal(self) -> None:
        """No line is wider than 80 columns."""
        for name in BUILT_IN:
            self.shown(name)
        self.assertEqual([line for line in self.said() if len(line) > 80], [])

    def test_a_module_of_another_package(self) -> None:
        self.install(kinds("plain"))
        self.assertIn("  tls.verify: true or false; default true\n", self.shown("odd"))

    def test_unknown(self) -> None:
        """An error on stderr with the nearest name, or all; nothing on stdout; 2."""
        for name, text in (
            ("tasmotta", 'unknown module "tasmotta"; did you mean tasmota?'),
            ("x", 'unknown module "x"; known are demo, hadiscovery, netatmo, opendtu, tasmota'),
        ):
            self.assertEqual(modules(name), 2)
            self.assertEqual(self.stderr.getvalue().splitlines()[-1], f"error: {text}")
        self.assertEqual(self.said(), [])

    def test_cannot_be_used(self) -> None:
        """One that is there but broken: the reason on stderr, and 1."""
        self.install(MissingDependency("odd needs an oven"))
        self.assertEqual(modules("odd"), 1)
        self.assertEqual((self.stderr.getvalue(), self.said()), ("error: odd needs an oven\n", []))

    def test_without_stderr(self) -> None:
        self.patch(sys, "stderr", None)
        self.assertEqual(modules("x"), 2)
