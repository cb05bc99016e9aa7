"""One simulated agent process: the real assembly on the simulated platform."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Mapping
from traceback import format_exception
from typing import Any, Final

from metrics_agent.agent import Agent
from metrics_agent.assembly import assemble
from metrics_agent.config import load
from metrics_agent.logs.logger import ModuleLogger, make_logger
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.module_kind import ModuleKind
from metrics_agent.modules.hadiscovery import MODULE as HADISCOVERY
from metrics_agent.modules.opendtu import MODULE as OPENDTU
from metrics_agent.modules.tasmota import MODULE as TASMOTA
from metrics_agent.output.sink import QUEUE_FULL, REJECTED
from metrics_agent.plan import Plan, build
from metrics_agent.platform import Platform
from metrics_agent.process.exit import ExitCode
from metrics_agent.process.threads import MODULE_THREADS
from metrics_agent.process.usage import Usage
from tests.simulation.awaiting import Awaiting
from tests.simulation.broker import ModelBroker
from tests.simulation.clock import SimClock
from tests.simulation.configuration import MODULE_START_S, ConfigFile
from tests.simulation.disk import SimDisk
from tests.simulation.invariants import Bounds, LogPairs
from tests.simulation.kernel import SimKernel
from tests.simulation.links import Links
from tests.simulation.reactor import ProcessReactor
from tests.simulation.reader import Reader
from tests.simulation.reading import Reading
from tests.simulation.remembering import Remembering
from tests.simulation.signals import SimSignals
from tests.simulation.supervising import Supervising
from tests.simulation.threads import SimThreads
from tests.simulation.writing import Writing
from tests.status.fakes import FakeListening

__all__ = ["AgentProcess", "make_observer"]

_DELIVERIES_SHARE: Final = 0.5
"""A stop waits at least this share of drain_timeout for what brokers have sent, unless all comes
sooner."""
_ENDS_WITHIN_S: Final = 2.0 + 0.2
"""So long after the `drain_timeout` a stop has ended, at the latest; `_Exit` looks ten times a
second after a standstill."""
_STARTED: Final = frozenset({"Started.", "Started again, restart {count}."})
_HANDLING_S: Final = 0.1
"""Messages read just before that may still wait for their turn."""


class _Exit:
    """The exit status of the process; its hard limit kills it."""

    def __init__(
        self,
        clock: SimClock,
        reactor: ProcessReactor,
        began: Callable[[], None],
        hung: Callable[[], None],
    ) -> None:
        self.code = ExitCode.STOPPED
        self._clock = clock
        self._reactor = reactor
        self._began = began
        self._hung = hung
        self._limit: Any = None
        self._end_s = 0.0

    def set(self, code: ExitCode) -> None:
        if self.code is ExitCode.STOPPED:
            self.code = code

    def leave_out_standstill(self, reactor: ProcessReactor) -> None:
        reactor.leaves_out_standstill = True

    def end_within(self, seconds: float, _why: str = "") -> None:
        if self._limit is None:
            self._began()
        self.cancel_deadline()
        self._end_s = self._reactor.seconds() + seconds
        self._limit = self._clock.later(seconds, self._end)

    def cancel_deadline(self) -> None:
        if self._limit is not None:
            self._limit.cancel()

    def start_no_threads(self) -> None:
        pass

    def _end(self) -> None:
        left_s = self._end_s - self._reactor.seconds()
        if self._reactor.is_frozen or left_s > 0:
            # Time in which the process cannot run does not count.
            self._limit = self._clock.later(max(left_s, 0.1), self._end)
        elif self._reactor.alive:
            self._hung()
            self._reactor.kill()


class _Process:
    def __init__(self, exit_status: _Exit, signals: SimSignals, stdout: Callable[[], int]) -> None:
        self.exit_status = exit_status
        self.signals = signals
        self.stdout = stdout
        self.stdout_problem = ""

    def freeze_heap(self) -> None:
        """Leave the heap to the other processes."""


class _Log:
    """Takes the lines of the log."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line

    def write(self, data: bytes) -> int:
        for line in data.decode().splitlines():
            self._line(line)
        return len(data)

    def wait(self, _timeout_s: float) -> bool:
        return True


