"""`metrics-agent modules`: what can be enabled."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from metrics_agent.commands import modules as modules_module
from metrics_agent.commands.modules import modules
from metrics_agent.errors import MissingDependency
from metrics_agent.interfaces import ModuleKind
from metrics_agent.modules import BUILT_IN
from tests.commands.case import CommandCase


@frozen
class Settings:
    """None."""


class Maker:
    """A maker that is an object."""

    def __call__(self, settings: object, context: object) -> Any:
        raise AssertionError


class ModulesTests(CommandCase):
    """What it writes."""

    def only(self, make: Any) -> str:
        """Return the line of a module of that maker."""
        self.patch(modules_module, "known_kinds", lambda: ("odd",))
        self.patch(modules_module, "find_kind", lambda _name: ModuleKind("odd", Settings, make))
        self.assertEqual(modules(), 0)
        return self.said()[-1]

    def test_built_in(self) -> None:
        """Each has a line: its name, and what it is for in its own words."""
        self.assertEqual(modules(), 0)
        self.assertEqual([line.split()[0] for line in self.said()], list(BUILT_IN))
        by_name = {line.split()[0]: line.split(None, 1)[1] for line in self.said()}
        self.assertEqual(by_name["tasmota"], "devices with Tasmota firmware, at an MQTT broker")
        self.assertEqual(len({line.index(line.split(None, 1)[1]) for line in self.said()}), 1)

    def test_cannot_be_imported(self) -> None:
        """A module that cannot be imported says why, and the others are listed."""

        def find(name: str) -> ModuleKind:
            raise MissingDependency(f"{name} needs an oven")

        self.patch(modules_module, "find_kind", find)
        self.assertEqual(modules(), 0)
        self.assertEqual(len(self.said()), len(BUILT_IN))
        self.assertIn("cannot be used: demo needs an oven", self.said()[0])

    def test_odd_makers(self) -> None:
        """A maker may be anything that can be called; there may be nothing to say of it."""
        self.assertEqual(self.only(Maker()), "odd  what can be enabled")
        for module in ("no.where", None):
            odd = type("Odd", (Maker,), {"__module__": module})
            self.assertEqual(self.only(odd()), "odd  ")
