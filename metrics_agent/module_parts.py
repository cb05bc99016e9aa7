"""What the modules of an agent are given: their connections, contexts and supervisors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from metrics_agent.config import AgentSettings
from metrics_agent.config.output import read_output
from metrics_agent.devices.book import DeviceBook
from metrics_agent.diagnosis import Diagnosis
from metrics_agent.line_protocol import Encoder
from metrics_agent.output.sink import Sink
from metrics_agent.parts import OnState
from metrics_agent.plan import ModulePlan, Plan
from metrics_agent.platform import Platform
from metrics_agent.process.threads import ModuleThreads
from metrics_agent.state.directory import StateDirectory, safe_name
from metrics_agent.status.tapping import Tap
from metrics_agent.supervision.connection_problems import ConnectionProblems
from metrics_agent.supervision.context import Context, Resources
from metrics_agent.supervision.counters import CountersByModule
from metrics_agent.supervision.liveness import Liveness
from metrics_agent.supervision.policy import RestartPolicy
from metrics_agent.supervision.supervisor import Supervisor, Timeouts
from metrics_agent.supervision.ticker import TickerLimits
from metrics_agent.transports.mqtt.client_id import client_id
from metrics_agent.transports.mqtt.connections import Connections
from metrics_agent.transports.mqtt.listen_only import ListenOnly
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.mqtt.versions import BrokerVersions

if TYPE_CHECKING:
    from metrics_agent.transports.mqtt.connection import MqttConnection

__all__ = ["ModuleParts"]

_MQTT: Final = "mqtt"


class ModuleParts:
    """Makes supervisors, and what a module sees of the agent.

    Args:
        reactor: the reactor.
        platform: what to ask of the machine.
        settings: of the start, which a reload does not change.
        diagnosis: see `assembly.assemble`.
        counters: of the modules, by name.
        problems: takes how connections are, those of modules themselves too.
        state: the state directory.
        tap: sees the lines on their way.
        sink: takes the lines.
        encoder: makes them.
        now_ns: the wall clock.
        liveness: has the books of devices.

    Attributes:
        connections: the MQTT connections.
        connection_counters: their counters, by client id.
        own_problems: how the connections are that modules have themselves.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        platform: Platform,
        settings: AgentSettings,
        diagnosis: Diagnosis | None,
        counters: CountersByModule,
        problems: ConnectionProblems,
        state: StateDirectory,
        tap: Tap,
        sink: Sink,
        encoder: Encoder,
        now_ns: Callable[[], int],
        liveness: Liveness,
    ) -> None:
        self._reactor = reactor
        self._platform = platform
        self._start_settings = settings
        self._diagnosis = diagnosis
        self._counters = counters
        self._problems = problems
        self._state = state
        self._tap = tap
        self._sink = sink
        self._encoder = encoder
        self._now_ns = now_ns
        self._liveness = liveness
        self._versions = BrokerVersions()
        self._threads = ModuleThreads(reactor, platform.make_logger, platform.make_pool)
        self.own_problems = ConnectionProblems()
        self.connection_counters = CountersByModule()
        self.connections = Connections(
            self._make_connection, self._client_id, platform.make_logger(_MQTT)
        )

    # -- connections -------------------------------------------------------------------------

    def _client_id(self, module: str, settings: MqttSettings) -> str:
        return client_id(
            settings, self._platform.host_name(), self._start_settings.instance, module
        )

    def _make_connection(self, module: str, settings: MqttSettings, name: str) -> MqttConnection:
        # Not loaded where no module uses MQTT.
        from metrics_agent.transports.mqtt.connection import MqttConnection

        if self._diagnosis is not None:
            settings = self._diagnosis.connection_settings(settings)
            name = settings.client_id
        return MqttConnection(
            self._reactor,
            settings,
            client_id=name,
            noted=partial(self._problems.note, module),
            write=self._tap.through(module, self._sink.write),
            log=self._platform.make_logger(f"{_MQTT}:{module}"),
            now_ns=self._now_ns,
            random=self._platform.random,
            count=self.connection_counters.of(name).drop,
            # By the client id: the broker keeps the session under it.
            state=(
                self._state.file(_MQTT, f"{safe_name(name)}.json")
                if settings.persistent_session
                else None
            ),
            versions=self._versions,
        )

    def _connection(self, module: str, settings: MqttSettings) -> MqttConnection | ListenOnly:
        connection = self.connections.get(module, settings)
        return connection if self._diagnosis is None else ListenOnly(connection)

    # -- modules -----------------------------------------------------------------------------

    def configure(self, plan: Plan) -> None:
        """Release what belongs to modules that the plan lacks."""
        self._threads.keep({each.name for each in plan.modules})

    def make_supervisor(self, module: ModulePlan, plan: Plan, on_state: OnState) -> Supervisor:
        """Make the supervisor of a module of a plan."""
        settings = plan.config.settings
        log = self._platform.make_logger(module.name)
        counters = self._counters.of(module.name)
        resources = self._resources(module.name, settings)
        elsewhere = partial(plan.collected_elsewhere, module.name)

        def make_context(fail: Callable[[BaseException], None]) -> Context:
            self.own_problems.begin(module.name)
            return Context(
                module.name, log, resources, counters, fail, collected_elsewhere=elsewhere
            )

        return Supervisor(
            module.name,
            clock=self._reactor,
            make_context=make_context,
            make_module=lambda context: module.kind.make(module.settings, context),
            policy=_policy(settings, self._platform.random),
            timeouts=Timeouts(settings.module_start_timeout, settings.module_stop_timeout),
            counters=counters,
            log=log,
            on_state=on_state,
        )

    def _resources(self, module: str, settings: AgentSettings) -> Resources:
        return Resources(
            reactor=self._reactor,
            now_ns=self._now_ns,
            encode=self._encoder.encode,
            write=self._tap.through(module, self._sink.write),
            connection=self._connection,
            state=self._state,
            limits=TickerLimits(settings.failed_ticks_limit, settings.tick_timeout),
            threads=self._threads.of,
            read_only=self._diagnosis is not None,
            note_connection=self._note_connection,
            random=self._platform.random,
            output_topic=read_output(self._start_settings.output).topic,
            devices=self._liveness.book if self._diagnosis is None else _unwatched,
        )

    def _note_connection(self, module: str, address: str, problem: str | None) -> None:
        self._problems.note(module, address, problem)
        self.own_problems.note(module, address, problem)
        self._liveness.note_connection(module, address, problem)


def _unwatched(_module: str) -> DeviceBook:
    """Return the book of a command that only looks."""
    return DeviceBook()


def _policy(settings: AgentSettings, random: Callable[[], float]) -> RestartPolicy:
    return RestartPolicy(
        limit=settings.module_restart_limit,
        window_s=settings.module_restart_window,
        backoff_min_s=settings.restart_backoff_min,
        backoff_max_s=settings.restart_backoff_max,
        park_s=settings.park_interval,
        random=random,
    )
