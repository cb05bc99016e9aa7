"""The seams: what a module is, and the one door through which it sees the agent.

All names that a module's package needs are here, also those of `http_interface` and `module_kind`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from metrics_agent.http_interface import Http, HttpReply
from metrics_agent.metric import Metric
from metrics_agent.module_kind import Collected, ModuleKind

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from metrics_agent.state.directory import StateFile
    from metrics_agent.transports.mqtt.settings import MqttSettings
    from metrics_agent.transports.settings import TlsSettings
    from metrics_agent.transports.websocket.settings import WebSocketSettings

__all__ = [
    "Cancellable",
    "Closable",
    "Collected",
    "Handler",
    "Http",
    "HttpReply",
    "IModule",
    "Message",
    "ModuleContext",
    "ModuleKind",
]

T = TypeVar("T")


class Message(NamedTuple):
    """One PUBLISH packet of a broker, as a module's handler sees it.

    Attributes:
        topic: valid UTF-8, no wildcard.
        payload: the raw bytes, at most the payload limit.
        qos: 0 or 1, as delivered.
        retain: True for a stored message sent because we subscribed: it may be old.
        received_ns: wall clock at receipt in nanoseconds since the epoch; two messages of a
            connection never have the same.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    received_ns: int


Handler = Callable[[Message], Iterable[Metric]]
"""Takes a message, gives the metrics in it; may raise, the message is then dropped and counted."""

Collect = Callable[[], Iterable[Metric] | Awaitable[Iterable[Metric] | None] | None]
"""One tick: gives metrics, or something that can be awaited for them, or None."""


class IModule(IService):
    """A collector: a new instance for every start, never started twice.

    ``startService`` subscribes and sets timers by its context and returns None, a Deferred or a
    coroutine; raising or failing means that the start failed. MQTT messages come once the start is
    over, so a start must not wait for one. ``stopService`` may return a Deferred; what the context
    owns (timers, subscriptions, Deferreds) is cancelled for it.
    """


class Cancellable(Protocol):
    """A subscription or a timer; the context cancels what is left at stop."""

    def cancel(self) -> None:
        """End it; harmless when it has ended."""
        ...


class Closable(Protocol):
    """A connection of the module's own; the context closes what is left at stop."""

    def cancel(self) -> Deferred[None]:
        """Close it in order.

        Returns:
            A Deferred that fires when it is closed; harmless when it has been.
        """
        ...


