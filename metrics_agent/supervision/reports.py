"""What self-metrics and status say of the whole, its modules, connections and output.

The one place that looks at the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from metrics_agent._version import __version__
from metrics_agent.devices.book import DeviceBook
from metrics_agent.line_protocol import Encoder
from metrics_agent.logs.events import AGENT
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.metric import FieldValue
from metrics_agent.output.sink import Sink
from metrics_agent.process.usage import Usage
from metrics_agent.supervision.connection_problems import ConnectionProblems
from metrics_agent.supervision.counters import LONGEST_ERROR, Counters, CountersByModule
from metrics_agent.supervision.lifecycle import State
from metrics_agent.supervision.sampler import Sampler
from metrics_agent.supervision.self_metrics import (
    CONFIG_ERROR,
    ConnectionReport,
    ModuleReport,
    OutputReport,
)
from metrics_agent.transports.mqtt.connections import Connections

if TYPE_CHECKING:
    from metrics_agent.agent import Agent

__all__ = ["Reports"]

DEFAULT_INTERVAL_S: Final = 60.0
"""The reactor's lag is that of the last so many seconds where there are no self-metrics."""


@frozen(kw_only=True)
class Reports:
    """Looks at the parts of an agent.

    Attributes:
        agent: the agent.
        clock: provides seconds.
        counters: of modules, and of the agent as `AGENT`.
        connections: the MQTT connections.
        connection_counters: theirs, by client id.
        problems: what is known of them.
        own_problems: what modules have noted of other connections.
        books: gives the books of devices, by module.
        now_ns: the wall clock.
        sink: the output.
        encoder: what it had to change.
        observer: the log.
        sampler: what only samples show.
        usage: what the process uses.
        instance: the name of this agent.
        output: the setting, without what may be secret.
        page_problem: gives why the status page cannot be had; empty if it can, or is not wanted.
        started_s: when the agent was made.
    """

    agent: Agent
    clock: Any
    counters: CountersByModule
    connections: Connections
    connection_counters: CountersByModule
    problems: ConnectionProblems
    own_problems: ConnectionProblems
    books: Callable[[], Mapping[str, DeviceBook]]
    now_ns: Callable[[], int]
    sink: Sink
    encoder: Encoder
    observer: StderrObserver
    sampler: Sampler
    usage: Callable[[], Usage]
    instance: str
    output: str
    page_problem: Callable[[], str]
    started_s: float = field(init=False)

    @started_s.default
    def _now_s(self) -> float:
        return float(self.clock.seconds())

    def of_modules(self) -> Iterator[ModuleReport]:
        """Yield a report of each enabled module."""
        for supervisor in self.agent.supervisors:
            name = supervisor.module_name
            counters = self.counters.of(name)
            yield ModuleReport(
                name,
                supervisor.state.value,
                counters,
                state_since=self.clock.seconds() - supervisor.since_s,
                restarts_recent=supervisor.recent_restarts,
                last_metric=self.sampler.since_metric_s(name),
                last_error=counters.last_error,
                last_error_since=self.sampler.since_error_s(name),
            )
        for name, faults in self.agent.plan.faulty:
            text = "; ".join(map(str, faults))[:LONGEST_ERROR]
            counters = self.counters.of(name)
            yield ModuleReport(name, CONFIG_ERROR, counters, last_error=("settings", text))

    def of_connections(self) -> Iterator[ConnectionReport]:
        """Yield a report of each MQTT connection."""
        for module, connection in self.connections.named():
            state = State.RUNNING if connection.connected else State.BACKING_OFF
            yield ConnectionReport(
                str(connection.settings.brokers[0]),
                connection.client_id,
                module,
                state.value,
                self.connection_counters.of(connection.client_id),
                self.problems.of(module).get(connection.broker) or "",
            )

    def of_own_connections(self) -> Iterator[ConnectionReport]:
        """Yield a report of each connection that a module has itself, such as a WebSocket."""
        for supervisor in self.agent.supervisors:
            module = supervisor.module_name
            for address, problem in self.own_problems.of(module).items():
                state = State.RUNNING if problem == "" else State.BACKING_OFF
                yield ConnectionReport(address, "", module, state.value, Counters(), problem or "")

    def of_output(self) -> OutputReport:
        """Return the report of the output."""
        state = State.BACKING_OFF if self.sink.problem else State.RUNNING
        return OutputReport(
            self.output,
            state.value,
            self.sink.problem,
            self.sink.taken_metrics,
            self.sink.dropped,
        )

    def of_agent(self) -> tuple[Mapping[str, FieldValue | None], Counters]:
        """Return values, None for those that are unknown, and counters of the whole."""
        own = self.counters.of(AGENT)
        own.dropped.update(self.sink.dropped)
        used = self.usage()
        interval_s = self.agent.plan.config.settings.self_metrics_interval
        lag_p99_s, lag_max_s = self.sampler.reactor_lag_s(interval_s or DEFAULT_INTERVAL_S)
        return {
            "uptime": float(self.clock.seconds() - self.started_s),
            "metrics": self.sink.written_metrics,
            "queue_metrics": self.sink.queued_metrics,
            "queue_bytes": self.sink.queued_bytes,
            "delivery_lag": self.sink.delivery_lag_s(),
            "reactor_lag_p99": lag_p99_s,
            "reactor_lag_max": lag_max_s,
            "cpu": used.cpu_s,
            "memory": used.memory_bytes,
            "open_files": used.open_files,
            "reloads": self.agent.reloads,
            "reloads_rejected": self.agent.rejected_reloads,
            "replaced": self.encoder.replaced,
            "cut": self.encoder.cut,
            "left_out": self.encoder.left_out,
            "log_suppressed": self.observer.suppressed,
            "version": __version__,
            "instance": self.instance,
        }, own
