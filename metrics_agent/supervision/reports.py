"""What the self-metrics say of the whole, its modules and its connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from metrics_agent._version import __version__
from metrics_agent.line_protocol import Encoder
from metrics_agent.logs.events import AGENT
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.metric import FieldValue
from metrics_agent.output.sink import Sink
from metrics_agent.supervision.counters import Counters, CountersByModule
from metrics_agent.supervision.lifecycle import State
from metrics_agent.supervision.self_metrics import CONFIG_ERROR, ConnectionReport, ModuleReport
from metrics_agent.transports.mqtt.connections import Connections

if TYPE_CHECKING:
    from metrics_agent.agent import Agent

__all__ = ["Reports"]


@frozen(kw_only=True)
class Reports:
    """Looks at the parts of an agent.

    Attributes:
        agent: the agent.
        clock: provides seconds.
        counters: of modules, and of the agent as `AGENT`.
        connections: the MQTT connections.
        connection_counters: theirs, by client id.
        sink: the output.
        encoder: what it had to change.
        observer: the log.
        instance: the name of this agent.
        started_s: when the agent was made.
    """

    agent: Agent
    clock: Any
    counters: CountersByModule
    connections: Connections
    connection_counters: CountersByModule
    sink: Sink
    encoder: Encoder
    observer: StderrObserver
    instance: str
    started_s: float = field(init=False)

    @started_s.default
    def _now_s(self) -> float:
        return float(self.clock.seconds())

    def of_modules(self) -> Iterator[ModuleReport]:
        """Yield a report of each enabled module."""
        for supervisor in self.agent.supervisors:
            name = supervisor.module_name
            yield ModuleReport(name, supervisor.state.value, self.counters.of(name))
        for name, _faults in self.agent.plan.faulty:
            yield ModuleReport(name, CONFIG_ERROR, self.counters.of(name))

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
            )

    def of_agent(self) -> tuple[Mapping[str, FieldValue], Counters]:
        """Return values and counters of the whole."""
        own = self.counters.of(AGENT)
        own.dropped.update(self.sink.dropped)
        return {
            "uptime": float(self.clock.seconds() - self.started_s),
            "metrics": self.sink.written_metrics,
            "queue_metrics": self.sink.queued_metrics,
            "queue_bytes": self.sink.queued_bytes,
            "reloads": self.agent.reloads,
            "replaced": self.encoder.replaced,
            "cut": self.encoder.cut,
            "left_out": self.encoder.left_out,
            "log_suppressed": self.observer.suppressed,
            "version": __version__,
            "instance": self.instance,
        }, own
