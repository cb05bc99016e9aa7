"""What a ModuleKind says of a module's class."""

from __future__ import annotations

from collections import ChainMap, Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.module_kind import ModuleKind
from metrics_agent.modules import BUILT_IN, find_kind


def needs(settings: Any) -> tuple[str, ...]:
    """Need what the settings say."""
    return (settings,)


class ServiceTests(SynchronousTestCase):
    """By name, or itself."""

    def test_named(self) -> None:
        """A class that is named is imported when a module is made; until then its name will do."""
        kind = ModuleKind("k", dict, "collections:ChainMap", needs=needs)
        self.assertIs(type(kind.make({}, {})), ChainMap)
        self.assertEqual(kind.all_needs("json"), ("collections", "json"))
        missing = ModuleKind("k", dict, "no.such.package:Class")
        self.assertEqual(missing.all_needs({}), ("no.such.package",))
        self.assertRaises(ImportError, missing.make, {}, None)
        self.assertRaises(AttributeError, ModuleKind("k", dict, "collections").make, {}, None)

    def test_given(self) -> None:
        """One that is given is there already."""
        kind = ModuleKind("k", dict, lambda settings, context: Counter((settings, context)))
        self.assertEqual(kind.make(1, 2), Counter({1: 1, 2: 1}))
        self.assertEqual(kind.all_needs({}), ())

    def test_built_in(self) -> None:
        """Ours are all named, so that what is not enabled is not imported."""
        for name in BUILT_IN:
            kind = find_kind(name)
            assert kind is not None
            self.assertIsInstance(kind.service, str)
