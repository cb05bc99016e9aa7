"""A module of another package whose metrics break whoever writes them; see test_go_defects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from zope.interface import implementer

from metrics_agent.interfaces import IModule, ModuleContext
from metrics_agent.metric import Metric, Series
from metrics_agent.module_kind import ModuleKind

__all__ = ["MODULE"]


class _Unreadable:
    """A value that raises when it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("nobody can read this")


@frozen
class HostileSettings:
    """Nothing to set."""


@implementer(IModule)
class Hostile(Service):
    """Emits what cannot be written, then what can."""

    def __init__(self, _settings: HostileSettings, context: ModuleContext) -> None:
        self._context = context

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._context.every(0.05, self._tick)

    def _tick(self) -> Iterator[Metric]:
        now_ns = self._context.now_ns()
        for value in (_Unreadable(), float("nan"), 2**70, None, "ok"):
            yield Metric(Series("hostile", {}), {"value": value}, now_ns)


MODULE = ModuleKind(name="hostile", settings=HostileSettings, service=Hostile)
