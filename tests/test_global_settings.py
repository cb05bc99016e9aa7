"""The global settings: each has an effect, and those of the start are known as such."""

from __future__ import annotations

import ast
from pathlib import Path

from attrs import fields_dict
from twisted.trial.unittest import SynchronousTestCase

import metrics_agent
from metrics_agent.config import AgentSettings
from metrics_agent.config.setting import spec_of

ROOT = Path(metrics_agent.__file__).parent


def read(source: str, *names: str) -> set[str]:
    """Return which attributes a source reads from what is called `settings` or `start_settings`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            of = (
                node.value.id
                if isinstance(node.value, ast.Name)
                else getattr(node.value, "attr", "")
            )
            if of.lstrip("_") in (names or ("settings", "start_settings")):
                found.add(node.attr)
    return found


class GlobalSettingsTests(SynchronousTestCase):
    """What each of them is for."""

    def test_each_is_read(self) -> None:
        """A setting that nothing reads would be accepted, and do nothing."""
        found = set().union(
            *(
                read(path.read_text("utf-8"))
                for path in ROOT.rglob("*.py")
                if "modules" not in path.parts and "transports" not in path.parts
            )
        )
        self.assertEqual(sorted(fields_dict(AgentSettings).keys() - found), [])
        self.assertEqual(read("a.settings.b + self._start_settings.c + d.e.f"), {"b", "c"})

    def test_what_is_read_once_is_fixed(self) -> None:
        """A setting of the start that a reload does not put into force says so of itself."""
        first = set().union(
            *(read(self.source(name), "start_settings") for name in ("assembly", "module_parts"))
        )
        fixed = {name for name, each in fields_dict(AgentSettings).items() if spec_of(each).fixed}
        self.assertIn("queue_limit", first)
        self.assertEqual(sorted(first - fixed - read(self.source("global_settings"))), [])

    def source(self, name: str) -> str:
        """Return the source of a module of the package."""
        return (ROOT / f"{name}.py").read_text("utf-8")
