"""The demo module: a metric every interval, and a fault on demand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from twisted.application.service import Service
from zope.interface import implementer

from metrics_agent.interfaces import IModule, ModuleContext
from metrics_agent.metric import Metric, Series
from metrics_agent.modules.demo.config import DemoSettings

__all__ = ["DemoModule"]

_PERIOD_S = 60.0


@implementer(IModule)
class DemoModule(Service):
    """Writes a sine wave and a count; raises while the trigger file exists."""

    def __init__(self, settings: DemoSettings, context: ModuleContext) -> None:
        self._settings = settings
        self._context = context
        self._series = Series("demo", {"module": context.name})
        self._sequence = 0

    def startService(self) -> None:
        """Start ticking."""
        super().startService()
        self._context.every(self._settings.interval, self._collect)

    def _collect(self) -> Iterator[Metric]:
        trigger = self._settings.trigger_file
        if trigger and Path(trigger).exists():
            raise RuntimeError(f"the trigger file {trigger} exists")
        now_ns = self._context.now_ns()
        phase = (now_ns / 1e9) % _PERIOD_S / _PERIOD_S
        self._sequence += 1
        yield Metric(
            self._series,
            {"sequence": self._sequence, "value": math.sin(2 * math.pi * phase)},
            now_ns,
        )
