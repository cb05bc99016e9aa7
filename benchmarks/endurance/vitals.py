"""How an agent is doing, seen from inside and from outside.

From inside by a module of ours, which tests and benchmarks make known by an entry point. It counts
only when it is asked, by a file: counting means a full garbage collection, and an agent that is
collected all the time would hide what it leaves behind.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen
from twisted.application.service import Service
from zope.interface import implementer

from metrics_agent.config import setting
from metrics_agent.interfaces import IModule, ModuleContext
from metrics_agent.metric import Metric, Series
from metrics_agent.module_kind import ModuleKind

__all__ = ["MODULE", "Reading", "parse", "rss_bytes"]

_LOOK_EVERY_S: Final = 0.05


@frozen
class Reading:
    """An agent at one moment, after a full garbage collection.

    Attributes:
        descriptors: open ones.
        threads: of the process, as the kernel counts them, without those of the reactor's pool: it
            keeps as many as were ever busy at once, up to its limit.
        delayed_calls: pending calls of the reactor.
        objects: that the garbage collector tracks, frozen or not.
        rss: resident memory, bytes.
    """

    descriptors: int
    threads: int
    delayed_calls: int
    objects: int
    rss: int


@frozen
class VitalsSettings:
    """Where the question is."""

    ask: str = setting(doc="A file with a number; it is removed when the answer is given.")


@implementer(IModule)
class Vitals(Service):
    """Counts when it is asked."""

    def __init__(self, settings: VitalsSettings, context: ModuleContext) -> None:
        self._ask = Path(settings.ask)
        self._context = context

    def startService(self) -> None:
        """Begin to look for questions."""
        super().startService()
        self._context.every(_LOOK_EVERY_S, self._look)

    def _look(self) -> Iterator[Metric]:
        if not self._ask.exists():
            return
        number = int(self._ask.read_text("ascii"))
        self._ask.unlink()
        gc.collect()
        status = Path("/proc/self/status").read_text("ascii", "replace")
        threads = re.search(r"^Threads:\s+(\d+)", status, re.MULTILINE)
        assert threads is not None
        found = {
            "number": number,
            # One of them is that of looking.
            "descriptors": len(list(Path("/proc/self/fd").iterdir())) - 1,
            "threads": int(threads[1]) - self._context.reactor.getThreadPool().workers,
            "delayed_calls": len(self._context.reactor.getDelayedCalls()),
            # The agent freezes what its start has made; what is frozen and goes is not counted.
            "objects": gc.get_freeze_count() + len(gc.get_objects()),
        }
        yield Metric(Series("vitals", {}), found, self._context.now_ns())


MODULE = ModuleKind(name="vitals", settings=VitalsSettings, service=Vitals)


def parse(line: bytes) -> tuple[int, dict[str, int]] | None:
    """Return the number of the question and the counts, None for any other line."""
    if not line.startswith(b"vitals "):
        return None
    fields = dict(pair.split("=") for pair in line.decode().split(" ")[1].split(","))
    values = {name: int(text.rstrip("i")) for name, text in fields.items()}
    return values.pop("number"), values


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 if there is none."""
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0
