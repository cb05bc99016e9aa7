"""What an agent is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.logger import ILogObserver, Logger

from metrics_agent.output.sink import Sink
from metrics_agent.plan import ModulePlan, Plan
from metrics_agent.process.exit import ExitStatus
from metrics_agent.state.directory import StateDirectory
from metrics_agent.supervision.guard import Guard
from metrics_agent.supervision.notify import Notifier
from metrics_agent.supervision.supervisor import Supervisor
from metrics_agent.transports.mqtt.connections import Connections

__all__ = ["OnState", "Parts"]

OnState = Callable[[Supervisor], None]


@frozen
class Parts:
    """What an agent is made of; `assembly` and the tests put it together.

    Attributes:
        reactor: the reactor.
        sink: where the lines go.
        connections: the MQTT connections.
        make_supervisor: makes the supervisor of one planned module.
        exit_status: takes the exit code.
        configure: applies the global settings of a plan that is going to run.
        log: the agent's own log.
        guard: contains the agent's own faults.
        notifier: reports to systemd, where it started us.
        observer: what twistd is to log with, None to leave that to twistd.
        state: the files whose last changes are written at the stop.
        on_imported: called before the first module is made, when all that they need is imported.
    """

    reactor: Any
    sink: Sink
    connections: Connections
    make_supervisor: Callable[[ModulePlan, Plan, OnState], Supervisor]
    exit_status: ExitStatus
    configure: Callable[[Plan], None]
    log: Logger
    guard: Guard
    notifier: Notifier
    observer: ILogObserver | None = None
    state: StateDirectory | None = None
    on_imported: Callable[[], None] = lambda: None
