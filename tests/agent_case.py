"""A builder of agents: real supervisors and modules that do what the test says, the rest fakes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, succeed

from metrics_agent.agent import Agent
from metrics_agent.config import AgentConfig, AgentSettings, Fault, ModuleConfig
from metrics_agent.module_kind import ModuleKind
from metrics_agent.parts import OnState, Parts
from metrics_agent.plan import ModulePlan, Plan, build
from metrics_agent.process.exit import ExitCode
from metrics_agent.supervision.policy import RestartPolicy
from metrics_agent.supervision.supervisor import Supervisor, Timeouts
from tests.supervision.fakes import ContextCase, FakeReactor
from tests.supervision.supervised import FakeModule

FAULT = Fault("modules.bad.interval", "0", "more than 0")


class AgentReactor(FakeReactor):
    """Runs from the beginning; counts how often it was asked to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.stops = 0

    def callWhenRunning(self, call: Callable[[], object]) -> None:
        call()

    def stop(self) -> None:
        self.stops += 1


class FakeSink:
    """A sink whose reader has taken everything, unless the test says otherwise."""

    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen
        self.taken_metrics = 7
        self.left_metrics = 0
        self.kept_metrics = 0
        self.dropped: dict[str, int] = {}
        self.drained: Callable[[float], Any] = lambda _timeout_s: succeed(0)
        self.on_start: Callable[[], Any] = list
        self.on_stop: Callable[[], Any] = lambda: None

    def startService(self) -> None:
        self.seen.append("sink starts")
        self.on_start()

    def stopService(self) -> Any:
        self.seen.append("sink stops")
        return self.on_stop()

    def drain(self, timeout_s: float) -> Any:
        self.seen.append("drain")
        return self.drained(timeout_s)


class FakeConnections:
    """Connections that count the reasons to pause."""

    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen
        self.paused: list[str] = []
        self.wanted: list[frozenset[Any]] = []
        self.waits: list[tuple[float, float]] = []
        self.reconciled: Callable[[], Any] = lambda: succeed(None)
        self.on_handle: Callable[[float], Any] = lambda _timeout_s: succeed(None)
        self.on_stop: Callable[[], Any] = lambda: succeed(None)
        self.on_follow: Callable[[], Any] = list
        self.running: set[str] = set()
        self.parked: set[str] = set()

    def startService(self) -> None:
        self.seen.append("connections start")

    def stopService(self) -> Any:
        self.seen.append("connections stop")
        return self.on_stop()

    def pause(self, reason: str) -> None:
        self.seen.append(f"pause {reason}")
        self.paused.append(reason)

    def resume(self, reason: str) -> None:
        self.seen.append(f"resume {reason}")
        self.paused = [each for each in self.paused if each != reason]

    def reconcile(self, wanted: Iterable[Any], drain_s: float) -> Any:
        self.seen.append("reconcile")
        self.wanted.append(frozenset(wanted))
        return self.reconciled()

    def follow(self, *, running: set[str], parked: set[str]) -> None:
        if running != self.running:
            self.seen.append(f"read for {', '.join(sorted(running)) or 'none'}")
        self.running, self.parked = running, parked
        self.on_follow()

    def handle_delivered(
        self, timeout_s: float, rest_s: float, then: Iterable[Any] | None = None
    ) -> Any:
        self.seen.append("deliveries" if then is None else "deliveries of what ends")
        self.waits.append((timeout_s, rest_s))
        return self.on_handle(timeout_s)


class FakeExit:
    """The exit code, and the deadlines that were set."""

    def __init__(self) -> None:
        self.code = ExitCode.STOPPED
        self.deadlines: list[float] = []
        self.clocks: list[Any] = []
        self.on_deadline: Callable[[], Any] = list

    def set(self, code: ExitCode) -> None:
        self.code = code

    def leave_out_standstill(self, reactor: Any) -> None:
        self.clocks.append(reactor)

    def end_within(self, seconds: float, _why: str = "") -> None:
        self.deadlines.append(seconds)
        self.on_deadline()


class FakeNotifier:
    """What systemd is sent."""

    def __init__(self) -> None:
        self.logged: list[str] = []

    def ready(self) -> None:
        self.logged.append("ready")

    def reloading(self) -> None:
        self.logged.append("reloading")

    def stopping(self) -> None:
        self.logged.append("stopping")

    def status(self, text: str) -> None:
        self.logged.append(text)


@frozen
class NoSettings:
    """Settings of a module without any."""


