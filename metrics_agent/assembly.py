"""Puts an agent together; reads like a parts list. `metrics-agent` and twistd both use it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver

from metrics_agent.agent import Agent
from metrics_agent.config import AgentConfig, state_directory
from metrics_agent.config.output import without_query
from metrics_agent.diagnosis import Diagnosis
from metrics_agent.encoding_log import log_clash, log_cut
from metrics_agent.global_settings import put_into_force
from metrics_agent.line_protocol import Encoder
from metrics_agent.logs.events import AGENT
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.metric import Metric
from metrics_agent.module_parts import ModuleParts
from metrics_agent.output.sink import Sink
from metrics_agent.parts import Parts
from metrics_agent.plan import Plan
from metrics_agent.planned_output import check_stdout, make_planned_output
from metrics_agent.platform import Platform
from metrics_agent.point_clock import PointClock
from metrics_agent.process.boot import Process
from metrics_agent.process.running import (
    contain_main_loop,
    dispatch_directly,
    sleep_past_old_timers,
)
from metrics_agent.process.stdin import StdinService
from metrics_agent.state.directory import Pace, StateDirectory
from metrics_agent.status.page_server import PageServer
from metrics_agent.status.serving import make_page_server, make_status_socket
from metrics_agent.status.tapping import Tap
from metrics_agent.supervision.connection_problems import ConnectionProblems
from metrics_agent.supervision.counters import Counters, CountersByModule
from metrics_agent.supervision.emitter import Emitter
from metrics_agent.supervision.exhaustion import MemoryWatch
from metrics_agent.supervision.guard import Guard
from metrics_agent.supervision.lifecycle import State
from metrics_agent.supervision.liveness import Liveness
from metrics_agent.supervision.notify import make_notifier
from metrics_agent.supervision.reports import Reports
from metrics_agent.supervision.sampler import Sampler
from metrics_agent.supervision.self_metrics import SelfMetrics
from metrics_agent.supervision.watchdog import Watchdog

__all__ = ["assemble"]


def assemble(
    process: Process,
    reactor: Any,
    plan: Plan,
    load: Callable[[], AgentConfig],
    observer: StderrObserver,
    *,
    log_with: ILogObserver | None = None,
    diagnosis: Diagnosis | None = None,
    platform: Platform | None = None,
    reported: Callable[[Reports], object] = lambda _reports: None,
) -> Agent:
    """Make an agent that is not started.

    Args:
        process: signals, descriptors and exit code of this process.
        reactor: the reactor.
        plan: what shall run first.
        load: reads the configuration again; raises ConfigError.
        observer: the log, whose levels follow the configuration.
        log_with: what twistd is to log with, None to leave that to twistd.
        diagnosis: the rule to follow for a command that only looks; ``plan`` and ``load`` come
            from its `plan` and `loader`. None for the agent itself.
        platform: what to ask of the machine; None for the real one.
        reported: called with what says how the agent is, before this returns.

    Raises:
        ConfigError: the setting ``output`` cannot be used, or it is stdout and that is closed.
    """
    parts = _Assembly(process, reactor, plan, load, observer, diagnosis, platform or Platform())
    return parts.agent(log_with, reported)


class _Assembly:
    """Holds the parts while the agent is put together."""

    def __init__(
        self,
        process: Process,
        reactor: Any,
        plan: Plan,
        load: Callable[[], AgentConfig],
        observer: StderrObserver,
        diagnosis: Diagnosis | None,
        platform: Platform,
    ) -> None:
        self._platform = platform
        self._process = process
        self._reactor = reactor
        self._plan = plan
        self._load = load
        self._observer = observer
        self._start_settings = plan.config.settings
        self._diagnosis = diagnosis
        if diagnosis is None:
            state_dir = state_directory(self._start_settings, platform.environ)
            self._counters = CountersByModule()
            self._problems = ConnectionProblems()
        else:
            state_dir = diagnosis.state_dir
            self._counters = diagnosis.counters
            self._problems = diagnosis.problems
        self._log = platform.make_logger()
        pace = Pace(reactor, self._in_thread)
        self._state = StateDirectory(state_dir, self._log, pace, platform.files)
        self._point_clock = PointClock(
            reactor,
            self._log,
            hold=lambda: self._sink.hold(self._point_clock.finish),
            release=lambda: self._sink.release(),  # noqa: PLW0108 - it is made below
            wall_ns=platform.wall_ns,
            steady_ns=platform.steady_ns,
        )
        self._encoder = Encoder(
            series_per_device=self._start_settings.series_per_device,
            on_cut=partial(log_cut, self._log),
            on_clash=partial(log_clash, self._log),
            unset_stamp=self._point_clock.stamp,
            tags=self._start_settings.tags,
        )
        own = self._counters.of(AGENT)
        self._guard = Guard(self._log, own.error, own.note_error)
        check_stdout(plan, process.stdout_problem)
        self._sink = Sink(
            reactor,
            make_planned_output(plan, reactor, process.stdout, platform),
            limit_bytes=self._start_settings.queue_limit,
            high_mark_bytes=self._start_settings.queue_high_mark,
            low_mark_bytes=self._start_settings.queue_low_mark,
            on_pressure=lambda pressed: self._agent.set_back_pressure(pressed),  # noqa: PLW0108 - made below
            on_lost=lambda reason: self._agent.request_stop(reason),  # noqa: PLW0108 - as above
        )
        self._tap = Tap(lambda error: self._guard.caught("tap", error))
        self._watchdog = Watchdog(
            reactor,
            dump_after_s=self._start_settings.watchdog_dump,
            exit_after_s=self._start_settings.watchdog_exit,
            log=self._log,
        )
        self._memory_watch = MemoryWatch(
            lambda reason: self._agent.emergency_stop(reason, self._watchdog.end_within)
        )
        contain_main_loop(reactor, self._memory_watch.fatal_error)
        dispatch_directly(reactor)
        sleep_past_old_timers(reactor)
        self._sampler = Sampler(
            reactor,
            self._counters,
            lambda error: self._guard.caught("sampler", error),
            self._watchdog.show_life,
        )
        self._agent: Agent
        self._self_metrics: SelfMetrics
        self._page: PageServer | None = None
        self._liveness = Liveness(
            reactor,
            now_ns=self._point_clock.now_ns,
            file=self._state.file,
            make_logger=platform.make_logger,
            planned=lambda: {module.name for module in self._agent.plan.modules},
            hearing=self._hearing,
            interval_s=lambda: self._agent.plan.config.settings.last_seen_interval,
            emit=self._make_own_emit(),
            guard=self._guard,
        )
        self._modules = ModuleParts(
            reactor,
            platform=platform,
            settings=self._start_settings,
            diagnosis=diagnosis,
            counters=self._counters,
            problems=self._problems,
            state=self._state,
            tap=self._tap,
            sink=self._sink,
            encoder=self._encoder,
            now_ns=self._point_clock.now_ns,
            liveness=self._liveness,
        )

    def agent(self, log_with: ILogObserver | None, reported: Callable[[Reports], object]) -> Agent:
        """Make the agent and what lives as long as it."""
        environ = self._platform.environ if self._diagnosis is None else {}
        notifier = make_notifier(self._reactor, environ, log=self._log)
        parts = Parts(
            reactor=self._reactor,
            sink=self._sink,
            connections=self._modules.connections,
            make_supervisor=self._modules.make_supervisor,
            exit_status=self._process.exit_status,
            configure=self._configure,
            log=self._log,
            guard=self._guard,
            notifier=notifier,
            observer=log_with,
            state=self._state,
            on_imported=self._process.freeze_heap,
        )
        agent = self._agent = Agent(parts, self._plan, self._load)
        reports = self._make_reports()
        reported(reports)
        self._self_metrics = self._make_self_metrics(reports)
        for service in (
            self._memory_watch,
            self._point_clock,
            notifier,
            self._sampler,
            self._self_metrics,
            self._watchdog,
        ):
            service.setServiceParent(agent)
        if self._diagnosis is None:
            self._liveness.keeps_lines = True
            self._liveness.setServiceParent(agent)
            listen = partial(self._platform.listen, self._reactor)
            status = make_status_socket(
                self._reactor,
                reports,
                self._state,
                listen=listen,
                tap=self._tap,
                log=self._log,
                guard=self._guard,
            )
            status.setServiceParent(agent)
            self._page = make_page_server(
                self._reactor,
                reports,
                listen=listen,
                random=self._platform.random,
                log=self._log,
                guard=self._guard,
            )
            self._page.setServiceParent(agent)
            stdin = StdinService(
                self._platform.kernel,
                self._reactor,
                lambda: agent.request_stop("stdin was closed"),
                self._platform.stdin,
            )
            stdin.setServiceParent(agent)
        self._observer.attach(self._reactor)
        self._process.signals.attach(
            self._reactor,
            lambda name: self._guard.run("signal", agent.request_stop, f"got {name}"),
            lambda: self._guard.run("signal", agent.request_reload),
        )
        return agent

    def _in_thread(self, call: Callable[[], None]) -> Deferred[None]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), call)

    # -- settings that may change ------------------------------------------------------------

    def _configure(self, plan: Plan) -> None:
        """Put the global settings of a plan into force; called before its modules are made."""
        put_into_force(
            plan, self._start_settings, self._observer, self._encoder.cardinality, self._log
        )
        self._self_metrics.reschedule()
        self._modules.configure(plan)
        if self._page is not None:
            self._page.configure(plan.config.settings.status)

    # -- self-metrics ------------------------------------------------------------------------

    def _hearing(self) -> set[str]:
        """Return the modules that would get a message, if a device sent one."""
        supervisors = self._agent.supervisors
        running = {each.module_name for each in supervisors if each.state is State.RUNNING}
        return running - {
            module for module, each in self._modules.connections.named() if not each.hears
        }

    def _make_own_emit(self) -> Callable[[Iterable[Metric]], None]:
        """Return what takes the agent's own metrics."""
        emitter = Emitter(
            self._reactor,
            encode=self._encoder.encode,
            write=self._tap.through(AGENT, self._sink.write),
            guard=self._guard,
            counters=Counters(),
            log=self._log,
        )
        # After the drain nothing reaches the reader any more.
        return lambda metrics: None if self._agent.stopping else emitter.emit(metrics)

    def _make_reports(self) -> Reports:
        return Reports(
            agent=self._agent,
            clock=self._reactor,
            counters=self._counters,
            connections=self._modules.connections,
            connection_counters=self._modules.connection_counters,
            problems=self._problems,
            own_problems=self._modules.own_problems,
            books=lambda: self._liveness.books,
            now_ns=self._point_clock.now_ns,
            sink=self._sink,
            encoder=self._encoder,
            observer=self._observer,
            sampler=self._sampler,
            usage=self._platform.usage,
            instance=self._start_settings.instance or self._platform.host_name(),
            output=without_query(self._start_settings.output),
            page_problem=lambda: self._page.problem if self._page is not None else "",
        )

    def _make_self_metrics(self, reports: Reports) -> SelfMetrics:
        return SelfMetrics(
            self._reactor,
            now_ns=self._point_clock.now_ns,
            interval_s=lambda: self._agent.plan.config.settings.self_metrics_interval,
            modules=reports.of_modules,
            connections=reports.of_connections,
            agent=reports.of_agent,
            output=reports.of_output,
            emit=self._make_own_emit(),
            guard=self._guard,
        )