class AgentProcess:
    """A process from its start to its end.

    Args:
        clock: of the simulation.
        listeners: by port.
        reader: of the output.
        kind: the module.
        config: the file.
        observer: of the log.
        disk: for the state.
        brokers: by port.
        signals: that come from now on.
        violation: called with what must not happen.
        on_log: called with each event of the log.

    Attributes:
        has_started: the first start is over.
        on_stop: called when a stop begins.
        last_plan: what runs when it begins.

    Raises:
        ConfigError: it cannot start with that file.
    """

    def __init__(
        self,
        clock: SimClock,
        listeners: Any,
        reader: Reader,
        kind: ModuleKind,
        config: ConfigFile,
        observer: StderrObserver,
        disk: SimDisk,
        brokers: Mapping[int, ModelBroker],
        *,
        signals: SimSignals,
        violation: Callable[[str], None],
        on_log: Callable[[Any], object],
    ) -> None:
        self._clock = clock
        self._observer = observer
        self._on_log = on_log
        self._restart_window_s = config.restart_window_s
        self.has_started = False
        self.on_stop: Callable[[], None] = lambda: None
        self.last_plan: Plan | None = None
        self._stop_s = 0.0
        self._violation = violation
        self.bounds = Bounds(violation, observer._folder)
        self.reading = Reading(violation)
        self.writing = Writing(violation, clock, reader)
        self.awaiting = Awaiting(violation, brokers)
        self.links = Links(violation)
        self._remembering = Remembering(violation, disk)
        self._supervising = Supervising(violation, MODULE_START_S)

        def on_error(error: BaseException) -> None:
            trace = "".join(format_exception(error)[-4:])
            violation(f"an exception left the agent: {error!r} {trace}")

        self.reactor = reactor = ProcessReactor(clock, listeners, on_error)
        reactor.getThreadPool().on_module_call = lambda: violation(
            "a blocking call of a module has a thread of the agent"
        )
        self.exit = _Exit(
            clock,
            reactor,
            self._stop_begins,
            lambda: violation("a stop did not end in time"),
        )
        kernel = reactor.kernel = SimKernel(reactor, reader, violation)
        self.stdin = kernel.stdin
        process = _Process(self.exit, signals, kernel.open_output)
        self.signals = signals
        reactor.on_thaw = signals.thawed
        disk.alive = lambda: reactor.alive

        def read_config() -> Any:
            if self.stopping and reactor.alive:
                violation("the configuration is read during a stop")
            clock.boundary("config")
            if hasattr(self, "agent"):
                self.links.reload_begins(self.agent)
            kinds = {each.name: each for each in (kind, TASMOTA, OPENDTU, HADISCOVERY)}
            return load(config.path, kinds.get, lambda: list(kinds), {})

        plan = build(read_config())
        platform = Platform(
            environ={"HOME": "/simulated"},
            files=disk,  # type: ignore[arg-type]  # a simulated one
            host_name=lambda: "simulated",
            kernel=kernel,
            listen=lambda *_what: FakeListening(),
            make_logger=self._make_logger,
            make_pool=lambda *_what: SimThreads(reactor, MODULE_THREADS),
            random=clock.random.random,
            steady_ns=lambda: round(clock.now_s * 1e9),
            usage=Usage,
            wall_ns=clock.wall_ns,
        )
        self.agent: Agent = assemble(
            process,  # type: ignore[arg-type]  # a simulated one
            reactor,
            plan,
            read_config,
            observer,
            platform=platform,
        )
        reactor.on_stop = self.agent.stopService

    def start(self) -> None:
        """Start the agent."""
        self.reactor.begin(self.agent.startService)

    def _stop_begins(self) -> None:
        if not self.alive:
            return
        self._stop_s = self.ran_s
        self._remembering.stop_begins(self.agent)
        self.on_stop()

    @property
    def ran_s(self) -> float:
        """A clock that stops while the process is frozen."""
        return self._clock.now_s - self.reactor.stood_s

    def look_at_modules(self) -> None:
        """See that modules run, start and end as they shall."""
        factories = (each.factory for each in self.reactor.attempts)
        self._supervising.look(self.agent, factories, self.ran_s)

    def check_stop(self) -> None:
        """See that a stop does not last longer than it may."""
        if self.stopping and self.agent._shutdown is not None:
            ran_s, most_s = self.ran_s - self._stop_s, self.agent._shutdown._drain_timeout_s
            if ran_s > most_s + _ENDS_WITHIN_S:
                self._violation(f"a stop lasts {ran_s:.1f} s, {most_s + 2:g} s are promised")

    def check_end(self) -> bool:
        """See whether a stop has saved all, and has waited for what it leaves as long as it may.

        Returns:
            Whether the process ended in order.
        """
        shutdown, stopped, sink = self.agent._shutdown, self.agent._stopped, self.agent._parts.sink
        if shutdown is None or stopped is None or not stopped.called:
            return False
        self._remembering.check_end()
        if sink._is_lost:
            return True
        ran_s = self.ran_s - self._stop_s
        if sink.left_metrics and ran_s < shutdown._drain_timeout_s - _HANDLING_S:
            self._violation(f"a stop leaves {sink.left_metrics} metrics after {ran_s:.1f} s")
        return True

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.reactor.alive

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        agent = getattr(self, "agent", None)
        return agent is not None and agent.stopping

    @property
    def dropped(self) -> int:
        """Metrics that were dropped from a full queue, and counted."""
        return self.agent._parts.sink.dropped.get(QUEUE_FULL, 0)

    @property
    def rejected(self) -> int:
        """Metrics that were counted as rejected by the output."""
        return self.agent._parts.sink.dropped.get(REJECTED, 0)

    @property
    def unread(self) -> int:
        """Metrics that are left when the process ends, and logged."""
        return self.agent._parts.sink.left_metrics if self.agent.stopping else 0

    @property
    def waits_for_brokers_until_s(self) -> float:
        """Until when a stop certainly waits for what brokers have sent; inf without a stop."""
        shutdown = self.agent._shutdown
        if shutdown is None:
            return math.inf
        least_s = shutdown._drain_timeout_s * _DELIVERIES_SHARE - _HANDLING_S
        return self._clock.now_s - shutdown._running_for_s() + least_s

    @property
    def swaps_modules(self) -> bool:
        """Whether a start or a reload is replacing the modules, while nothing is read."""
        return "reload" in self.agent._parts.connections._pause_reasons

    def _make_logger(self, name: str = "agent") -> ModuleLogger:
        pairs = LogPairs(
            self._violation,
            self.reactor.seconds,
            self._restart_window_s,
            lambda: self.reactor.stood_s > 0,
        )

        def observe(event: Any) -> None:
            if self.alive:
                pairs.take(event)
                if event["log_format"] in _STARTED:
                    self._remembering.started(self.agent, event.get("module", ""))
                self._observer(event)
                self._on_log(event)
                self._clock.boundary("log")

        return make_logger(name, observe)

    def hang_up(self) -> None:
        """Send SIGHUP."""
        self.has_started = self.has_started or self.agent._working is None
        self.signals.send(signal.SIGHUP)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.signals.send(signal.SIGTERM)


def make_observer(clock: SimClock, line: Callable[[str], None]) -> StderrObserver:
    """Make the log."""
    return StderrObserver(format="telegraf", target=_Log(line), clock=lambda: clock.now_s)