class AgentCase(ContextCase):
    """Makes agents; modules may take 30 s to start, 2 s to stop, and are parked at the second fail.

    Attributes:
        lives: what a module of a name does, by name; a FakeModule's class, or what makes one.
        modules: the instances that were made, by name.
        loads: what reading the configuration again gives, or raises, one after the other.
        seen: what happened, in order.
    """

    def setUp(self) -> None:
        super().setUp()
        self.clock: AgentReactor = AgentReactor()  # type: ignore[assignment]  # with more in it
        self.resources = self.resources.__class__(
            **{
                name: self.clock if name == "reactor" else getattr(self.resources, name)
                for name in ("reactor", "now_ns", "encode", "write", "connection", "state")
            },
            limits=self.resources.limits,
            threads=self.resources.threads,
        )
        self.seen: list[Any] = []
        self.lives: dict[str, Callable[[], FakeModule]] = {}
        self.modules: dict[str, list[FakeModule]] = {}
        self.loads: list[Any] = []
        self.limit = 1
        self.stop_s = 2.0
        self.sink = FakeSink(self.seen)
        self.connections = FakeConnections(self.seen)
        self.exit = FakeExit()
        self.notifier = FakeNotifier()
        self.configured: list[Plan] = []
        self.on_configure: Callable[[], Any] = list

    # -- configurations ----------------------------------------------------------------------

    def config(self, *names: str, bad: tuple[str, ...] = (), **options: Any) -> AgentConfig:
        """Make a configuration with these modules, right ones and wrong ones."""
        modules = [
            ModuleConfig(name, self.kind(name), True, None, NoSettings(), ()) for name in names
        ]
        modules += [ModuleConfig(name, self.kind(name), True, None, None, (FAULT,)) for name in bad]
        return AgentConfig(Path("agent.toml"), AgentSettings(**options), tuple(modules), ())

    def kind(self, name: str) -> ModuleKind:
        def make(_settings: object, context: Any) -> Any:
            module = self.lives.get(name, FakeModule)()
            module.context = context
            self.modules.setdefault(name, []).append(module)
            return module

        return ModuleKind(name, NoSettings, make)

    def load(self) -> AgentConfig:
        result = self.loads.pop(0) if len(self.loads) > 1 else self.loads[0]
        if callable(result):
            result = result()
        if isinstance(result, BaseException):
            raise result
        assert isinstance(result, AgentConfig)
        return result

    # -- agents ------------------------------------------------------------------------------

    def make_agent(self, *names: str, bad: tuple[str, ...] = (), **options: Any) -> Agent:
        config = self.config(*names, bad=bad, **options)
        if not self.loads:
            self.loads.append(config)
        parts = Parts(
            reactor=self.clock,
            sink=self.sink,  # type: ignore[arg-type]  # fakes
            connections=self.connections,  # type: ignore[arg-type]
            make_supervisor=self.make_supervisor,
            exit_status=self.exit,  # type: ignore[arg-type]
            configure=self.configure,
            log=self.log,
            guard=self.guard,
            notifier=self.notifier,  # type: ignore[arg-type]
            on_imported=lambda: self.seen.append("imported"),
        )
        agent = Agent(parts, build(config), self.load)
        self.addCleanup(self.end, agent)
        return agent

    def configure(self, plan: Plan) -> None:
        self.configured.append(plan)
        self.on_configure()

    def make_supervisor(self, module: ModulePlan, plan: Plan, on_state: OnState) -> Supervisor:
        return Supervisor(
            module.name,
            clock=self.clock,
            make_context=self.make_context,
            make_module=lambda context: module.kind.make(module.settings, context),
            policy=RestartPolicy(
                limit=self.limit,
                window_s=300.0,
                backoff_min_s=1.0,
                backoff_max_s=60.0,
                park_s=600.0,
                random=lambda: 1.0,
            ),
            timeouts=Timeouts(start_s=30.0, stop_s=self.stop_s),
            counters=self.counters,
            log=self.log,
            on_state=on_state,
        )

    def started(self, *names: str, bad: tuple[str, ...] = (), **options: Any) -> Agent:
        """Make an agent and start it; the time after a start in which no reload begins is over."""
        agent = self.make_agent(*names, bad=bad, **options)
        agent.startService()
        self.clock.advance(0.2)
        self.clock.advance(0.2)
        return agent

    def stop(self, agent: Agent) -> Deferred[None]:
        return agent.stopService()

    def end(self, agent: Agent) -> None:
        """Stop it, see that this ends whatever happened, in time, and leaves nothing paused."""
        stopped = agent.stopService()
        for _ in range(60):
            self.clock.advance(0.1)
        self.successResultOf(stopped)
        self.assertNotIn("reload", self.connections.paused)
        self.assertEqual(self.connections.running, set())

    # -- what a test asks --------------------------------------------------------------------

    def alive(self) -> list[str]:
        """Return the names of the instances that were started and not stopped."""
        return [
            name
            for name, modules in self.modules.items()
            for module in modules
            if module.started and not module.stopped
        ]
