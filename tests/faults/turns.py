"""A module that measures the longest turns of its reactor, in time of the processor.

A gap on the clock is also what other programs take of the machine; this is not.
"""

from __future__ import annotations

import time
from typing import Final

from attrs import frozen
from twisted.application.service import Service
from zope.interface import implementer

from metrics_agent.interfaces import IModule, ModuleContext
from metrics_agent.metric import Metric, Series
from metrics_agent.module_kind import ModuleKind

__all__ = ["TURNS"]

INTERVAL_S: Final = 0.01
_SERIES: Final = Series("turns", {})


@frozen
class TurnsSettings:
    """Nothing to set."""


@implementer(IModule)
class Turns(Service):
    """Writes how long the reactor worked between two looks, whenever that is a new maximum."""

    def __init__(self, _settings: TurnsSettings, context: ModuleContext) -> None:
        self._context = context
        self._longest_s = 0.0
        self._before_s = 0.0

    def startService(self) -> None:
        """Look from now on."""
        super().startService()
        self._before_s = time.thread_time()
        self._context.later(INTERVAL_S, self._look)

    def _look(self) -> None:
        now_s = time.thread_time()
        worked_s, self._before_s = now_s - self._before_s, now_s
        if worked_s > self._longest_s:
            self._longest_s = worked_s
            point = Metric(_SERIES, {"longest_ms": worked_s * 1000}, self._context.now_ns())
            self._context.emit([point])
        self._context.later(INTERVAL_S, self._look)


TURNS = ModuleKind(name="turns", settings=TurnsSettings, service=Turns)
