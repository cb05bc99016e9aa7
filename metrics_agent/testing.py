"""Fakes for people who write modules: the agent's side of a module, without an agent.

::

    context = FakeContext()
    module = MyModule(settings, context)
    module.startService()
    context.deliver("tele/plug/SENSOR", b'{"ENERGY":{"Power":1}}')
    context.advance(10)
    assert context.lines() == ["electricity,... power=1.0 1700000000000000000"]
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, formatEvent

from metrics_agent.deferreds import as_deferred
from metrics_agent.http_interface import Http
from metrics_agent.interfaces import Collect, Collected, Handler, Message
from metrics_agent.line_protocol import Encoder
from metrics_agent.logs.once import LeftOut
from metrics_agent.metric import Metric
from metrics_agent.state.directory import Pace, StateFaults, StateFile
from metrics_agent.topic_filters import inner_filter
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.settings import TlsSettings
from metrics_agent.transports.websocket.settings import WebSocketSettings

__all__ = [
    "START_NS",
    "FakeContext",
    "FakeSubscription",
    "FakeWebSocket",
    "Published",
    "topic_matches",
]

START_NS: Final = 1_700_000_000_000_000_000
"""The wall clock of a new context: 2023-11-14 22:13:20 UTC."""

_NS_PER_S: Final = 1_000_000_000


@frozen
class Published:
    """A message that the module sent."""

    topic: str
    payload: bytes
    qos: int
    broker: MqttSettings


@define(eq=False)
class FakeSubscription:
    """A subscription of the module; ``active`` until it is cancelled."""

    broker: MqttSettings
    topic_filter: str
    handler: Handler
    qos: int
    place: str
    learned: bool = False
    announcements: bool = False
    active: bool = True

    def cancel(self) -> None:
        """End it."""
        self.active = False


@define(eq=False)
class FakeWebSocket:
    """A WebSocket of the module; ``active`` until it is cancelled. A test calls what it takes.

    Attributes:
        received, changed, oversized: as `ModuleContext.websocket` has them.
    """

    settings: WebSocketSettings
    received: Callable[[bytes], object]
    changed: Callable[[bool], object]
    oversized: Callable[[], object]
    hints: Mapping[str, str]
    place: str
    active: bool = True

    def cancel(self) -> Deferred[None]:
        """End it."""
        self.active = False
        return succeed(None)


@define(eq=False)
class _Timer:
    """What ``every`` returns."""

    call: IDelayedCall | None = None
    active: bool = True

    def cancel(self) -> None:
        """End it."""
        self.active = False
        if self.call is not None and self.call.active():
            self.call.cancel()


def topic_matches(topic_filter: str, topic: str) -> bool:
    """Say whether a topic belongs to a filter; ``$share/<group>/`` before it is left out."""
    wanted = inner_filter(topic_filter).split("/")
    given = topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index == len(given) or level not in {"+", given[index]}:
            return False
    return len(wanted) == len(given)


class _StateFile(StateFile):
    """Is written at once, so that a test can look at it."""

    def write_encoded(self, data: bytes, *, at_once: bool = True) -> None:
        del at_once
        super().write_encoded(data, at_once=True)


@define(eq=False)
class FakeContext:
    """A ``ModuleContext`` that records; what a callback raises comes out where it was called.

    Args:
        name: of the module, ``tasmota`` or ``tasmota:garage``.
        state_dir: for state files; by default a new directory that goes away with the context.
        connected: what ``publish`` and ``is_connected`` find; False for a broker that is away.
        read_only: the module runs in a diagnostic command.
        http_client: what ``http`` returns.
        random: the same number each time, unless another one is handed in.
        elsewhere: what ``collected_elsewhere`` returns.

    Attributes:
        reactor: a Clock; ``advance`` moves it and the wall clock.
        metrics: all that was emitted or returned, in order.
        subscriptions: all that were made, the cancelled ones too.
        websockets: likewise.
        published: what the module sent.
        dropped: counts by reason.
        failures: what ``fail`` was called with.
        connections: what ``note_connection`` said last, by address.
        events: what was logged, as twisted.logger has it.
        expected: what `expect` was called with last, by device.
    """

    name: str = "test"
    state_dir: Path | None = None
    connected: bool = True
    read_only: bool = False
    http_client: Http | None = None
    random: Callable[[], float] = lambda: 0.5
    elsewhere: tuple[Collected, ...] = ()
    reactor: Any = field(factory=Clock)
    metrics: list[Metric] = field(factory=list)
    subscriptions: list[FakeSubscription] = field(factory=list)
    websockets: list[FakeWebSocket] = field(factory=list)
    published: list[Published] = field(factory=list)
    dropped: dict[str, int] = field(factory=dict)
    failures: list[BaseException] = field(factory=list)
    connections: dict[str, str | None] = field(factory=dict)
    events: list[dict[str, Any]] = field(factory=list)
    expected: dict[str, tuple[float, float]] = field(factory=dict)
    log: Logger = field(init=False)
    _timers: list[_Timer] = field(factory=list, init=False)
    _work: list[Deferred[Any]] = field(factory=list, init=False)
    _scratch: Any = field(default=None, init=False)
    _faults: StateFaults | None = field(default=None, init=False)
    _left_out: LeftOut = field(init=False)
    _received_ns: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.log = Logger(namespace=self.name, observer=self.events.append)  # type: ignore[arg-type]  # takes an event
        self._left_out = LeftOut(self.log, self.drop)

    # What a module uses.

    def now_ns(self) -> int:
        """Return the fake wall clock."""
        elapsed_ns: int = round(self.reactor.seconds() * _NS_PER_S)
        return START_NS + elapsed_ns

    def emit(self, metrics: Iterable[Metric]) -> None:
        """Record metrics."""
        self.metrics.extend(metrics)

    def expect(self, device: str, shortest_s: float, longest_s: float) -> None:
        """Record it."""
        self.expected[device] = (shortest_s, longest_s)

    def drop(self, reason: str, count: int = 1) -> None:
        """Count what was left out."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def left_out(self, device: str, reason: str, where: str, *, harmless: bool = False) -> None:
        """Count what was left out, and log it once for each device and reason."""
        self._left_out.note(device, reason, where, harmless=harmless)

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
    ) -> FakeSubscription:
        """Record a subscription; ``deliver`` finds it."""
        subscription = FakeSubscription(
            broker,
            topic_filter,
            handler,
            0 if announcements else qos,
            place,
            learned,
            announcements,
        )
        self.subscriptions.append(subscription)
        return subscription

    def publish(self, broker: MqttSettings, topic: str, payload: bytes, *, qos: int = 0) -> bool:
        """Record a message, unless ``connected`` is False."""
        if self.connected:
            self.published.append(Published(topic, payload, qos, broker))
        return self.connected

    def collected_elsewhere(self, broker: MqttSettings) -> tuple[Collected, ...]:  # noqa: ARG002 - the interface has it
        """Return what the test says that other modules collect."""
        return self.elsewhere

    def is_connected(self, broker: MqttSettings) -> bool:  # noqa: ARG002 - the interface has it
        """Say whether the broker is there."""
        return self.connected

    def websocket(
        self,
        settings: WebSocketSettings,
        received: Callable[[bytes], object],
        *,
        changed: Callable[[bool], object] = bool,
        oversized: Callable[[], object] = bool,
        hints: Mapping[str, str] = MappingProxyType({}),
        place: str = "frame",
    ) -> FakeWebSocket:
        """Record a WebSocket; the test plays the server."""
        socket = FakeWebSocket(settings, received, changed, oversized, hints, place)
        self.websockets.append(socket)
        return socket

    def http(
        self,
        *,
        timeout_s: float,  # noqa: ARG002 - the interface has it
        body_limit: int,  # noqa: ARG002 - the interface has it
        tls: TlsSettings | None = None,  # noqa: ARG002 - the interface has it
    ) -> Http:
        """Return ``http_client``."""
        if self.http_client is None:
            raise LookupError("the module asks for HTTP: give the context an http_client")
        return self.http_client

    def guarded(
        self,
        call: Callable[..., object],
        *,
        place: str = "callback",  # noqa: ARG002 - the interface has it
    ) -> Callable[..., None]:
        """Return the call; what it raises comes out where it is called."""

        def uncontained(*args: object) -> None:
            call(*args)

        return uncontained

    def every(
        self,
        interval_s: float,
        collect: Collect,
        *,
        now: bool = True,
        place: str = "tick",
    ) -> _Timer:
        """Call collect at each interval of the Clock; a tick waits for the one before.

        The ticks go on when one fails: what it raised comes out of ``advance``, a failure stays in
        the Deferred that ``watch`` has.
        """
        timer = _Timer()
        self._timers.append(timer)

        def again(result: Any) -> Any:
            if timer.active:
                timer.call = self.reactor.callLater(interval_s, tick)
            return result

        def tick() -> None:
            try:
                result = collect()
                if isinstance(result, Awaitable):
                    self.watch(result, place=place).addCallback(emit).addBoth(again)
                    return
                self.emit(result or ())
            except BaseException:
                again(None)
                raise
            again(None)

        def emit(metrics: Iterable[Metric] | None) -> None:
            self.emit(metrics or ())

        if now:
            tick()
        else:
            again(None)
        return timer

    def later(
        self,
        delay_s: float,
        call: Callable[..., object],
        *args: object,
        place: str = "timer",  # noqa: ARG002 - the interface has it
    ) -> IDelayedCall:
        """Call once, when the Clock has come so far."""
        delayed: IDelayedCall = self.reactor.callLater(delay_s, call, *args)
        self._timers.append(_Timer(delayed))
        return delayed

    def watch(
        self,
        work: Awaitable[Any],
        *,
        place: str = "deferred",  # noqa: ARG002 - the interface has it
    ) -> Deferred[Any]:
        """Own a Deferred or coroutine."""
        deferred = as_deferred(work)
        self._work.append(deferred)
        return deferred

    def in_thread(
        self, call: Callable[..., Any], *args: object, place: str = "thread"
    ) -> Deferred[Any]:
        """Call at once, in this thread."""
        return self.watch(maybeDeferred(call, *args), place=place)

    def fail(self, reason: BaseException) -> None:
        """Record that the module's life is over."""
        self.failures.append(reason)

    def state_path(self, name: str) -> Path:
        """Return the path of a state file."""
        if self.state_dir is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="metrics-agent-")
            self.state_dir = Path(self._scratch.name)
        return self.state_dir / name

    def note_connection(self, address: str, problem: str | None) -> None:
        """Record how a connection is."""
        self.connections[address] = problem

    def state_file(self, name: str) -> StateFile:
        """Return a small JSON value in the state directory."""
        path = self.state_path(name)
        if self._faults is None:
            self._faults = StateFaults(path.parent, self.log)
        # A clock of its own: what the agent does later is not a timer of the module's.
        return _StateFile(path, self._faults, Pace(Clock(), maybeDeferred))

    # What a test uses.

    def deliver(
        self, topic: str, payload: bytes = b"", *, qos: int = 0, retain: bool = False
    ) -> list[Metric]:
        """Give a message to every subscription it belongs to.

        Returns:
            What the handlers returned; it is recorded too.

        Raises:
            LookupError: no subscription wants it.
        """
        handlers = [
            each.handler
            for each in self.subscriptions
            if each.active and topic_matches(each.topic_filter, topic)
        ]
        if not handlers:
            raise LookupError(f"no subscription to {topic!r}")
        # As from a connection: no two messages have the same time.
        self._received_ns = max(self._received_ns + 1, self.now_ns())
        message = Message(topic, payload, qos, retain, self._received_ns)
        metrics = [metric for handler in handlers for metric in handler(message)]
        self.emit(metrics)
        return metrics

    def advance(self, seconds: float) -> None:
        """Let time pass for timers and for the wall clock."""
        self.reactor.advance(seconds)

    def filters(self) -> list[str]:
        """Return the filters that are subscribed to, sorted."""
        return sorted(each.topic_filter for each in self.subscriptions if each.active)

    def lines(self) -> list[str]:
        """Return all metrics as line protocol, without line ends, in order."""
        encoder = Encoder()
        return [encoder.encode(metric).decode().rstrip("\n") for metric in self.metrics]

    def logged(self, level: str = "warn") -> list[str]:
        """Return the texts that were logged at a level: debug, info, warn, error, critical."""
        wanted = LogLevel.lookupByName(level)
        return [formatEvent(event) for event in self.events if event["log_level"] is wanted]

    def stop(self) -> None:
        """Cancel what the module left, as the agent does after ``stopService``."""
        for subscription in self.subscriptions:
            subscription.cancel()
        for socket in self.websockets:
            socket.cancel()
        for timer in self._timers:
            timer.cancel()
        for deferred in self._work:
            deferred.addErrback(lambda _failure: None)
            deferred.cancel()
        if self._scratch is not None:
            self._scratch.cleanup()
