"""A service and the reactor, from start to end, as twistd does it."""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService

__all__ = ["run_service"]


def run_service(reactor: Any, service: IService) -> None:
    """Start a service, run the reactor, and have the service stopped before the reactor ends.

    Returns when the reactor has stopped.
    """
    reactor.callWhenRunning(service.startService)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
