"""The root service: starts and reloads everything, and decides when the process ends.

Starting is a reload from nothing: both are ``_apply(plan)``. One reload runs at a time; requests
that come meanwhile are latched into one more. A stop, see `shutdown`, waits for a reload under way.
Each step is contained, so that one that fails does not keep the others from being taken.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.application.service import IServiceCollection, MultiService, Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver
from twisted.python.components import Componentized

from metrics_agent.config import AgentConfig
from metrics_agent.errors import ConfigError
from metrics_agent.parts import Parts
from metrics_agent.plan import ModulePlan, Plan, build
from metrics_agent.preload import import_all, not_imported
from metrics_agent.process.exit import ExitCode
from metrics_agent.reload_report import ReloadReport, accepted, rejected
from metrics_agent.shutdown import Shutdown
from metrics_agent.steps import Steps
from metrics_agent.supervision.group import ModuleGroup
from metrics_agent.supervision.guard import Caught
from metrics_agent.supervision.supervisor import State, Supervisor

__all__ = ["Agent"]

_END_GRACE_S = 3.0
"""Where memory is short: how long after `drain_timeout` the kernel ends a stop."""

_RELOAD_GAP_S = 0.1
"""From the end of a reload to the next: modules must get to work between many SIGHUPs."""

_RECONCILE_WAIT_S = 0.35
"""How long a reload waits for unwanted connections to close: about what an orderly close takes.
One that still waits for the output's reader closes later, while the modules already run."""

_HANDLE_WAIT_S = 1.0
"""A reload waits this long for what the brokers have delivered on connections that will end."""

_REST_WAIT_S = 0.5
"""And this long for what was read of it by then: 2 MiB at most, see `READ_AHEAD_BYTES`."""

_SLACK_S = 5.0
"""Both count no time in which the process stood still; a reload goes on so much later at most."""

_IMPORT_WAIT_S = 10.0
"""An import that takes longer is waited for by the module that needs it."""

_SWAP_WAIT_S = 0.05
"""A reload waits this long for old modules to be gone, and as long again for new ones to have
started: one that hangs must not keep the others from their messages."""


