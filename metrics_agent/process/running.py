"""A service and the reactor: its clock, and its run from start to end as twistd does it."""

from __future__ import annotations

import time
from typing import Any

from twisted.application.service import IService

__all__ = ["run_service", "use_monotonic_clock"]


def use_monotonic_clock(reactor: Any) -> None:
    """Have timers follow a clock that does not jump; call it before any timer is set.

    Twisted's follow the wall clock. Set back by an hour, as it is on a machine without a clock of
    its own once it reaches a time server, no timer would come for an hour.
    """
    if not reactor.getDelayedCalls():
        reactor.seconds = time.monotonic


def run_service(reactor: Any, service: IService) -> None:
    """Start a service, run the reactor, and have the service stopped before the reactor ends.

    Returns when the reactor has stopped.
    """
    reactor.callWhenRunning(service.startService)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
