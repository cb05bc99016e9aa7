"""A builder of supervisors whose modules do what the test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred

from metrics_agent.supervision.context import Context
from metrics_agent.supervision.lifecycle import State
from metrics_agent.supervision.policy import RestartPolicy
from metrics_agent.supervision.supervisor import Supervisor, Timeouts
from tests.supervision.fakes import ContextCase, raiser


@define(eq=False)
class FakeModule:
    """A module; ``start`` and ``stop`` take its context, and give what it shall return."""

    start: Callable[[Context], Any] = lambda _context: None
    stop: Callable[[Context], Any] = lambda _context: None
    context: Any = None
    started: int = 0
    stopped: int = 0

    def startService(self) -> Any:
        self.started += 1
        return self.start(self.context)

    def stopService(self) -> Any:
        self.stopped += 1
        return self.stop(self.context)


class SupervisorCase(ContextCase):
    """Makes supervisors: starts may take 30 s, stops 2 s, waits are 1, 2, 4 s, parking 600 s.

    Attributes:
        states: the states that were reported, in order.
        modules: the instances that were made.
    """

    def setUp(self) -> None:
        super().setUp()
        self.states: list[State] = []
        self.modules: list[Any] = []

    def make(self, *lives: Any, limit: int = 3) -> Supervisor:
        """Make one whose instances are these, the last again and again.

        Args:
            *lives: modules, or what makes one of a context, or raises.
            limit: restarts that are allowed within 300 s.
        """
        remaining = list(lives) or [lambda _context: FakeModule()]

        def make_module(context: Context) -> Any:
            life = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            module = life(context) if callable(life) else life
            if isinstance(module, FakeModule):
                module.context = context
            self.modules.append(module)
            return module

        supervisor = Supervisor(
            "demo",
            clock=self.clock,
            make_context=self.make_context,
            make_module=make_module,
            policy=RestartPolicy(
                limit=limit,
                window_s=300.0,
                backoff_min_s=1.0,
                backoff_max_s=60.0,
                park_s=600.0,
                random=lambda: 1.0,
            ),
            timeouts=Timeouts(start_s=30.0, stop_s=2.0),
            counters=self.counters,
            log=self.log,
            on_state=lambda logged: self.states.append(logged.state),
        )
        self.addCleanup(self.end, supervisor)
        return supervisor

    def end(self, supervisor: Supervisor) -> None:
        """Stop it, and see that this always works."""
        stopped = supervisor.stopService()
        self.clock.advance(2)
        self.successResultOf(stopped)
        self.assertIs(supervisor.state, State.STOPPED)

    def start(self, *lives: Any, limit: int = 3) -> Supervisor:
        supervisor = self.make(*lives, limit=limit)
        supervisor.startService()
        return supervisor

    def started_in(self, state: State) -> Supervisor:
        """Bring a supervisor into a state that lasts; the next instance hangs in its start."""
        broken = raiser(ValueError("broken"))
        start, stop = {
            State.RUNNING: (FakeModule().start, _never),
            State.CLEARING: (broken, _never),
            State.BACKING_OFF: (broken, FakeModule().stop),
            State.PARKED: (broken, FakeModule().stop),
        }.get(state, (_never, _never))
        lives = [FakeModule(start, stop), FakeModule(_never, _never)]
        if state is State.PARKED:
            lives.insert(0, FakeModule(start, stop))
        supervisor = self.make(*lives, limit=1)
        if state is not State.NEW:
            supervisor.startService()
        if state is State.PARKED:
            self.clock.advance(1)
        if state in {State.STOPPING, State.STOPPED}:
            supervisor.stopService()
        if state is State.STOPPED:
            self.clock.advance(2)
        self.assertIs(supervisor.state, state)
        return supervisor


def _never(_context: Context) -> Deferred[Any]:
    return Deferred()
