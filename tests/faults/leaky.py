"""A module that leaves something of each kind behind at every restart: what a leak looks like."""

from __future__ import annotations

import os
import threading
from typing import Any, Final

from attrs import frozen
from twisted.application.service import Service
from zope.interface import implementer

from metrics_agent.interfaces import IModule, ModuleContext
from metrics_agent.module_kind import ModuleKind

__all__ = ["LEAKY"]

_LEFT: Final[list[object]] = []
_OBJECTS: Final = 200
_BYTES: Final = 500_000


@frozen
class LeakySettings:
    """Nothing to set."""


@implementer(IModule)
class Leaky(Service):
    """Keeps a descriptor, a thread, a timer, objects and memory."""

    def __init__(self, _settings: LeakySettings, context: ModuleContext) -> None:
        self._reactor: Any = context.reactor

    def startService(self) -> None:
        """Leave something behind."""
        super().startService()
        os.dup(0)
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        # Behind the context's back, which would take it away at the stop.
        self._reactor.callLater(3600, int)
        _LEFT.extend([[index] for index in range(_OBJECTS)])
        _LEFT.append(os.urandom(_BYTES))


LEAKY = ModuleKind(name="leaky", settings=LeakySettings, service=Leaky)
