"""Imports go one way: neither modules nor packages import each other in a circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import metrics_agent

ROOT = Path(metrics_agent.__file__).parent
TOP = metrics_agent.__name__
Graph = Mapping[str, set[str]]


def modules() -> dict[str, Path]:
    """Return the modules of the package, by name."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, str]]:
    """Return what is imported at run time, also by functions: a module, and a name in it."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((each.name, "") for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", each.name) for each in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imported(node.orelse)  # annotations import nothing
        else:
            yield from imported(ast.iter_child_nodes(node))


def graph_of(sources: Mapping[str, str]) -> Graph:
    """Return which modules each module imports."""
    graph = {}
    for name, source in sources.items():
        pairs = imported(ast.parse(source).body)
        found = (f"{a}.{b}" if f"{a}.{b}" in sources else a for a, b in pairs)
        graph[name] = {each for each in found if each in sources} - {name}
    return graph


def packages_of(graph: Graph) -> Graph:
    """Return which packages, or modules beside them, import which."""
    packages: dict[str, set[str]] = {}
    for name, wanted in graph.items():
        place = ".".join(name.split(".")[:2])
        others = {".".join(each.split(".")[:2]) for each in wanted}
        packages.setdefault(place, set()).update(others - {place, TOP})
    return packages


def past_the_door(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Return what modules import from transports beside settings, by importing module."""
    found = {}
    for name, source in sources.items():
        if not name.startswith(f"{TOP}.modules."):
            continue
        names = [
            f"{module}.{each}"
            for module, each in imported(ast.parse(source).body)
            if module.startswith(f"{TOP}.transports")
            and not (module.endswith(".settings") and re.search(r"Settings$|^[A-Z_]+$", each))
        ]
        if names:
            found[name] = names
    return found


def circle(graph: Graph) -> list[str]:
    """Return the names in one circle, none if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


class ImportTests(SynchronousTestCase):
    """The package, and two that are made up."""

    def test_modules(self) -> None:
        """No module imports one that imports it, also not later and inside a function."""
        sources = {name: path.read_text() for name, path in modules().items()}
        graph = graph_of(sources)
        self.assertGreater(sum(map(len, graph.values())), 500)
        self.assertEqual(circle(graph), [])

    def test_packages(self) -> None:
        """The same for the folders of the package."""
        sources = {name: path.read_text() for name, path in modules().items()}
        self.assertEqual(circle(packages_of(graph_of(sources))), [])

    def test_the_context_is_the_one_door(self) -> None:
        """Modules import no transport, only settings: connections come from their context."""
        sources = {name: path.read_text() for name, path in modules().items()}
        self.assertEqual(past_the_door(sources), {})
        made_up = (
            "from metrics_agent.transports.mqtt.settings import CUSTOM, MqttSettings, mqtt_tables\n"
            "def later():\n    from metrics_agent.transports.http import HttpClient\n"
            "    import metrics_agent.transports.dial\n"
        )
        self.assertEqual(
            past_the_door({"metrics_agent.modules.x": made_up, "metrics_agent.x": made_up}),
            {
                "metrics_agent.modules.x": [
                    "metrics_agent.transports.mqtt.settings.mqtt_tables",
                    "metrics_agent.transports.http.HttpClient",
                    "metrics_agent.transports.dial.",
                ]
            },
        )

    def test_circles_are_found(self) -> None:
        """Of modules and of packages; what only annotations need is none."""
        later = "def later():\n    from p.x import b"
        graph = graph_of({"p": "", "p.x.a": later, "p.x": "", "p.x.b": "import p.x.a"})
        self.assertEqual(set(circle(graph)), {"p.x.a", "p.x.b"})
        graph = graph_of(
            {
                "p.x.a": "from p.y import c",
                "p.x.b": "",
                "p.x": "",
                "p.y": "",
                "p.y.c": "from p.x.b import thing",
            }
        )
        self.assertEqual(circle(graph), [])
        self.assertEqual(set(circle(packages_of(graph))), {"p.x", "p.y"})
        hints = "if TYPE_CHECKING:\n    import p.a"
        self.assertEqual(circle(graph_of({"p.a": "import p.b", "p.b": hints})), [])
