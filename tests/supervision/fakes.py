"""A builder with clock, log, counters and guard; no delayed call may be left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.batch import Batch
from metrics_agent.line_protocol import Encoder
from metrics_agent.logs.events import read_event
from metrics_agent.logs.levels import Level, Levels
from metrics_agent.logs.logger import make_logger
from metrics_agent.process.threads import ModuleThreads
from metrics_agent.state.directory import Pace, StateDirectory
from metrics_agent.supervision.context import Context, Resources
from metrics_agent.supervision.counters import Counters
from metrics_agent.supervision.guard import Guard
from metrics_agent.supervision.ticker import TickerLimits
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.mqtt.topics import Deliver

FAULTS: tuple[type[BaseException], ...] = (
    ValueError,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    RecursionError,
    MemoryError,
)
"""What a module may raise at any place."""


def raiser(error: BaseException | type[BaseException]) -> Callable[..., Any]:
    """Make what raises this, whatever it is called with."""

    def fail(*_args: object) -> Any:
        raise error

    return fail


def in_turn(*calls: Callable[[], Any]) -> Callable[[], Any]:
    """Make what does the first at its first call, and so on."""
    remaining = iter(calls)

    def call() -> Any:
        return next(remaining)()

    return call


def recurse() -> None:
    """Fail as code that calls itself without end does."""
    recurse()


class TurnClock(Clock):
    """A clock that distinguishes one turn of a reactor from the next."""

    def turn(self) -> None:
        """Run what is due now; what is set for now meanwhile is for the next turn."""
        for call in [call for call in self.calls if call.getTime() <= self.seconds()]:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)


class FakeThreads:
    """A thread pool whose work is done when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.sizes: list[tuple[int, int]] = []
        self.released = 0

    def adjustPoolsize(self, least: int, most: int) -> None:
        self.sizes.append((least, most))

    def release(self) -> None:
        self.released += 1

    def callInThreadWithCallback(
        self, onResult: Callable[[bool, Any], None], call: Callable[..., Any], *args: Any
    ) -> None:
        def work() -> None:
            try:
                result = call(*args)
            except BaseException:
                onResult(False, Failure())
            else:
                onResult(True, result)

        self.waiting.append(work)

    def work(self) -> None:
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each()


class FakeReactor(TurnClock):
    """What a context needs of a reactor."""

    def __init__(self) -> None:
        super().__init__()
        self.threads = FakeThreads()

    def getThreadPool(self) -> FakeThreads:
        return self.threads

    def callFromThread(self, call: Callable[..., object], *args: object) -> None:
        self.callLater(0, call, *args)


class FakeSubscription:
    """What a `FakeConnection` gives out."""

    def __init__(
        self,
        topic_filter: str,
        qos: int,
        deliver: Deliver,
        *,
        learned: bool,
        announcements: bool,
    ) -> None:
        self.topic_filter = topic_filter
        self.learned = learned
        self.announcements = announcements
        self.qos = qos
        self.deliver = deliver
        self.cancelled = 0
        self.on_cancel: Callable[[], object] = lambda: None

    def cancel(self) -> None:
        self.cancelled += 1
        self.on_cancel()


class FakeConnection:
    """The connection to a broker, as a context sees it."""

    def __init__(self) -> None:
        self.subscriptions: list[FakeSubscription] = []
        self.published: list[tuple[str, bytes, int]] = []
        self.connected = True

    def subscribe(
        self,
        topic_filter: str,
        qos: int,
        deliver: Deliver,
        *,
        learned: bool = False,
        announcements: bool = False,
    ) -> FakeSubscription:
        if "#/" in topic_filter:
            raise ValueError(f"got {topic_filter!r}")
        self.subscriptions.append(
            FakeSubscription(
                topic_filter, qos, deliver, learned=learned, announcements=announcements
            )
        )
        return self.subscriptions[-1]

    def publish(self, topic: str, payload: bytes, qos: int) -> bool:
        if self.connected:
            self.published.append((topic, payload, qos))
        return self.connected


class SupervisionCase(SynchronousTestCase):
    """Has a clock, and what logs and counts the faults of one module."""

    def setUp(self) -> None:
        self.clock = FakeReactor()
        self.events: list[dict[str, Any]] = []
        self.log = make_logger("demo", self.events.append)  # type: ignore[arg-type]  # takes an event
        self.counters = Counters()
        self.guard = Guard(self.log, self.counters.error, self.counters.note_error)
        self.addCleanup(self.check_no_calls)

    def check_no_calls(self) -> None:
        left = [str(call) for call in self.clock.getDelayedCalls()]
        self.assertEqual(left, [], "delayed calls are left behind")

    def logged(self, level: str = "error") -> list[str]:
        """Return the lines of a level, as a user reads them."""
        entries = [read_event(event, Levels("debug")) for event in self.events]
        wanted = Level[level.upper()]
        return [entry.text for entry in entries if entry is not None and entry.level is wanted]

    def forget(self) -> None:
        """Begin again with an empty log."""
        self.events.clear()


BROKER = MqttSettings(broker="tcp://broker.test")


class ContextCase(SupervisionCase):
    """Makes contexts whose connection, sink and thread pool are fakes."""

    def setUp(self) -> None:
        super().setUp()
        self.connection = FakeConnection()
        self.batches: list[Batch] = []
        self.failures: list[BaseException] = []
        self.state_dir = Path(self.mktemp())
        self.resources = Resources(
            reactor=self.clock,
            now_ns=lambda: 1_700_000_000_000_000_000,
            encode=Encoder().encode,
            write=self.batches.append,
            connection=lambda name, broker: {("demo", BROKER): self.connection}[name, broker],
            state=StateDirectory(self.state_dir, self.log, Pace(self.clock, maybeDeferred)),
            limits=TickerLimits(failed_in_row=3, timeout_s=25.0),
            threads=ModuleThreads(
                self.clock, lambda _name: self.log, lambda *_what: self.clock.threads
            ).of,
        )

    def make_context(self, on_fail: Callable[[BaseException], None] | None = None) -> Context:
        on_fail = self.failures.append if on_fail is None else on_fail
        context = Context("demo", self.log, self.resources, self.counters, on_fail)
        # Runs before check_no_calls.
        self.addCleanup(context.close)
        return context

    def lines(self) -> list[str]:
        """Return what was written."""
        return b"".join(batch.data for batch in self.batches).decode().splitlines()
