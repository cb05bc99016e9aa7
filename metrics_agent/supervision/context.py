"""The door of a module: every callback it hands in is guarded, all it starts is owned.

One context belongs to one instance of a module. When the instance is gone the context is closed:
subscriptions, timers, Deferreds are cancelled, and what code that was left over still asks for
does nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import length_hint
from pathlib import Path
from random import random
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.batch import Batch
from metrics_agent.deferreds import as_deferred
from metrics_agent.devices.book import DeviceBook
from metrics_agent.http_interface import Http
from metrics_agent.interfaces import Cancellable, Closable, Collect, Collected, Handler
from metrics_agent.logs.once import LeftOut
from metrics_agent.metric import Metric
from metrics_agent.process.threads import ModuleCalls
from metrics_agent.state.directory import StateDirectory, StateFile
from metrics_agent.supervision.counters import Counters
from metrics_agent.supervision.emitter import Emitter
from metrics_agent.supervision.guard import Caught, Guard
from metrics_agent.supervision.message_handlers import MessageHandlers
from metrics_agent.supervision.ownership import Nothing, Ownership
from metrics_agent.supervision.ticker import Ticker, TickerLimits
from metrics_agent.topic_filters import covers, inner_filter, valid_filter
from metrics_agent.transports.mqtt.settings import MqttSettings

if TYPE_CHECKING:
    from metrics_agent.transports.settings import TlsSettings
    from metrics_agent.transports.websocket.settings import WebSocketSettings

__all__ = ["Context", "Resources"]

T = TypeVar("T")


@frozen
class Resources:
    """What all contexts share.

    Attributes:
        reactor: the reactor.
        now_ns: the wall clock.
        encode: see `line_protocol.Encoder.encode`.
        write: takes a batch.
        connection: the connection of a module, by its name, to a broker; KeyError if its
            configuration names none such.
        state: of the agent.
        limits: of tickers.
        threads: what runs a module's blocking calls, by its name.
        read_only: see `interfaces.ModuleContext`.
        note_connection: called with the name of the module, and as `ModuleContext` has it.
        random: see `interfaces.ModuleContext`.
        output_topic: where the output publishes, at whatever broker; empty if it does not.
        devices: the book of a module's devices, by its name.
    """

    reactor: Any
    now_ns: Callable[[], int]
    encode: Callable[[Metric], bytes]
    write: Callable[[Batch], None]
    connection: Callable[[str, MqttSettings], Any]
    state: StateDirectory
    limits: TickerLimits
    threads: Callable[[str], ModuleCalls]
    read_only: bool = False
    note_connection: Callable[[str, str, str | None], object] = lambda _name, _address, _why: None
    random: Callable[[], float] = random
    output_topic: str = ""
    devices: Callable[[str], DeviceBook] = lambda _name: DeviceBook()


class Context:
    """The real ``ModuleContext``, see `interfaces`.

    Args:
        name: of the module, ``tasmota`` or ``tasmota:garage``.
        log: stamps it on every line.
        resources: what all contexts share.
        counters: of the module, over restarts.
        on_fail: called once, in a later turn, when the module says that its life is over.
        collected_elsewhere: see `interfaces.ModuleContext`.
    """

    def __init__(
        self,
        name: str,
        log: Logger,
        resources: Resources,
        counters: Counters,
        on_fail: Callable[[BaseException], None],
        *,
        collected_elsewhere: Callable[[MqttSettings], Sequence[Collected]] = lambda _broker: (),
    ) -> None:
        self.name = name
        self.log = log
        self.reactor = resources.reactor
        self.read_only = resources.read_only
        self.random = resources.random
        self._resources = resources
        self._counters = counters
        self._on_fail = on_fail
        self._collected_elsewhere = collected_elsewhere
        self._guard = Guard(log, counters.error, counters.note_error)
        self._devices = resources.devices(name)
        self._emitter = Emitter(
            resources.reactor,
            encode=resources.encode,
            write=resources.write,
            guard=self._guard,
            counters=counters,
            log=log,
            note=self._devices.note,
            now_ns=resources.now_ns,
        )
        self._messages = MessageHandlers(
            encode=resources.encode,
            refused=self._emitter.refused,
            guard=self._guard,
            counters=counters,
            devices=self._devices,
            log=log,
        )
        self._left_out = LeftOut(log, counters.drop)
        self._owned = Ownership(self._guard)
        self._fail_call: IDelayedCall | None = None
        self._closed = False

    @property
    def guard(self) -> Guard:
        """The guard of this instance, for its supervisor."""
        return self._guard

    # What a module uses.

    def now_ns(self) -> int:
        """See `ModuleContext`."""
        return self._resources.now_ns()

    def emit(self, metrics: Iterable[Metric]) -> None:
        """See `ModuleContext`."""
        if self._closed:
            self._drop_late(metrics)
        else:
            self._emitter.emit(metrics)

    def drop(self, reason: str, count: int = 1) -> None:
        """See `ModuleContext`."""
        self._counters.drop(reason, count)

    def left_out(self, device: str, reason: str, where: str, *, harmless: bool = False) -> None:
        """See `ModuleContext`."""
        self._left_out.note(device, reason, where, harmless=harmless)

    def expect(self, device: str, shortest_s: float, longest_s: float) -> None:
        """See `ModuleContext`."""
        self._devices.expect(device, shortest_s, longest_s)

    def subscribe(
        self,
        broker: MqttSettings,
        topic_filter: str,
        handler: Handler,
        *,
        qos: int = 1,
        place: str = "message",
        learned: bool = False,
        announcements: bool = False,
    ) -> Cancellable:
        """See `ModuleContext`."""
        if self._closed or not self._may_read(topic_filter, learned=learned):
            return Nothing()
        connection = self._resources.connection(self.name, broker)
        deliver = self._messages.deliverer(handler, place)
        subscription = connection.subscribe(
            topic_filter,
            0 if announcements else qos,
            deliver,
            learned=learned,
            announcements=announcements,
        )
        return self._owned.own("subscription", subscription.cancel)

    def _may_read(self, topic_filter: str, *, learned: bool) -> bool:
        """Refuse a filter with the lines of our own output, see `plan`."""
        topic = self._resources.output_topic
        if not topic or valid_filter(topic_filter) or not covers(inner_filter(topic_filter), topic):
            return True
        where = f"the topic {topic!r} of the output, which {topic_filter!r:.200} has"
        if not learned:
            raise ValueError(f"got {where}, expected another filter or output")
        self.left_out(topic_filter[:200], "output_topic", where)
        return False

    def publish(self, broker: MqttSettings, topic: str, payload: bytes, *, qos: int = 0) -> bool:
        """See `ModuleContext`."""
        if self._closed:
            return False
        return bool(self._resources.connection(self.name, broker).publish(topic, payload, qos))

    def collected_elsewhere(self, broker: MqttSettings) -> Sequence[Collected]:
        """See `ModuleContext`."""
        return tuple(
            evolve(each, takes=partial(self._takes, each.takes))
            for each in self._collected_elsewhere(broker)
        )

    def is_connected(self, broker: MqttSettings) -> bool:
        """See `ModuleContext`."""
        if self._closed:
            return False
        return bool(self._resources.connection(self.name, broker).connected)

    def websocket(
        self,
        settings: WebSocketSettings,
        received: Callable[[bytes], object],
        *,
        changed: Callable[[bool], object] = bool,
        oversized: Callable[[], object] = bool,
        hints: Mapping[str, str] = MappingProxyType({}),
        place: str = "frame",
    ) -> Closable:
        """See `ModuleContext`."""
        if self._closed:
            return Nothing()
        # wsproto is loaded only where a module needs it.
        from metrics_agent.transports.websocket.connection import WebSocketConnection

        take = self.guarded(received, place=place)

        def count_and_take(message: bytes) -> None:
            self._counters.messages += 1
            take(message)

        connection = WebSocketConnection(
            self.reactor,
            settings,
            log=self.log,
            received=count_and_take,
            random=self.random,
            now_ns=self.now_ns,
            changed=self.guarded(changed, place="connection"),
            oversized=self.guarded(oversized, place=place),
            noted=self.note_connection,
            hints=hints,
        )
        owned = self._owned.own("connection", connection.stopService)
        connection.startService()
        return owned

    def http(self, *, timeout_s: float, body_limit: int, tls: TlsSettings | None = None) -> Http:
        """See `ModuleContext`."""
        from metrics_agent.transports.http import HttpClient

        return HttpClient(
            self.reactor,
            timeout_s=timeout_s,
            body_limit=body_limit,
            tls=tls,
            may_ask=lambda: not self._closed,
        )

    def guarded(
        self, call: Callable[..., object], *, place: str = "callback"
    ) -> Callable[..., None]:
        """See `ModuleContext`."""

        def contained(*args: object) -> None:
            if not self._closed:
                self._guard.run(place, call, *args)

        return contained

    def every(
        self, interval_s: float, collect: Collect, *, now: bool = True, place: str = "tick"
    ) -> Cancellable:
        """See `ModuleContext`."""
        ticker = Ticker(
            self.reactor,
            interval_s,
            collect,
            emit=self.emit,
            guard=self._guard,
            place=place,
            limits=self._resources.limits,
            on_hopeless=self._hopeless,
        )
        if self._closed:
            return Nothing()
        ticker.start(now=now)
        return self._owned.own("timer", ticker.cancel)

    def later(
        self, delay_s: float, call: Callable[..., object], *args: object, place: str = "timer"
    ) -> IDelayedCall:
        """See `ModuleContext`."""
        if not delay_s >= 0:
            # NaN above all: it has no place in the order of the reactor's timers.
            raise ValueError(f"got a delay of {delay_s!r} s, expected 0 or more")
        delayed: IDelayedCall = self.reactor.callLater(delay_s, self._guard.run, place, call, *args)
        if self._closed:
            delayed.cancel()
            return delayed
        self._owned.own_call(delayed)
        return delayed

    def watch(self, work: Awaitable[Any], *, place: str = "deferred") -> Deferred[Any]:
        """See `ModuleContext`."""
        deferred = as_deferred(work)
        self._owned.own_work(deferred)

        def over(result: T) -> T:
            self._owned.over(deferred)
            return result

        def hand_on(result: T | Caught) -> T | Deferred[T] | None:
            if self._closed:
                return Deferred()
            return None if isinstance(result, Caught) else result

        self._guard.watch(place, deferred.addBoth(over))
        deferred.addBoth(hand_on)
        if self._closed:
            self._owned.cancel_work()
        return deferred

    def in_thread(
        self, call: Callable[..., Any], *args: object, place: str = "thread"
    ) -> Deferred[Any]:
        """See `ModuleContext`."""
        if self._closed:
            return Deferred()  # as for watch
        calls = self._resources.threads(self.name)
        return self.watch(calls.run(call, *args), place=place)

    def fail(self, reason: BaseException) -> None:
        """See `ModuleContext`."""
        if self._fail_call is None and not self._closed:
            error = reason.value if isinstance(reason, Failure) else reason
            if not isinstance(error, BaseException):
                error = TypeError(f"got {reason!r} as a reason, expected an exception")
            self._guard.caught("life", error)
            self._request_restart(error)

    def state_path(self, name: str) -> Path:
        """See `ModuleContext`."""
        return self._resources.state.path(self.name, _checked(name))

    def state_file(self, name: str) -> StateFile:
        """See `ModuleContext`."""
        return self._resources.state.file(self.name, _checked(name))

    def note_connection(self, address: str, problem: str | None) -> None:
        """See `ModuleContext`."""
        if not self._closed:
            self._resources.note_connection(self.name, address, problem)

    # What the supervisor uses.

    def close(self) -> str:
        """Cancel all that the module left behind.

        Returns:
            What there was, for the log: ``2 subscriptions, 1 timer``; empty if nothing.
        """
        if self._closed:
            return ""
        self._emitter.flush()
        self._closed = True
        return self._owned.end(self._fail_call)

    # Inside.

    def _takes(self, takes: Callable[[str], bool], topic: str) -> bool:
        """Ask another module, which may be of another package, whether a topic is its own."""
        return self._guard.run("collected_elsewhere", takes, topic) is True

    def _drop_late(self, metrics: Iterable[Metric]) -> None:
        count = self._guard.run("emit", length_hint, metrics, 1)
        self._counters.drop("after_stop", count or 1)

    def _hopeless(self, reason: BaseException) -> None:
        self.log.error(
            "{count} consecutive ticks failed; restarting the module.",
            count=self._resources.limits.failed_in_row,
            fold=False,
        )
        self._request_restart(reason)

    def _request_restart(self, reason: BaseException) -> None:
        if self._fail_call is None and not self._closed:
            # In a later turn: we may be inside the module's own start or one of its callbacks.
            self._fail_call = self.reactor.callLater(0, self._on_fail, reason)


def _checked(name: str) -> str:
    if name in {"", ".."} or Path(name).name != name:
        raise ValueError(f"got {name!r}, expected the name of a file without a directory")
    return name