class ModuleContext(Protocol):
    """All that a module sees of the agent. Each callback handed in runs inside the guard.

    Attributes:
        name: of the module, ``tasmota`` or ``tasmota:garage``.
        log: stamps the module on every line.
        reactor: clock, TCP and threads (IReactorTime, IReactorTCP, IReactorThreads ...).
        read_only: in a diagnostic command, see `diagnosis`: use up nothing that the agent needs,
            such as a refresh token, and ask for no login.
        random: floats from 0 to below 1, for delays that differ.
    """

    name: str
    log: Logger
    reactor: Any
    read_only: bool
    random: Callable[[], float]

    def now_ns(self) -> int:
        """Return the wall clock, nanoseconds since the epoch; never raises.

        While the clock of the machine is not set, nanoseconds since the machine's start: such a
        time in a metric becomes the right one in the output, see `point_clock`.
        """
        ...

    def emit(self, metrics: Iterable[Metric]) -> None:
        """Queue metrics for the output; a metric that is refused is counted, the rest goes on."""
        ...

    def drop(self, reason: str, count: int = 1) -> None:
        """Count what was left out, by a snake_case reason (self-metric ``dropped_<reason>``)."""
        ...

    def left_out(self, device: str, reason: str, where: str, *, harmless: bool = False) -> None:
        """Count like ``drop``, and log it once for each device and reason.

        Args:
            device: whose it was, as the log shall name it.
            reason: see ``drop``.
            where: its place in the message, the first that is logged.
            harmless: logged as information, not as a warning.
        """
        ...

    def expect(self, device: str, shortest_s: float, longest_s: float) -> None:
        """Note what a device has announced of its silence; that counts before what is learned.

        Args:
            device: the tag ``device`` of its points.
            shortest_s: it is not overdue before.
            longest_s: it is overdue then, also where it keeps no interval; 0 for neither.
        """
        ...

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
        """Get messages of a filter on this module's connection to that broker.

        Messages come once the module's start went through, and until it is stopped: what the
        broker delivers before or after waits there, at QoS 1 for the next instance. A message is
        acknowledged when the reader of the output has what the handler made of it, or at once
        where that is nothing.

        Args:
            broker: where.
            topic_filter: an MQTT filter.
            handler: gets the messages; each once, also where several of its filters match.
            qos: 0 or 1.
            place: what to call it in the log and the counters.
            learned: the filter comes from a device, not from the configuration. Should the broker
                end the connection for it, it is set aside; others never are.
            announcements: the retained messages of the filter say what other messages mean. When
                it is subscribed to, other messages wait until those that the broker has are
                handled, for some seconds at most. The QoS is 0 then, at which brokers send them
                without waiting for acknowledgements.

        Raises:
            KeyError: the module's settings do not name this broker.
            ValueError: the filter is invalid.
        """
        ...

    def publish(self, broker: MqttSettings, topic: str, payload: bytes, *, qos: int = 0) -> bool:
        """Send a message if the broker is connected; False when it is not."""
        ...

    def collected_elsewhere(self, broker: MqttSettings) -> Sequence[Collected]:
        """Return what other enabled modules collect at the same address of a broker."""
        ...

    def is_connected(self, broker: MqttSettings) -> bool:
        """Say whether the broker has accepted this module's connection to it."""
        ...

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
        """Keep a WebSocket open until it is cancelled; it is made again after each loss.

        Args:
            settings: where, and how.
            received: takes each whole message.
            changed: called with True when it is open, with False when it is lost or cannot be had
                at first; not at a stop.
            oversized: called for each message that was too large.
            hints: what else to log about a cause, by its kind (``http_404``, ``short_lives``).
            place: what to call it in the log and the counters.
        """
        ...

    def http(self, *, timeout_s: float, body_limit: int, tls: TlsSettings | None = None) -> Http:
        """Return a client for HTTP on which everything is bounded; await it in ``watch``.

        Once the module is stopped no request begins. One that is under way is finished within its
        time limit, unless it is cancelled: the server may have acted on it already.

        Args:
            timeout_s: for one exchange as a whole.
            body_limit: bytes of a body.
            tls: the settings of TLS; None for the defaults.
        """
        ...

    def guarded(
        self, call: Callable[..., object], *, place: str = "callback"
    ) -> Callable[..., None]:
        """Return the call, contained: for what calls back by itself, such as a library.

        What it raises is logged and counted; after the stop it does nothing.
        """
        ...

    def every(
        self, interval_s: float, collect: Collect, *, now: bool = True, place: str = "tick"
    ) -> Cancellable:
        """Call collect every interval; ticks in a row that fail restart the module."""
        ...

    def later(
        self, delay_s: float, call: Callable[..., object], *args: object, place: str = "timer"
    ) -> IDelayedCall:
        """Call once after a delay, unless the module stops before.

        Raises:
            ValueError: the delay is negative, or not a number.
        """
        ...

    def watch(self, work: Awaitable[Any], *, place: str = "deferred") -> Deferred[Any]:
        """Own a Deferred or coroutine: errors are contained, it is cancelled at stop.

        What waits for its result when the module stops waits in vain: it must not go on, since it
        might never end.
        """
        ...

    def in_thread(
        self, call: Callable[..., Any], *args: object, place: str = "thread"
    ) -> Deferred[Any]:
        """Run a blocking call in a thread, four of a module at a time; owned like ``watch``.

        Others wait, 1,000 of a module at most: one more fails at once. A call that is cancelled, at
        a stop too, before it has begun never runs; one that has begun runs to its end.
        """
        ...

    def fail(self, reason: BaseException) -> None:
        """Say that this module's life is over; its supervisor restarts it after a backoff."""
        ...

    def state_path(self, name: str) -> Path:
        """Return the path of a state file of this module; its directory exists if it can be made.

        For a file that `state_file` does not suit; writing it may raise OSError. The directory has
        mode 0700.

        Raises:
            ValueError: the name is not that of a file.
        """
        ...

    def state_file(self, name: str) -> StateFile:
        """Return a small JSON value of this module that outlives the process.

        Its ``read`` and ``write`` never raise; a fault is logged and costs only the value. It is
        written soon, then at most every few minutes, and at the stop.

        Raises:
            ValueError: the name is not that of a file.
        """
        ...

    def note_connection(self, address: str, problem: str | None) -> None:
        """Record how a connection of the module's own is; brokers are recorded by the agent.

        Args:
            address: whom it is to, without secrets.
            problem: a clause that says what is wrong; empty: it works; None: not known yet.
        """
        ...
