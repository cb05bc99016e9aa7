"""Modules for the fault matrix: one that breaks on purpose, and a steady one beside it.

They run in a real agent; a test makes them known by entry points (`integration.case`).
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from metrics_agent.config import Duration, Fault, setting
from metrics_agent.interfaces import Handler, IModule, Message, ModuleContext
from metrics_agent.metric import Metric, Series
from metrics_agent.module_kind import ModuleKind
from metrics_agent.transports.mqtt.settings import MqttSettings
from tests.faults.breakages import FAULTS
from tests.faults.numbered import PLACE, numbers_filter, point_of

__all__ = ["FAULTY", "STEADY", "STEADY_INTERVAL_S", "strikes"]

STEADY_INTERVAL_S: Final = 0.01
TICK_S: Final = 0.05


# -- the steady module ---------------------------------------------------------------------------


@frozen
class SteadySettings:
    """Nothing to set."""


@implementer(IModule)
class Steady(Service):
    """Counts every 10 ms, the first time in its start: a life without a metric is a lost one.

    Each instance counts from 1, so that holes can be seen.
    """

    def __init__(self, _settings: SteadySettings, context: ModuleContext) -> None:
        self._context = context
        self._number = 0
        self._series = Series("steady", {"module": context.name, "life": str(time.monotonic_ns())})

    def startService(self) -> None:
        """Count."""
        super().startService()
        self._context.emit(self._tick())
        self._context.every(STEADY_INTERVAL_S, self._tick, now=False)

    def _tick(self) -> Iterator[Metric]:
        self._number += 1
        yield Metric(self._series, {"number": self._number}, time.monotonic_ns())


STEADY = ModuleKind(name="steady", settings=SteadySettings, service=Steady)


# -- the faulty module ---------------------------------------------------------------------------


@frozen
class FaultySettings(MqttSettings):
    """Where it breaks, how, and how often."""

    place: str = setting(doc="One of `_PLACES`.")
    fault: str = setting(doc="One of `breakages.FAULTS`.")
    strikes: str = setting(doc="A file to which each strike appends when it was.")
    times: int = setting(default=1, doc="How often it strikes, over all instances.")
    after: str = setting(default="", doc="It strikes once this file is there; empty for at once.")
    peer: str = setting(default="", doc="URL of a server that gives numbers.")
    uses_mqtt: bool = setting(default=False, doc="It takes numbered messages at the broker.")
    pause: Duration = setting(default="300ms", doc="From the start to the strike.")

    def check(self) -> Iterator[Fault]:
        """Break where settings are checked, if that is the place."""
        yield from MqttSettings.check(self)
        if self.place == "settings":
            strike(self)


def strikes(path: Path) -> list[int]:
    """Return when it struck: nanoseconds of the monotonic clock."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def strike(settings: FaultySettings) -> Any:
    """Break, unless it has struck often enough; note when it was."""
    path = Path(settings.strikes)
    if settings.after and not Path(settings.after).exists():
        return None
    if len(strikes(path)) >= settings.times:
        return None
    with path.open("a", encoding="ascii") as file:
        file.write(f"{time.monotonic_ns()}\n")
    return FAULTS[settings.fault]()


