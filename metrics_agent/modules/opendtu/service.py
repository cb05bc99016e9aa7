"""The service: one source, the socket or the broker, whose readings become points."""

from __future__ import annotations

from typing import Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from metrics_agent.interfaces import IModule, ModuleContext
from metrics_agent.modules.opendtu.config import OpenDtuSettings
from metrics_agent.modules.opendtu.points import DtuPoints

__all__ = ["DtuSource", "OpenDtuModule"]


class DtuSource(Protocol):
    """Where readings come from."""

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> Deferred[None] | None:
        """End; safe before the start and twice."""
        ...


@implementer(IModule)
class OpenDtuModule(Service):
    """Collects from one DTU.

    Args:
        settings: checked ones.
        context: the door to the agent.
    """

    def __init__(self, settings: OpenDtuSettings, context: ModuleContext) -> None:
        self._source = _make_source(settings, context)

    def startService(self) -> None:
        """Begin to collect."""
        super().startService()
        self._source.start()

    def stopService(self) -> Deferred[None] | None:
        """End; fires when the socket is closed, so that the next one is the only one."""
        super().stopService()
        return self._source.stop()


def _make_source(settings: OpenDtuSettings, context: ModuleContext) -> DtuSource:
    points = DtuPoints(settings, context)
    if settings.mqtt is not None:
        from metrics_agent.modules.opendtu.broker import BrokerSource

        return BrokerSource(settings.mqtt, context, points)
    from metrics_agent.modules.opendtu.live import LiveSource

    return LiveSource(settings, context, points)
