"""What a reload says that it did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import AgentConfig, AgentSettings, ModuleConfig
from metrics_agent.module_kind import ModuleKind
from metrics_agent.plan import ModulePlan, Plan
from metrics_agent.reload_report import Changes, ReloadReport, accepted, rejected
from metrics_agent.transports.mqtt.settings import MqttSettings

HOSTS = [MqttSettings(broker=f"tcp://host{number}") for number in range(4)]


class Odd:
    """Settings that cannot be compared."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("never")

    __hash__ = None  # type: ignore[assignment]


@frozen
class Settings:
    """Settings that can."""

    number: int = 0


KIND = ModuleKind("fake", Settings, lambda *_: None)


def plan(*modules: ModulePlan, levels: dict[str, str] | None = None, **settings: Any) -> Plan:
    """Make a plan."""
    configs = tuple(
        ModuleConfig(each.name, each.kind, True, (levels or {}).get(each.name), each.settings, ())
        for each in modules
    )
    config = AgentConfig(Path("agent.toml"), AgentSettings(**settings), configs, ())
    return Plan(config=config, modules=modules, faulty=())


def module(name: str, *brokers: MqttSettings, settings: object = None) -> ModulePlan:
    """Make the plan of a module."""
    return ModulePlan(name=name, kind=KIND, settings=settings or Settings(), brokers=brokers)


class ReportTests(SynchronousTestCase):
    """Two plans and their difference."""

    def test_modules(self) -> None:
        """Added, removed, changed by their settings or log level, unchanged."""
        before = plan(*map(module, "abcd"))
        changed = module("b", settings=Settings(1))
        after = plan(module("a"), changed, module("c"), module("e"), levels={"c": "debug"})
        report = accepted(before, after, 3.0)
        self.assertEqual(report.modules, Changes(("e",), ("d",), ("b", "c"), ("a",)))
        self.assertEqual(
            report.describe(), "Modules: e added, d removed, b, c changed, 1 unchanged."
        )
        self.assertEqual((report.at_s, report.reasons), (3.0, ""))

    def test_connections(self) -> None:
        """By what concerns the connection: an unchanged one is not made again."""
        before = plan(module("a", *HOSTS[:2]), module("b", HOSTS[2]))
        other = evolve(HOSTS[1], keepalive=17)
        after = plan(module("a", HOSTS[0], other, HOSTS[3]), module("c", HOSTS[2]))
        found = accepted(before, after, 0.0).connections
        self.assertEqual(
            found,
            Changes(
                ("a at tcp://host3:1883", "c at tcp://host2:1883"),
                ("b at tcp://host2:1883",),
                ("a at tcp://host1:1883",),
                ("a at tcp://host0:1883",),
            ),
        )

    def test_global_settings(self) -> None:
        """By name, never with a value: it may be a secret."""
        report = accepted(plan(), plan(log_level="debug", on_give_up="exit"), 0.0)
        self.assertEqual(report.settings, ("log_level", "on_give_up"))
        self.assertEqual(
            report.describe(), "Modules: none. Global settings changed: log_level, on_give_up."
        )

    def test_settings_that_cannot_be_compared(self) -> None:
        """Those of a module of another package may raise: they count as changed."""
        before, after = (plan(module("a", settings=Odd())) for _ in range(2))
        self.assertEqual(accepted(before, after, 0.0).modules.changed, ("a",))

    def test_many(self) -> None:
        """A line names ten of a kind."""
        names = tuple(str(number) for number in range(100))
        self.assertEqual(
            Changes(added=names).describe(), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 90 more added"
        )

    def test_rejected(self) -> None:
        """Why; nothing has changed."""
        self.assertEqual(rejected("why", 2.0), ReloadReport(2.0, reasons="why"))
