"""A module of another package, with which tests look into a running agent.

Tests make it known by an entry point, as any other package would (`case.install_probe`). What it
does is a setting: emit a table of metrics, log, raise, flood, print, block, fail to start.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from zope.interface import implementer

from metrics_agent.config import Duration, setting
from metrics_agent.interfaces import IModule, ModuleContext
from metrics_agent.metric import Metric, Series
from metrics_agent.module_kind import ModuleKind

__all__ = ["MODULE", "TABLE"]

FLOOD_A_TICK: Final = 1000
SLOW_STOP_S: Final = 0.4

TABLE: Final = (
    Metric(Series("plain", {"device": "a"}), {"value": 1.5}, 1_700_000_000_123_456_789),
    Metric(
        Series("tags", {"device": "b c", "comma": "d,e", "equals": "f=g", "unicode": "Küche ☀"}),
        {"value": 230.0},
        1_700_000_000_000_000_001,
    ),
    Metric(
        Series("types", {"device": "c"}),
        {
            "integer": 9_223_372_036_854_775_807,
            "negative": -1,
            "float": 0.1,
            "tiny": 2.2250738585072014e-308,
            "huge": 1.7976931348623157e308,
            "yes": True,
            "no": False,
            "text": 'say "hello", a \\ and a = sign',
        },
        1_700_000_000_999_999_999,
    ),
    Metric(
        Series("a measurement, with", {"tag key": "x"}),
        {"field key": 0.0},
        1_600_000_000_000_000_000,
    ),
)
"""Metrics that are hard on whoever writes or reads line protocol."""


@frozen
class ProbeSettings:
    """What the module does."""

    act: str = setting(default="nothing", doc="What it does, see `_ACTS`.")
    interval: Duration = setting(default="100ms", minimum=0.001, doc="Time between two acts.")


@implementer(IModule)
class Probe(Service):
    """Does what its settings say, at each interval."""

    def __init__(self, settings: ProbeSettings, context: ModuleContext) -> None:
        self._act = _ACTS[settings.act]
        self._interval_s = settings.interval
        self.context = context
        self.count = 0

    def startService(self) -> None:
        """Begin."""
        super().startService()
        if self._act is _fail_to_start:
            self._act(self)
        self.context.every(self._interval_s, self._tick)

    def stopService(self) -> Deferred[None] | None:
        """End; some take their time."""
        super().stopService()
        if self._act is not _stop_slowly:
            return None
        return deferLater(self.context.reactor, SLOW_STOP_S)

    def _tick(self) -> Any:
        self.count += 1
        return self._act(self)


def _nothing(_probe: Probe) -> None:
    """Be idle."""


def _stop_slowly(_probe: Probe) -> None:
    """Be idle, and take a while to stop."""


def _table(probe: Probe) -> tuple[Metric, ...]:
    """Emit the table, once."""
    return TABLE if probe.count == 1 else ()


def _count(probe: Probe) -> Iterator[Metric]:
    yield Metric(Series("count", {}), {"number": probe.count}, probe.context.now_ns())


def _flood(probe: Probe) -> Iterator[Metric]:
    """Emit far more than anybody reads, numbered over all ticks, like a device of a load."""
    first = (probe.count - 1) * FLOOD_A_TICK
    series = Series("electricity", {"device": "flood"})
    for number in range(first, first + FLOOD_A_TICK):
        yield Metric(series, {"energy_total": float(number + 1)}, probe.context.now_ns())


def _log(probe: Probe) -> None:
    """Log at each level, once."""
    if probe.count == 1:
        for level in ("debug", "info", "warn", "error"):
            getattr(probe.context.log, level)("This is for {name}.", name=level)


def _raise(probe: Probe) -> None:
    raise RuntimeError(f"tick {probe.count} failed on purpose")


def _fail_to_start(_probe: Probe) -> None:
    raise RuntimeError("it cannot start")


def _print(probe: Probe) -> Iterator[Metric]:
    """Write to stdout in all ways there are, then emit."""
    print("printed,by=python value=1")  # noqa: T201 - that is the point
    sys.__stdout__.write("written,by=dunder value=1\n")
    sys.__stdout__.flush()
    os.write(1, b"written,by=number value=1\n")
    libc = ctypes.CDLL(None)
    libc.puts(b"put,by=libc value=1")
    libc.fflush(None)
    os.system("echo echoed,by=shell value=1")
    return _count(probe)


_ACTS: Mapping[str, Callable[[Probe], Any]] = {
    "nothing": _nothing,
    "stop_slowly": _stop_slowly,
    "table": _table,
    "count": _count,
    "flood": _flood,
    "log": _log,
    "raise": _raise,
    "fail_to_start": _fail_to_start,
    "print": _print,
}

MODULE = ModuleKind(name="probe", settings=ProbeSettings, service=Probe)