class Agent(MultiService):
    """The service that twistd or the command runs.

    Args:
        parts: what it is made of.
        plan: what shall run first.
        load: reads the configuration again; raises ConfigError.

    Attributes:
        reloads: how often another configuration was put into force.
        rejected_reloads: how often one could not be used, and nothing changed.
        last_reload: what the last reload did.
    """

    def __init__(self, parts: Parts, plan: Plan, load: Callable[[], AgentConfig]) -> None:
        super().__init__()
        self._parts = parts
        self._notifier = parts.notifier
        self._log = parts.log
        self._guard = parts.guard
        self._plan = plan
        self._load = load
        self.reloads = 0
        self.rejected_reloads = 0
        self.last_reload: ReloadReport | None = None
        self._steps = Steps(parts.reactor, parts.guard)
        self._modules = ModuleGroup(parts.guard)
        self._modules.setServiceParent(self)
        self._working: Deferred[None] | None = None
        self._reload_again = False
        self._reload_cooldown: IDelayedCall | None = None
        self._shutdown: Shutdown | None = None
        self._stopped: Deferred[None] | None = None

    # -- twistd ------------------------------------------------------------------------------

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Join the application, and have it log with our observer.

        twistd logs to stdout unless the application says otherwise, and stdout is for metrics.
        """
        if self._parts.observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._parts.observer)
        super().setServiceParent(parent)

    # -- what runs ---------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """What is running, or going to."""
        return self._plan

    @property
    def supervisors(self) -> list[Supervisor]:
        """The supervisors of the modules of the plan."""
        return self._modules.supervisors

    @property
    def stopping(self) -> bool:
        """A stop was asked for."""
        return self._shutdown is not None

    def set_back_pressure(self, on: bool) -> None:
        """Read no messages while the output is full."""
        if not on:
            self._parts.connections.resume("pressure")
        elif not self.stopping:
            # In a stop what the brokers have delivered is taken: the reader has until its end.
            self._parts.connections.pause("pressure")

    # -- start -------------------------------------------------------------------------------

    def startService(self) -> None:
        """Open the output and start the modules; what cannot be started is logged."""
        if isinstance(self._guard.run("start", self._parts.sink.startService), Caught):
            self.request_stop("the output cannot be opened", ExitCode.FAILED)
        # Each by itself: one that cannot start, for lack of a thread say, does not stop the others.
        Service.startService(self)
        for service in (self._parts.connections, *self):
            self._guard.run("start", service.startService)
        self._work(self._start())

    async def _start(self) -> None:
        import_all(self._plan.needs)
        self._parts.on_imported()
        await self._apply(self._plan)
        if self.stopping:
            return
        names = ", ".join(module.name for module in self._plan.modules)
        if names:
            path = str(self._plan.config.path)
            self._log.info("Started with modules {names} ({path}).", names=names, path=path)
        for name, faults in self._plan.faulty:
            self._log.error(
                "Module {name} not started, invalid settings: {faults}",
                name=name,
                faults="; ".join(str(fault) for fault in faults),
            )
        if not self._plan.modules and not self._plan.faulty:
            self._say_nothing_enabled()
        self._notifier.ready()

    def _say_nothing_enabled(self) -> None:
        from metrics_agent.modules import known_kinds

        self._log.warn(
            "No module is enabled in {path}, so there is nothing to do; enable one of: {kinds}.",
            path=str(self._plan.config.path),
            kinds=", ".join(known_kinds()),
        )

    def _work(self, work: Any) -> None:
        """Run a start or a reload; nothing that goes wrong in it ends the agent."""

        def done(_result: object) -> None:
            self._working = None
            if not self.stopping:
                later = self._parts.reactor.callLater
                self._reload_cooldown = later(_RELOAD_GAP_S, self._reload_latched)

        working: Deferred[Any] = ensureDeferred(work)
        self._working = working
        self._guard.watch("reload", working)
        working.addBoth(done)

    # -- reload ------------------------------------------------------------------------------

    def request_reload(self) -> None:
        """Read the configuration again and restart all modules; callable at any time."""
        if self.stopping:
            return
        if not self.running or self._working is not None or self._reload_cooldown is not None:
            self._reload_again = True
            return
        self._work(self._reload())

    def _reload_latched(self) -> None:
        self._reload_cooldown = None
        if self._reload_again:
            self._reload_again = False
            self.request_reload()

    async def _reload(self) -> None:
        self._notifier.reloading()
        try:
            await self._reload_once()
        finally:
            if not self.stopping:
                self._notifier.ready()

    async def _reload_once(self) -> None:
        plan = self._guard.run("load", self._plan_or_reasons)
        if not isinstance(plan, Plan):
            reasons = plan or "reading it failed, see the line above"
            self.rejected_reloads += 1
            self.last_reload = rejected(reasons, self._parts.reactor.seconds())
            self._log.error(
                "Reload rejected; keeping the current configuration: {reasons}",
                reasons=reasons,
                fold=False,
            )
            return
        await self._import(plan)
        if not self.stopping:
            # What came on a connection that ends is for the module that still runs.
            handle = partial(
                self._parts.connections.handle_delivered,
                _HANDLE_WAIT_S,
                _REST_WAIT_S,
                plan.connections,
            )
            limit_s = _HANDLE_WAIT_S + _REST_WAIT_S + _SLACK_S
            await self._steps.take("deliveries", handle, limit_s)
        if not self.stopping:
            await self._swap(plan)

    async def _swap(self, plan: Plan) -> None:
        seconds = self._parts.reactor.seconds
        started_s = seconds()
        before = self._plan
        await self._apply(plan)
        if self.stopping:
            return
        self.reloads += 1
        report = self.last_reload = accepted(before, plan, seconds())
        self._log.info(
            "Reloaded {path}: modules {names} restarted in {ms:.0f} ms. {report}",
            path=str(plan.config.path),
            names=", ".join(module.name for module in plan.modules) or "(none)",
            ms=(seconds() - started_s) * 1000,
            report=report.describe(),
        )
        if not plan.modules:
            self._say_nothing_enabled()

    async def _import(self, plan: Plan) -> None:
        """Import in a thread what a module needs that was not there before."""
        names = not_imported(plan.needs)
        if names:
            reactor = self._parts.reactor
            importing = deferToThreadPool(reactor, reactor.getThreadPool(), import_all, names)
            await self._steps.at_most(_IMPORT_WAIT_S, importing)

    def _plan_or_reasons(self) -> Plan | str:
        """Read the configuration again; for a reload the fault of any module counts."""
        try:
            plan = build(self._load())
        except ConfigError as error:
            return str(error)
        return str(ConfigError(plan.faults)) if plan.faults else plan

    async def _apply(self, plan: Plan) -> None:
        connections = self._parts.connections
        # While the modules are swapped TCP holds what the brokers send.
        connections.pause("reload")
        try:
            await self._steps.at_most(_SWAP_WAIT_S, self._modules.stop_all())
            self._plan = plan
            self._guard.run("configure", self._parts.configure, plan)
            await self._steps.take(
                "connections",
                lambda: connections.reconcile(plan.connections, plan.config.settings.drain_timeout),
                _RECONCILE_WAIT_S,
            )
            for module in plan.modules:
                self._start_module(module, plan)
            await self._steps.at_most(_SWAP_WAIT_S, self._modules.first_starts())
        finally:
            connections.resume("reload")

    def _start_module(self, module: ModulePlan, plan: Plan) -> None:
        self._modules.start_when_gone(
            module.name,
            lambda: self._parts.make_supervisor(module, plan, self._state_changed),
            lambda: not self.stopping,
        )

    def _state_changed(self, supervisor: Supervisor) -> None:
        self._guard.run("connections", self._follow_modules)
        self._guard.run("state", self._decide, supervisor)

    def _follow_modules(self) -> None:
        """Have messages read for the modules that run, and only for them."""
        running, parked = (
            {each.module_name for each in self.supervisors if each.state is state}
            for state in (State.RUNNING, State.PARKED)
        )
        self._parts.connections.follow(running=running, parked=parked - running)

    def _decide(self, supervisor: Supervisor) -> None:
        """Decide, when a module's state changed, whether the process can still be of use."""
        if self.stopping or supervisor not in self.supervisors:
            return
        self._notifier.status(self._summary())
        states = [other.state for other in self.supervisors]
        if supervisor.state is not State.PARKED:
            return
        settings = self._plan.config.settings
        if settings.on_give_up == "exit":
            self.request_stop(
                f"module {supervisor.module_name} gave up and on_give_up is exit", ExitCode.FAILED
            )
        elif len(states) == len(self._plan.modules) and set(states) == {State.PARKED}:
            self.request_stop("no enabled module can run any more", ExitCode.FAILED)

    def _summary(self) -> str:
        """Say in one line how the modules are."""
        counts: dict[str, list[str]] = {}
        for supervisor in self.supervisors:
            counts.setdefault(supervisor.state.word, []).append(supervisor.module_name)
        for name, _faults in self._plan.faulty:
            counts.setdefault("wrong settings", []).append(name)
        states = (f"{state}: {', '.join(names)}" for state, names in counts.items())
        return "; ".join(states) or "no module is enabled"

    # -- stop --------------------------------------------------------------------------------

    def request_stop(self, reason: str, code: ExitCode = ExitCode.STOPPED) -> None:
        """Stop everything in order and end the process; the first request counts."""
        if self.stopping:
            return
        reactor = self._parts.reactor
        self._begin_stop(reason)
        self._parts.exit_status.set(code)
        reactor.callWhenRunning(reactor.stop)

    def emergency_stop(self, reason: str, end_within: Callable[[float], object]) -> None:
        """Stop, since the reactor is not whole any more; by the kernel if nothing else works.

        Args:
            reason: for the log.
            end_within: ends the process after so many seconds, without a thread.
        """
        status = self._parts.exit_status
        status.set(ExitCode.FAILED)
        status.start_no_threads()
        end_within(self._plan.config.settings.drain_timeout + _END_GRACE_S)
        self._guard.run("memory", self.request_stop, reason, ExitCode.FAILED)

    def _begin_stop(self, reason: str) -> Shutdown:
        drain_timeout_s = self._plan.config.settings.drain_timeout
        shutdown = self._shutdown = Shutdown(self._parts, self._steps, drain_timeout_s)
        shutdown.begin(reason)
        return shutdown

    def stopService(self) -> Deferred[None]:
        """Stop in order; fires when all is stopped, at the latest at ``drain_timeout``."""
        if self._stopped is None:
            shutdown = self._shutdown or self._begin_stop("the service was stopped")
            if self._reload_cooldown is not None:
                self._reload_cooldown.cancel()
                self._reload_cooldown = None
            stop = shutdown.run(
                working=self._working,
                stop_modules=self._modules.stop_all,
                abandon_modules=self._modules.abandon,
                stop_services=super().stopService,
            )
            self._stopped = self._guard.watch("stop", ensureDeferred(stop))
        waiting: Deferred[None] = Deferred()
        self._stopped.addBoth(lambda _result: waiting.callback(None))
        return waiting