@implementer(IModule)
class Faulty(Service):
    """Does its work, and breaks at its place."""

    def __init__(self, settings: FaultySettings, context: ModuleContext) -> None:
        self.settings = settings
        self.context = context
        self._number = 0
        self._began_s = time.monotonic()
        self._series = Series("faulty", {"life": str(time.monotonic_ns())})
        self.connection: Any = None
        self._at(("init",))

    def strike(self, *_ignored: object) -> Any:
        """Break, see `strike`."""
        return strike(self.settings)

    def startService(self) -> Any:
        """Begin to work: a number every tick shows that it lives."""
        super().startService()
        self.context.every(TICK_S, self._tick)
        self._at(("start", "reload_start"))
        if self.settings.uses_mqtt:
            self._subscribe()
        begin = _PLACES.get(self.settings.place)
        return begin(self) if begin is not None else None

    def stopService(self) -> Any:
        """Break at the stop, if that is the place."""
        super().stopService()
        if self.connection is not None:
            return self.connection.cancel()
        return self._at(("stop",))

    def later(self, call: Callable[..., object], place: str) -> None:
        """Break after a moment of work, by way of the context."""
        self.context.later(self.settings.pause, call, place=place)

    def _at(self, places: tuple[str, ...]) -> Any:
        return self.strike() if self.settings.place in places else None

    def _tick(self) -> Any:
        # Not at the first one: what is beside it has to be at work, or nothing is seen of a gap.
        if self.settings.place == "tick":
            self._after_pause()
        return self._numbers()

    def _numbers(self) -> Iterator[Metric]:
        self._number += 1
        yield Metric(self._series, {"number": self._number}, time.monotonic_ns())

    # Messages: a handler that breaks before it has done anything, one that breaks amid its metrics,
    # and one that learns from retained messages what else to subscribe to.

    def _subscribe(self) -> None:
        broker, place = self.settings.connection_settings(), self.settings.place
        handler: Handler = {"message": self._message, "decode": self._decode}.get(place, self._take)
        named = place if handler != self._take else PLACE
        numbers = numbers_filter(self.settings.client_id)
        self.context.subscribe(broker, numbers, handler, place=named)
        if place == "discovery":
            self.context.subscribe(broker, "discovery/+", self._discovery, place=place)

    def _take(self, message: Message) -> Iterator[Metric]:
        yield point_of(message)

    def _message(self, message: Message) -> tuple[Metric]:
        self._after_pause()
        return (point_of(message),)

    def _decode(self, message: Message) -> Iterator[Metric]:
        yield point_of(message)
        self._after_pause()
        yield Metric(Series("half", {}), {"number": 1}, time.monotonic_ns())

    def _discovery(self, message: Message) -> tuple[Metric, ...]:
        self.strike()
        learned = message.payload.decode()
        broker = self.settings.connection_settings()
        self.context.subscribe(broker, learned, self._learned, place="learned", learned=True)
        return ()

    def _learned(self, message: Message) -> Iterator[Metric]:
        series = Series("learned", {"topic": message.topic})
        yield Metric(series, {"number": int(message.payload)}, time.monotonic_ns())

    def _after_pause(self) -> None:
        if time.monotonic() - self._began_s >= self.settings.pause:
            self.strike()


def _make(settings: FaultySettings, context: ModuleContext) -> Faulty:
    if settings.place in {"make", "reload_make"}:
        strike(settings)
    return Faulty(settings, context)


def _brokers(settings: FaultySettings) -> tuple[MqttSettings, ...]:
    if settings.place == "brokers":
        strike(settings)
    return (settings.connection_settings(),) if settings.uses_mqtt else ()


FAULTY = ModuleKind(name="faulty", settings=FaultySettings, service=_make, brokers=_brokers)


# -- places that need more than a call ------------------------------------------------------------


def _start_deferred(faulty: Faulty) -> Deferred[Any]:
    started: Deferred[Any] = Deferred()
    started.addCallback(faulty.strike)
    faulty.context.reactor.callLater(0.05, started.callback, None)
    return started


async def _start_coroutine(faulty: Faulty) -> None:
    moment: Deferred[None] = Deferred()
    faulty.context.reactor.callLater(0.05, moment.callback, None)
    await moment
    faulty.strike()


def _start_result(faulty: Faulty) -> Any:
    """Return what the fault makes, such as a Deferred that never fires."""
    return faulty.strike()


def _timer(faulty: Faulty) -> None:
    faulty.later(faulty.strike, "timer")


def _own_timer(faulty: Faulty) -> None:
    """Go behind the context's back."""
    faulty.context.reactor.callLater(faulty.settings.pause, faulty.strike)


