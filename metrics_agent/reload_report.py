"""What a reload did: the difference between two plans, as log and status show it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import field, fields, frozen

from metrics_agent.config import AgentConfig, AgentSettings
from metrics_agent.plan import ModulePlan, Plan

__all__ = ["Changes", "ReloadReport", "accepted", "rejected"]

_SHOWN: Final = 10
"""Names of one kind of change in a log line; the rest is counted."""


@frozen
class Changes:
    """What became of the modules or of the connections, each by its name.

    Attributes:
        added: new ones.
        removed: that are gone.
        changed: with other settings.
        unchanged: with the same settings.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return a clause for a log line: names of what is different, a count of what is not."""
        parts = [
            f"{_some(names)} {word}"
            for word, names in (
                ("added", self.added),
                ("removed", self.removed),
                ("changed", self.changed),
            )
            if names
        ]
        if self.unchanged:
            parts.append(f"{len(self.unchanged)} unchanged")
        return ", ".join(parts) or "none"


@frozen
class ReloadReport:
    """What one reload did.

    Attributes:
        at_s: when, on the reactor's clock.
        modules: what became of the enabled modules.
        connections: what became of the connections to MQTT brokers.
        settings: names of the global settings that differ.
        reasons: why the configuration was rejected and nothing changed; empty if it was accepted.
    """

    at_s: float
    modules: Changes = field(factory=Changes)
    connections: Changes = field(factory=Changes)
    settings: tuple[str, ...] = ()
    reasons: str = ""

    def describe(self) -> str:
        """Return sentences for a log line, of a reload that was accepted."""
        text = f"Modules: {self.modules.describe()}."
        if self.connections != Changes():
            text += f" Connections: {self.connections.describe()}."
        if self.settings:
            text += f" Global settings changed: {_some(self.settings)}."
        return text


def accepted(before: Plan, after: Plan, at_s: float) -> ReloadReport:
    """Report a reload that put a plan into force.

    Args:
        before: what ran.
        after: what runs now.
        at_s: when, on the reactor's clock.
    """
    settings = before.config.settings, after.config.settings
    return ReloadReport(
        at_s,
        modules=_modules(before, after),
        connections=_connections(before, after),
        settings=tuple(
            each.name
            for each in fields(AgentSettings)
            if not _equal(*(getattr(side, each.name) for side in settings))
        ),
    )


def rejected(reasons: str, at_s: float) -> ReloadReport:
    """Report a reload that changed nothing, since the configuration cannot be used."""
    return ReloadReport(at_s, reasons=reasons)


def _modules(before: Plan, after: Plan) -> Changes:
    levels = [_log_levels(plan.config) for plan in (before, after)]

    def same(old: ModulePlan, new: ModulePlan) -> bool:
        return (
            old.kind.name == new.kind.name
            and levels[0].get(old.name) == levels[1].get(new.name)
            and _equal(old.settings, new.settings)
        )

    return _compare(
        {each.name: each for each in before.modules},
        {each.name: each for each in after.modules},
        same,
    )


def _log_levels(config: AgentConfig) -> Mapping[str, object]:
    return {each.name: each.log_level for each in config.modules}


def _connections(before: Plan, after: Plan) -> Changes:
    """Compare connections: of a module that has other ones, the first new one is the first old."""
    old, new = _by_module(before), _by_module(after)
    found: dict[str, list[str]] = {"added": [], "removed": [], "changed": [], "unchanged": []}
    for module in {**old, **new}:
        gone, come = old.get(module, {}), new.get(module, {})
        found["unchanged"] += [name for key, name in come.items() if key in gone]
        others = [name for key, name in come.items() if key not in gone]
        left = [name for key, name in gone.items() if key not in come]
        both = min(len(others), len(left))
        found["changed"] += others[:both]
        found["added"] += others[both:]
        found["removed"] += left[both:]
    return Changes(**{word: tuple(names) for word, names in found.items()})


def _by_module(plan: Plan) -> dict[str, dict[Hashable, str]]:
    found: dict[str, dict[Hashable, str]] = {}
    for module, settings in plan.connections:
        name = f"{module} at {settings.brokers[0]}"
        found.setdefault(module, {})[settings.connection_settings()] = name
    return found


def _compare(
    old: Mapping[str, Any], new: Mapping[str, Any], same: Callable[[Any, Any], bool]
) -> Changes:
    kept = {name: same(old[name], new[name]) for name in new if name in old}
    return Changes(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(name for name, is_same in kept.items() if not is_same),
        unchanged=tuple(name for name, is_same in kept.items() if is_same),
    )


def _equal(old: object, new: object) -> bool:
    """Compare settings, which may be of a module of another package, with any code."""
    try:
        return bool(old == new)
    except Exception:
        return False


def _some(names: Sequence[str]) -> str:
    return ", ".join(_bounded(names))


def _bounded(names: Sequence[str]) -> Iterator[str]:
    yield from names[:_SHOWN]
    if len(names) > _SHOWN:
        yield f"{len(names) - _SHOWN} more"
