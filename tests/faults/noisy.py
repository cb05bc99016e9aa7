"""A module that has far more to say than anybody can read."""

from __future__ import annotations

from typing import Final

from attrs import frozen
from twisted.application.service import Service
from zope.interface import implementer

from metrics_agent.interfaces import IModule, ModuleContext
from metrics_agent.module_kind import ModuleKind

__all__ = ["NOISY"]

_INTERVAL_S: Final = 0.1
_LINES: Final = 100
_TEXT: Final = "x" * 2000


@frozen
class NoisySettings:
    """Nothing to set."""


@implementer(IModule)
class Noisy(Service):
    """Says long things at each level, ten times a second, that do not fold."""

    def __init__(self, _settings: NoisySettings, context: ModuleContext) -> None:
        self._context = context
        self._number = 0

    def startService(self) -> None:
        """Begin to talk."""
        super().startService()
        self._context.every(_INTERVAL_S, self._talk)

    def _talk(self) -> None:
        log = self._context.log
        for _ in range(_LINES):
            self._number += 1
            for report in (log.debug, log.info, log.warn, log.error):
                report("Noise {number}: {text}", number=self._number, text=_TEXT, fold=False)


NOISY = ModuleKind(name="noisy", settings=NoisySettings, service=Noisy)
