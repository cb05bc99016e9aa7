"""A module that measures the longest turns of its reactor, less what the machine makes of them.

A gap on the clock is also what other programs take of the machine: a process that works all the
time, on a machine with ten others that do, waits ten times as long as it works. The kernel counts
for how long it was ready to run and did not.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from attrs import frozen
from line_protocol_parser import parse_line
from twisted.application.service import Service
from zope.interface import implementer

from metrics_agent.interfaces import IModule, ModuleContext
from metrics_agent.metric import Metric, Series
from metrics_agent.module_kind import ModuleKind

__all__ = ["MODULES", "TABLE", "TURNS", "longest_turn_ms"]

INTERVAL_S: Final = 0.01
WAITING: Final = "/proc/thread-self/schedstat"
"""Nanoseconds on a processor, nanoseconds of waiting for one, number of turns."""
LOOKS: Final = 10
"""The longest turn of so many looks is written."""
_SERIES: Final = Series("turns", {})


@frozen
class TurnsSettings:
    """Nothing to set."""


@implementer(IModule)
class Turns(Service):
    """Writes by how much more than the interval passed between two looks, less the waiting."""

    def __init__(self, _settings: TurnsSettings, context: ModuleContext) -> None:
        self._context = context
        self._turns_s: list[float] = []
        self._before_s = 0.0

    def startService(self) -> None:
        """Look from now on."""
        super().startService()
        self._file = os.open(WAITING if Path(WAITING).exists() else os.devnull, os.O_RDONLY)
        self._before_s = self._own_s()
        self._context.later(INTERVAL_S, self._look)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        os.close(self._file)

    def _own_s(self) -> float:
        """Return the time, without that in which this thread waited for a processor."""
        # Nothing where the kernel does not count it: then turns are as long as they look.
        found = os.pread(self._file, 100, 0).split()
        waited_ns = int(found[1]) if found else 0
        return time.monotonic() - waited_ns / 1e9

    def _look(self) -> None:
        now_s = self._own_s()
        self._turns_s.append(now_s - self._before_s - INTERVAL_S)
        self._before_s = now_s
        if len(self._turns_s) == LOOKS:
            fields = {"longest_ms": max(self._turns_s) * 1000}
            self._turns_s = []
            self._context.emit([Metric(_SERIES, fields, time.monotonic_ns())])
        self._context.later(INTERVAL_S, self._look)


TURNS = ModuleKind(name="turns", settings=TurnsSettings, service=Turns)
MODULES: Final = {"turns": "tests.faults.turns:TURNS"}
TABLE: Final = "[modules.turns]\nenabled = true\n"


def longest_turn_ms(output: bytes, since_ns: int = 0) -> float:
    """Return the longest turn that an agent with this module has written.

    Args:
        output: of the agent; a line that is not whole does not count.
        since_ns: nor does what was written before, by the machine's monotonic clock.
    """
    lines = (line for line in output.split(b"\n")[:-1] if line.startswith(b"turns "))
    found = [parse_line(line) for line in lines]
    return max(each["fields"]["longest_ms"] for each in found if each["time"] > since_ns)
