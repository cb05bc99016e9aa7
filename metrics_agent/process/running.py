"""A service and the reactor: its clock, its main loop, and its run from start to end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from heapq import heappop, heapreplace
from types import ModuleType
from typing import Any

from twisted.application.service import IService
from twisted.internet.base import ReactorBase
from twisted.python import log

from metrics_agent.process.exit import ExitCode

__all__ = [
    "contain_main_loop",
    "dispatch_directly",
    "run_service",
    "sleep_past_old_timers",
    "use_monotonic_clock",
]


def use_monotonic_clock(reactor: Any) -> None:
    """Have timers follow a clock that does not jump; call it before any timer is set.

    Twisted's follow the wall clock. Set back by an hour, as it is on a machine without a clock of
    its own once it reaches a time server, no timer would come for an hour.
    """
    if not reactor.getDelayedCalls():
        reactor.seconds = time.monotonic


def contain_main_loop(
    reactor: Any,
    failed: Callable[[BaseException], object],
    exit: Callable[[int], object] = os._exit,  # noqa: A002 - what it is
) -> None:
    """Stop in order when an exception leaves the reactor's main loop.

    Twisted contains all exceptions there by logging them; what leaves it is a log line that cannot
    be made, for want of memory above all. `run` would return without stopping anything, and the
    interpreter would wait at its end for the threads of the reactor's pool, which never end.

    Args:
        reactor: any that has a ``mainLoop``.
        failed: called with the exception; asks the reactor to stop. May raise.
        exit: ends the process at once, where it is of no use to go on.
    """
    main_loop = getattr(reactor, "mainLoop", None)
    if main_loop is None:
        return
    attempts, status = (1, 2, 3), int(ExitCode.FAILED)

    def contained() -> None:
        # Nothing in here needs memory, not even `suppress`.
        for _ in attempts:
            try:
                main_loop()
            except BaseException as error:  # noqa: PERF203 - three times at most
                try:  # noqa: SIM105 - as above
                    failed(error)
                except BaseException:  # noqa: S110 - there is no memory for a line about it
                    pass
            else:
                return
        exit(status)

    reactor.mainLoop = contained


def dispatch_directly(reactor: Any) -> None:
    """Have the reactor call what it reads and writes without a context for its log lines.

    Twisted makes one for each event, with the descriptor's name in it for lines of its old log
    interface: a dozen calls and two dictionaries, 3 us, for a name that is hardly ever logged.
    What leaves the call is logged as before; what the reactor catches itself lacks that name too.

    Args:
        reactor: any whose module takes ``callWithLogger`` from Twisted's log.
    """
    module = sys.modules[type(reactor).__module__]
    if getattr(module, "log", None) is not log or not hasattr(reactor, "mainLoop"):
        return

    def call(logger: Any, function: Callable[..., object], *args: Any, **names: Any) -> object:
        try:
            return function(*args, **names)
        except KeyboardInterrupt:
            raise
        except BaseException:
            return log.callWithLogger(logger, _raise_again)

    direct: Any = ModuleType(log.__name__)
    direct.__dict__.update(log.__dict__)
    direct.callWithLogger = call
    module.__dict__["log"] = direct


def _raise_again() -> None:
    """Raise what the caller handles."""
    raise  # noqa: PLE0704 - within the caller's except clause


def sleep_past_old_timers(reactor: Any) -> None:
    """Have the reactor not wake up when timers would have been due that are cancelled or put off.

    Twisted keeps both in their old places until then, and finds out when it is awake that there is
    nothing to do.

    Args:
        reactor: any that keeps its timers as Twisted's `ReactorBase` does.
    """
    if not isinstance(reactor, ReactorBase) or not hasattr(reactor, "mainLoop"):
        return
    base: Any = reactor
    timeout = base.timeout

    def until_due() -> float | None:
        base._insertNewDelayedCalls()  # noqa: SLF001 - pinned by test_boot.py
        calls = base._pendingTimedCalls  # noqa: SLF001 - as above
        while calls:
            first = calls[0]
            if first.cancelled:
                heappop(calls)
                base._cancellations -= 1  # noqa: SLF001 - as above
            elif first.delayed_time > 0.0:
                first.activate_delay()
                heapreplace(calls, first)
            else:
                break
        delay_s: float | None = timeout()
        return delay_s

    base.timeout = until_due


def run_service(reactor: Any, service: IService) -> None:
    """Start a service, run the reactor, and have the service stopped before the reactor ends.

    Returns when the reactor has stopped.
    """
    reactor.callWhenRunning(service.startService)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
