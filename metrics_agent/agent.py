"""The root service: starts, reloads and stops everything, and decides when the process ends.

Starting is a reload from nothing: both are ``_apply(plan)``. One reload runs at a time; requests
that come meanwhile are latched into one more. A stop waits for a reload under way, then goes
through its steps within ``drain_timeout``; each step is contained, so that one that fails does
not keep the others from being taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from attrs import frozen
from twisted.application.service import IServiceCollection, MultiService, Service
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from metrics_agent.config import AgentConfig
from metrics_agent.deferreds import as_deferred
from metrics_agent.errors import ConfigError
from metrics_agent.output.sink import Sink
from metrics_agent.plan import ModulePlan, Plan, build
from metrics_agent.preload import import_all, not_imported
from metrics_agent.process.exit import ExitCode, ExitStatus
from metrics_agent.state.directory import StateDirectory
from metrics_agent.supervision.group import ModuleGroup
from metrics_agent.supervision.guard import Caught, Guard
from metrics_agent.supervision.notify import Notifier
from metrics_agent.supervision.supervisor import State, Supervisor
from metrics_agent.transports.mqtt.connections import Connections

__all__ = ["Agent", "Parts"]

OnState = Callable[[Supervisor], None]

_EXIT_GRACE_S = 2.0
"""How long after ``drain_timeout`` a stop that hangs is ended the hard way."""

_WHOLE_FROM_S = 5.0
"""Seconds are logged without a fraction from here on."""

_RELOAD_GAP_S = 0.1
"""From the end of a reload to the next: in a storm of SIGHUPs modules must come to their work."""

_REACTOR_GRACE_S = 0.5
"""How long the reactor may take once we have stopped: it joins threads, and one may never end."""

_RECONCILE_WAIT_S = 1.0
"""A reload waits this long for connections that are not wanted any more to be closed."""

_SETTLE_WAIT_S = 1.0
"""A reload waits this long for what the brokers have delivered on connections that will end."""

_IMPORT_WAIT_S = 10.0
"""An import that takes longer is waited for by the module that needs it."""

_STATE_WAIT_S = 0.5
"""A stop waits so long for the disk when all else is done; then it writes in this thread."""

_SWAP_WAIT_S = 0.05
"""A reload waits this long for old modules to be gone, and as long again for new ones to have
started: one that hangs must not keep the others from their messages."""


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
        observer: what twistd shall log with, None to leave that to twistd.
        state: the files whose last changes are written at the stop.
        imported: called before the first module is made, when all that they need is imported.
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
    imported: Callable[[], None] = lambda: None


class Agent(MultiService):
    """The service that twistd or the command runs.

    Args:
        parts: what it is made of.
        plan: what shall run first.
        load: reads the configuration again; raises ConfigError.

    Attributes:
        reloads: how often another configuration was put into force.
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
        self._modules = ModuleGroup(parts.guard)
        self._modules.setServiceParent(self)
        self._working: Deferred[None] | None = None
        self._reload_again = False
        self._next_reload: IDelayedCall | None = None
        self._stop_requested_s: float | None = None
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
        return self._stop_requested_s is not None

    # -- start -------------------------------------------------------------------------------

    def startService(self) -> None:
        """Open the output and start the modules; what cannot be started is logged."""
        if isinstance(self._guard.run("start", self._parts.sink.startService), Caught):
            self.request_stop("the output cannot be opened", ExitCode.GAVE_UP)
        # Each by itself: one that fails, such as where no thread can be made, costs only itself.
        Service.startService(self)
        for service in (self._parts.connections, *self):
            self._guard.run("start", service.startService)
        self._work(self._start())

    async def _start(self) -> None:
        import_all(self._plan.needs)
        self._parts.imported()
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
                self._next_reload = later(_RELOAD_GAP_S, self._reload_latched)

        working: Deferred[Any] = ensureDeferred(work)
        self._working = working
        self._guard.watch("reload", working)
        working.addBoth(done)

    # -- reload ------------------------------------------------------------------------------

    def request_reload(self) -> None:
        """Read the configuration again and restart all modules; callable at any time."""
        if self.stopping:
            return
        if not self.running or self._working is not None or self._next_reload is not None:
            self._reload_again = True
            return
        self._work(self._reload())

    def _reload_latched(self) -> None:
        self._next_reload = None
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
            self._log.error(
                "Reload rejected; keeping the current configuration: {reasons}",
                reasons=plan or "reading it failed, see the line above",
                fold=False,
            )
            return
        await self._import(plan)
        if not self.stopping:
            # What came on a connection that ends is for the module that still runs.
            settle = partial(self._parts.connections.settle, _SETTLE_WAIT_S, plan.connections)
            await self._step("settle", settle, _SETTLE_WAIT_S)
        if not self.stopping:
            await self._put_into_force(plan)

    async def _put_into_force(self, plan: Plan) -> None:
        started_s = self._parts.reactor.seconds()
        await self._apply(plan)
        if self.stopping:
            return
        self.reloads += 1
        self._log.info(
            "Reloaded {path}: modules {names} restarted in {ms:.0f} ms.",
            path=str(plan.config.path),
            names=", ".join(module.name for module in plan.modules) or "(none)",
            ms=(self._parts.reactor.seconds() - started_s) * 1000,
        )
        if not plan.modules:
            self._say_nothing_enabled()

    async def _import(self, plan: Plan) -> None:
        """Import in a thread what a module needs that was not there before."""
        names = not_imported(plan.needs)
        if names:
            reactor = self._parts.reactor
            pool = reactor.getThreadPool()
            await self._at_most(_IMPORT_WAIT_S, deferToThreadPool(reactor, pool, import_all, names))

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
            await self._at_most(_SWAP_WAIT_S, self._modules.stop_all())
            self._plan = plan
            self._guard.run("configure", self._parts.configure, plan)
            await self._step(
                "connections",
                lambda: connections.reconcile(plan.connections, plan.config.settings.drain_timeout),
                _RECONCILE_WAIT_S,
            )
            for module in plan.modules:
                self._start_module(module, plan)
            await self._at_most(_SWAP_WAIT_S, self._modules.settled())
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
                f"module {supervisor.module_name} gave up and on_give_up is exit", ExitCode.GAVE_UP
            )
        elif len(states) == len(self._plan.modules) and set(states) == {State.PARKED}:
            self.request_stop("no enabled module can run any more", ExitCode.GAVE_UP)

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

    def _begin_stop(self, reason: str) -> None:
        self._guard.run("stop", self._parts.exit_status.leave_out_standstill, self._parts.reactor)
        self._stop_requested_s = self._parts.reactor.seconds()
        drain_s = self._plan.config.settings.drain_timeout
        self._end_within(drain_s + _EXIT_GRACE_S)
        self._notifier.stopping()
        self._log.info("Stopping: {reason}.", reason=reason)

    def _end_within(self, seconds: float) -> None:
        # It needs a thread; where there are no more of them the stop goes on without.
        self._guard.run("stop", self._parts.exit_status.end_within, seconds)

    def stopService(self) -> Deferred[None]:
        """Stop in order; fires when all is stopped, at the latest at ``drain_timeout``."""
        if self._stopped is None:
            if not self.stopping:
                self._begin_stop("the service was stopped")
            self._stopped = self._guard.watch("stop", ensureDeferred(self._stop()))
        waiting: Deferred[None] = Deferred()
        self._stopped.addBoth(lambda _result: waiting.callback(None))
        return waiting

    def _stopping_for_s(self) -> float:
        assert self._stop_requested_s is not None
        return float(self._parts.reactor.seconds() - self._stop_requested_s)

    def _remaining_s(self) -> float:
        return max(0.0, self._plan.config.settings.drain_timeout - self._stopping_for_s())

    async def _stop(self) -> None:
        parts = self._parts
        # No step gets all that is left: the drain, on which most depends, is one of the last.
        reload_s = self._remaining_s() / 4
        await self._step("reload", lambda: self._working or succeed(None), reload_s)
        if self._next_reload is not None:
            self._next_reload.cancel()
            self._next_reload = None
        # What the brokers have delivered is taken before anything closes; the queue may grow
        # beyond its high mark for this.
        parts.connections.resume("reload")
        parts.connections.resume("pressure")
        settle_s = self._remaining_s() / 2
        await self._step("settle", lambda: parts.connections.settle(settle_s), settle_s)
        parts.connections.pause("stop")
        await self._step("stop modules", self._modules.stop_all, self._remaining_s() / 2)
        # While the output drains: a slow disk must not take its time.
        state = parts.state
        saving = self._guard.run("state", state.flush) if state is not None else None
        await self._step(
            "drain", lambda: parts.sink.drain(self._remaining_s()), self._remaining_s() + 0.1
        )
        # The acknowledgements that the drain has freed go out before the connection closes.
        await self._step("disconnect", parts.connections.stopService, max(0.2, self._remaining_s()))
        await self._step("close output", parts.sink.stopService, 0.2)
        await self._step("services", super().stopService, 0.2)
        if state is not None:
            await self._step("state", lambda: saving, _STATE_WAIT_S)
            self._guard.run("state", state.finish)
        self._end_within(_REACTOR_GRACE_S)
        written, left = parts.sink.taken_metrics, parts.sink.left_metrics
        if left:
            self._log.error(
                "Stopped: {written} metrics written, {left} were not read within {seconds:g} s "
                "and are lost.",
                written=written,
                left=left,
                seconds=_rounded(self._stopping_for_s()),
            )
        elif dropped := sum(parts.sink.dropped.values()):
            self._log.warn(
                "Stopped: {written} metrics written, {dropped} were dropped before from a full "
                "queue.",
                written=written,
                dropped=dropped,
            )
        else:
            self._log.info("Stopped: {written} metrics written, none lost.", written=written)

    async def _step(self, place: str, step: Callable[[], Any], timeout_s: float) -> None:
        """Take one step of a stop or a reload: contained, and at most that long."""
        work = self._guard.run(place, step)
        if isinstance(work, Awaitable):
            await self._at_most(timeout_s, self._guard.watch(place, as_deferred(work)))

    async def _at_most(self, timeout_s: float, waiting: Deferred[Any]) -> Any:
        """Wait for a Deferred, or give up waiting and leave it to itself."""
        result: Deferred[Any] = Deferred()

        def over(value: Any) -> None:
            if call.active():
                call.cancel()
                result.callback(value)

        call = self._parts.reactor.callLater(timeout_s, result.callback, None)
        waiting.addBoth(over)
        return await result


def _rounded(seconds: float) -> float:
    """Round for a log line: a timeout of 10 s that ended after 9.96 s is 10 s."""
    return round(seconds, 0 if seconds >= _WHOLE_FROM_S else 1)
