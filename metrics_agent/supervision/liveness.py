"""Looks at the devices of all modules, reports those that fall silent, and keeps what was learned.

What is known of devices is in `devices`; this is the work and the log. The work of a large fleet is
done in slices, so that nothing else waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from itertools import islice
from math import inf
from typing import Any, Final, TypeAlias

from twisted.application.service import Service
from twisted.logger import Logger, LogLevel

from metrics_agent.catalogue import DEVICE
from metrics_agent.devices import stored
from metrics_agent.devices.book import SWEEP_S, DeviceBook, News
from metrics_agent.devices.device import Device
from metrics_agent.logs.burst import Burst
from metrics_agent.metric import FieldValue, Metric, Series
from metrics_agent.state.directory import StateFile
from metrics_agent.supervision.guard import Guard
from metrics_agent.timer import Timer

__all__ = ["Liveness"]

SAVE_EVERY_S: Final = 3600.0
_SLICE_S: Final = 0.02
_ROWS_A_TURN: Final = 200
_QUIET_S: Final = 2.5 * SWEEP_S
_FILE: Final = "liveness.json"
_LAST_SEEN: Final = DEVICE.key("last_seen")
_STALE: Final = DEVICE.key("stale")

_Job: TypeAlias = Generator[None, None, None]


class _Watched:
    """The devices of one module, and what is said of them.

    Args:
        log: of the module.
        clock: provides seconds and callLater.
        file: outlives the process.
    """

    def __init__(self, log: Logger, clock: Any, file: StateFile) -> None:
        self.book = DeviceBook()
        self.log = log
        self.file = file
        self.is_restored = False
        self.is_full = False
        self.problems: set[str] = set()
        self.silent = Burst(
            log,
            clock,
            "{count} devices are silent, the first: {first}.",
            one="Device {first}.",
            quiet_s=_QUIET_S,
            level=LogLevel.warn,
        )
        self.back = Burst(
            log,
            clock,
            "{count} devices that were silent are back, the first: {first}.",
            one="Device {first}.",
            quiet_s=_QUIET_S,
        )

    @property
    def is_worth_saving(self) -> bool:
        """Whether there are devices, and none of those in the file is missing."""
        return self.is_restored and bool(self.book.devices)


class Liveness(Service):
    """Sweeps the books of all modules every ten seconds.

    Args:
        clock: provides seconds and callLater.
        now_ns: the wall clock, as messages have it.
        file: the state file of a module, by its name and that of the file.
        make_logger: makes the log of a module.
        planned: gives the names of the modules that shall run.
        hearing: gives the names of those that run, and whose brokers are connected and read.
        interval_s: gives the seconds between two rounds of `last_seen`; 0 for none.
        emit: takes metrics; does not raise.
        guard: contains a fault of our own.

    Attributes:
        keeps_lines: whether the books of modules that are started from now on keep the last lines.
    """

    def __init__(
        self,
        clock: Any,
        *,
        now_ns: Callable[[], int],
        file: Callable[[str, str], StateFile],
        make_logger: Callable[[str], Logger],
        planned: Callable[[], Collection[str]],
        hearing: Callable[[], Collection[str]],
        interval_s: Callable[[], float],
        emit: Callable[[Iterable[Metric]], None],
        guard: Guard,
    ) -> None:
        self.keeps_lines = False
        self._clock = clock
        self._now_ns = now_ns
        self._file = file
        self._make_logger = make_logger
        self._planned = planned
        self._hearing = hearing
        self._interval_s = interval_s
        self._emit = emit
        self._watched: dict[str, _Watched] = {}
        self._jobs: deque[_Job] = deque()
        self._wrote_s = self._saved_s = clock.seconds()
        self._sweeps = Timer(clock, self._tick, lambda error: guard.caught("devices", error))
        self._work = Timer(clock, self._go_on, lambda error: guard.caught("devices", error))

    @property
    def books(self) -> dict[str, DeviceBook]:
        """The books by the name of the module."""
        return {name: each.book for name, each in self._watched.items()}

    def book(self, name: str) -> DeviceBook:
        """Return the book of a module, for an instance that is going to be made."""
        watched = self._watched.get(name)
        if watched is None:
            file = self._file(name, _FILE)
            watched = _Watched(self._make_logger(name), self._clock, file)
            self._watched[name] = watched
            self._jobs.append(self._restore(watched))
            self._work.start(0)
        # Its connections are new ones, too.
        watched.problems.clear()
        watched.book.keeps_lines = self.keeps_lines
        return watched.book

    def note_connection(self, name: str, address: str, problem: str | None) -> None:
        """Record how a connection is that a module itself has; see `ModuleContext`."""
        watched = self._watched.get(name)
        if watched is None:
            return
        if problem:
            watched.problems.add(address)
        else:
            watched.problems.discard(address)

    def startService(self) -> None:
        """Sweep from now on."""
        super().startService()
        self._sweeps.start(SWEEP_S)

    def stopService(self) -> None:
        """Hand what was learned to the state files; safe before start and twice."""
        super().stopService()
        self._sweeps.stop()
        self._work.stop()
        self._jobs.clear()
        for watched in self._watched.values():
            self._leave(watched)

    # What is done every ten seconds.

    def _tick(self) -> float:
        if not self._jobs:
            self._plan_jobs()
        if not self._work.active and self._go_on() is not None:
            self._work.start(0)
        return SWEEP_S

    def _plan_jobs(self) -> None:
        now_s, now_ns = self._clock.seconds(), self._now_ns()
        planned, hearing = self._planned(), self._hearing()
        for name in [each for each in self._watched if each not in planned]:
            self._leave(self._watched.pop(name))
        interval_s = self._interval_s()
        writes = interval_s > 0 and now_s - self._wrote_s > interval_s - SWEEP_S / 2
        saves = now_s - self._saved_s >= SAVE_EVERY_S
        for name, watched in self._watched.items():
            hears = name in hearing and not watched.problems
            self._jobs.append(self._sweep(watched, now_s, now_ns, hears=hears, writes=writes))
            if saves:
                self._jobs.append(self._save(watched))
        self._wrote_s = now_s if writes else self._wrote_s
        self._saved_s = now_s if saves else self._saved_s

    def _go_on(self) -> float | None:
        """Work for some milliseconds; None if nothing is left to do."""
        until_s = self._clock.seconds() + _SLICE_S
        while self._jobs:
            job = self._jobs.popleft()
            # One that raises is gone.
            if next(job, job) is None:
                self._jobs.appendleft(job)
            if self._clock.seconds() >= until_s:
                break
        return 0.0 if self._jobs else None

    def _restore(self, watched: _Watched) -> _Job:
        document = watched.file.read()
        now_s, now_ns = self._clock.seconds(), self._now_ns()
        try:
            faults = yield from stored.restore(watched.book, document, now_s, now_ns)
        finally:
            watched.is_restored = True
        if faults:
            watched.log.warn(
                "{count} devices in {path} cannot be used and are ignored: the agent learns again "
                "how often they send.",
                count=faults,
                path=str(watched.file.path),
            )

    def _sweep(
        self, watched: _Watched, now_s: float, now_ns: int, *, hears: bool, writes: bool
    ) -> _Job:
        news = yield from watched.book.sweep_in_turns(now_s, now_ns, hears=hears)
        self._report(watched, news)
        if watched.book.left_out and not watched.is_full:
            watched.is_full = True
            watched.log.warn(
                "There are too many devices to watch them all: {count} are watched, and it is not "
                "reported when others fall silent. Their metrics are collected.",
                count=len(watched.book.devices),
                fold=False,
            )
        changed = [device for device, _silent_s in (*news.stale, *news.back)]
        if changed:
            self._emit(_points(changed, now_s, self._now_ns(), changed=True))
        if writes:
            self._emit(_points(list(watched.book.devices.values()), now_s, self._now_ns()))

    def _report(self, watched: _Watched, news: News) -> None:
        together = news.together
        if together is not None:
            watched.log.warn(
                "{silent} of {count} devices that send regularly fell silent together, {span} ago: "
                "likely the broker, the network or the power. Each is marked as stale when it is "
                "overdue, and not logged.",
                silent=together.silent,
                count=together.of,
                span=_span(together.silent_s),
                fold=False,
            )
        for device, silent_s in news.alone:
            watched.silent.add(_silence(device, silent_s))
        for device, silent_s in news.back:
            watched.back.add(f"{device.describe()} is back after {_span(silent_s)}")

    def _save(self, watched: _Watched) -> _Job:
        if not watched.is_worth_saving:
            return
        rows = stored.rows(watched.book, self._clock.seconds(), self._now_ns())
        kept: list[bytes] = []
        while some := list(islice(rows, _ROWS_A_TURN)):
            kept += some
            yield
        watched.file.write_encoded(stored.whole(kept))

    def _leave(self, watched: _Watched) -> None:
        """Save at once."""
        watched.silent.flush()
        watched.back.flush()
        if watched.is_worth_saving:
            rows = stored.rows(watched.book, self._clock.seconds(), self._now_ns())
            watched.file.write_encoded(stored.whole(rows))


def _points(
    devices: Iterable[Device], now_s: float, time_ns: int, *, changed: bool = False
) -> Iterator[Metric]:
    for device in devices:
        if device.heard_s == -inf:
            continue
        fields: dict[str, FieldValue] = {_LAST_SEEN: max(0.0, round(now_s - device.heard_s, 1))}
        if changed:
            fields[_STALE] = device.is_stale
        tags = {"vendor": device.vendor, "device": device.name, "friendly": device.friendly}
        yield Metric(Series(DEVICE.name, tags), fields, time_ns)


def _silence(device: Device, silent_s: float) -> str:
    rhythm = device.rhythm
    usual = (
        f"it usually sends every {_span(rhythm.interval_s)}"
        if rhythm.overdue_s
        else f"it announced at least one message every {_span(device.announced_s[1])}"
    )
    return f"{device.describe()} is silent: nothing came for {_span(silent_s)}, {usual}"


def _span(seconds: float) -> str:
    """Return a time as people say it."""
    for unit_s, unit in ((24 * 3600, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"