def _looping_call(faulty: Faulty) -> None:
    def start() -> None:
        faulty.context.watch(LoopingCall(faulty.strike).start(1.0), place="looping_call")

    faulty.later(start, "timer")


def _callback(faulty: Faulty) -> None:
    work: Deferred[Any] = Deferred()
    faulty.context.watch(work.addCallback(faulty.strike), place="callback")
    faulty.later(lambda: work.callback(None), "timer")


def _errback(faulty: Faulty) -> None:
    work: Deferred[Any] = Deferred()
    faulty.context.watch(work.addErrback(faulty.strike), place="errback")
    faulty.later(lambda: work.errback(Failure(ValueError("a device said no"))), "timer")


def _coroutine(faulty: Faulty) -> None:
    async def work() -> None:
        moment: Deferred[None] = Deferred()
        faulty.later(lambda: moment.callback(None), "timer")
        await moment
        faulty.strike()

    faulty.context.watch(work(), place="coroutine")


def _collected(faulty: Faulty) -> None:
    def forget() -> None:
        work: Deferred[Any] = Deferred()
        work.addCallback(faulty.strike)
        work.callback(None)
        del work
        gc.collect()

    faulty.later(forget, "timer")


def _thread(faulty: Faulty) -> None:
    def start() -> None:
        faulty.context.in_thread(faulty.strike)

    faulty.later(start, "timer")


def _body(faulty: Faulty) -> None:
    from tests.faults.faulty_peers import body

    body(faulty)


def _frame(faulty: Faulty) -> None:
    from tests.faults.faulty_peers import frame

    faulty.connection = frame(faulty)


def _emit(faulty: Faulty) -> None:
    def metrics() -> Iterator[Metric]:
        yield from faulty._numbers()
        made = faulty.strike()
        if made is not None:
            yield from made
        yield from faulty._numbers()

    faulty.later(lambda: faulty.context.emit(metrics()), "timer")


class _Hostile(Mapping[str, float]):
    """Fields that break when they are read."""

    def __init__(self, strike: Callable[[], Any]) -> None:
        self._strike = strike

    def __getitem__(self, key: str) -> float:
        self._strike()
        return 1.0

    def __iter__(self) -> Iterator[str]:
        return iter(("value",))

    def __len__(self) -> int:
        return 1


def _serialise(faulty: Faulty) -> None:
    def emit() -> None:
        hostile = Metric(Series("hostile", {}), _Hostile(faulty.strike), 1)
        faulty.context.emit([hostile, *faulty._numbers()])

    faulty.later(emit, "timer")


def _signal_handler(faulty: Faulty) -> None:
    signal.signal(signal.SIGUSR1, faulty.strike)
    main = threading.main_thread().ident

    def send() -> None:
        # While the reactor waits: amid a module's code it would be a fault of that module.
        while sys._current_frames()[main].f_code.co_name != "doPoll":
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGUSR1)

    sender = threading.Timer(faulty.settings.pause, send)
    sender.daemon = True
    sender.start()


def _log_observer(faulty: Faulty) -> None:
    def add() -> None:
        globalLogPublisher.addObserver(faulty.strike)
        faulty.context.log.info("A line that an observer breaks on.")

    faulty.later(add, "timer")


_PLACES: Final[Mapping[str, Callable[[Faulty], Awaitable[Any] | None]]] = {
    "start_deferred": _start_deferred,
    "start_coroutine": _start_coroutine,
    "start_result": _start_result,
    "timer": _timer,
    "own_timer": _own_timer,
    "looping_call": _looping_call,
    "callback": _callback,
    "errback": _errback,
    "coroutine": _coroutine,
    "collected": _collected,
    "thread": _thread,
    "body": _body,
    "frame": _frame,
    "emit": _emit,
    "serialise": _serialise,
    "signal_handler": _signal_handler,
    "log_observer": _log_observer,
}
