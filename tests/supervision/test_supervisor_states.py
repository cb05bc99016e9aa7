"""Every event in every state, and restarting over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from metrics_agent.supervision.lifecycle import TRANSITIONS, Event, State
from metrics_agent.supervision.supervisor import Supervisor
from tests.supervision.fakes import raiser
from tests.supervision.supervised import FakeModule, SupervisorCase

BROKEN = raiser(ValueError("broken"))


class EveryPairTests(SupervisorCase):
    """The supervisor against the table."""

    def test_every_event_in_every_state(self) -> None:
        """Each leads where the table says, or nowhere, and from there it can be stopped."""
        for state in State:
            for event in Event:
                supervisor = self.started_in(state)
                if state is State.CLEARING and event in {Event.RETRY, Event.PARK}:
                    # The policy decides between these; the instance is gone by then.
                    supervisor._verdict = supervisor._policy.failed(0.0)
                if event is Event.DUE and supervisor._wait is not None:
                    self.clock.advance(supervisor._wait.getTime() - self.clock.seconds())
                else:
                    supervisor._happened(event)
                expected = TRANSITIONS.get((state, event), (state, None))[0]
                self.assertIs(supervisor.state, expected, (state, event))
                stopped = supervisor.stopService()
                self.clock.advance(2)
                self.successResultOf(stopped)
                self.assertIs(supervisor.state, State.STOPPED, (state, event))
                self.assertEqual(self.clock.getDelayedCalls(), [], (state, event))
                self.forget()

    def test_stop_in_every_state(self) -> None:
        """A stop ends within the module's time for it, whatever is under way, twice too."""
        for state in State:
            supervisor = self.started_in(state)
            instances = len(self.modules)
            stopped = [supervisor.stopService(), supervisor.stopService()]
            self.clock.advance(2)
            for each in stopped:
                self.successResultOf(each)
            self.assertIs(supervisor.state, State.STOPPED, state)
            self.clock.advance(10_000)
            self.assertEqual((len(self.modules), supervisor.state), (instances, State.STOPPED))

    def test_start_in_every_state(self) -> None:
        """A second start never makes a second instance beside the first."""
        for state in State:
            supervisor = self.started_in(state)
            instances = len(self.modules)
            supervisor.startService()
            made = len(self.modules) - instances
            self.assertEqual(made, 1 if state is State.NEW else 0, state)
            self.end(supervisor)

    def test_settled_in_every_state(self) -> None:
        """Only a first start that is not over keeps someone waiting, and a stop ends that."""
        for state in State:
            supervisor = self.started_in(state)
            settled = supervisor.first_start()
            if state in {State.NEW, State.STARTING}:
                self.assertNoResult(settled)
            supervisor.stopService()
            self.successResultOf(settled)
            self.clock.advance(2)

    def test_instance_is_stopped_once(self) -> None:
        """An instance is stopped exactly once, however it ends."""
        for state in (State.STARTING, State.RUNNING, State.CLEARING, State.BACKING_OFF):
            supervisor = self.started_in(state)
            module = self.modules[-1]
            self.end(supervisor)
            self.assertEqual((module.started, module.stopped), (1, 1), state)


class RestartTests(SupervisorCase):
    """What a user sees of a module that fails."""

    def test_a_new_instance(self) -> None:
        """A failed module is replaced by a new one, after the wait; reported down and up."""
        supervisor = self.start(FakeModule(start=BROKEN), FakeModule())
        self.clock.advance(0.9)
        self.assertEqual(len(self.modules), 1)
        self.clock.advance(0.1)
        self.assertEqual((len(self.modules), supervisor.state), (2, State.RUNNING))
        self.assertEqual(self.logged(), ["Error in start: ValueError('broken')"])
        self.assertEqual(self.logged("warn"), ["Restart 1 in 1.0 s."])
        self.assertEqual(self.logged("info"), ["Started again, restart 1."])
        self.assertEqual(self.counters.restarts, 1)

    def test_parked(self) -> None:
        """After the limit it is parked and said so; later tried again, and parked at once."""
        supervisor = self.start(FakeModule(start=BROKEN))
        self.clock.pump([1, 2, 4])
        self.assertIs(supervisor.state, State.PARKED)
        self.assertIn("Parked after too many restarts; next attempt in 600 s.", self.logged())
        self.assertEqual((len(self.modules), self.counters.restarts), (4, 3))
        self.clock.advance(599)
        self.assertEqual(len(self.modules), 4)
        self.clock.advance(1)
        self.assertEqual((len(self.modules), supervisor.state), (5, State.PARKED))
        self.assertEqual(self.logged().count(self.logged()[-1]), 2)

    def test_comes_back_from_parking(self) -> None:
        """A parked module whose trouble is over runs again."""
        supervisor = self.start(
            FakeModule(start=BROKEN), FakeModule(start=BROKEN), FakeModule(), limit=1
        )
        self.clock.advance(1)
        self.assertIs(supervisor.state, State.PARKED)
        self.clock.advance(600)
        self.assertIs(supervisor.state, State.RUNNING)
        self.assertEqual(self.logged("info"), ["Started again, restart 2."])

    def test_healthy_time_forgets(self) -> None:
        """Failures that are further apart than the window never park it."""
        supervisor = self.start(*[FakeModule() for _ in range(20)])
        for module in range(15):
            self.modules[module].context.fail(ValueError("now and then"))
            self.clock.pump([0, 1, 300])
            self.assertIs(supervisor.state, State.RUNNING, module)
        self.assertEqual(self.counters.restarts, 15)

    def test_no_limit(self) -> None:
        """With a limit of 0 it is restarted without end."""
        supervisor = self.start(FakeModule(start=BROKEN), limit=0)
        for _ in range(50):
            self.clock.advance(60)
        self.assertIs(supervisor.state, State.BACKING_OFF)
        self.assertGreater(len(self.modules), 45)

    def test_states_are_told(self) -> None:
        """Whoever decides over the process hears of each state that lasts, and of the end."""
        supervisor = self.start(FakeModule(start=BROKEN), FakeModule(start=BROKEN), limit=1)
        self.clock.advance(1)
        self.end(supervisor)
        self.assertEqual(
            self.states,
            [State.CLEARING, State.BACKING_OFF, State.CLEARING, State.PARKED, State.STOPPED],
        )

    def test_told_before_the_instance_is_stopped(self) -> None:
        """Whoever reads messages for the module ends that first: no one looks at them any more."""
        logged: list[list[State]] = []
        module = FakeModule(stop=lambda _context: logged.append(list(self.states)))
        self.start(module)
        module.context.fail(ValueError("now and then"))
        self.clock.advance(0)
        self.assertEqual(logged, [[State.RUNNING, State.CLEARING]])
        logged.clear()
        supervisor = self.start(FakeModule(stop=module.stop))
        supervisor.stopService()
        self.assertEqual(logged[0][-1], State.STOPPING)

    def test_nothing_of_the_old_instance(self) -> None:
        """When the next instance starts, what the former had is cancelled."""

        def start(context: Any) -> None:
            context.later(1000, list)
            context.every(1000, list, now=False)

        def started_on_clean_ground(_context: Any) -> None:
            seen.append(len(self.clock.getDelayedCalls()))

        seen: list[int] = []
        self.start(FakeModule(start=start), FakeModule(start=started_on_clean_ground))
        self.modules[0].context.fail(ValueError("x"))
        self.clock.pump([0, 1])
        self.assertEqual(seen, [0])

    def test_stop_from_on_state(self) -> None:
        """Whoever hears of a state may stop the supervisor there."""
        for first in State:
            supervisor = self.make(FakeModule(start=BROKEN), limit=1)

            def stop(logged: Supervisor, first: State = first) -> None:
                if logged.state is first:
                    logged.stopService()

            supervisor._on_state = stop
            supervisor.startService()
            self.clock.advance(1)
            self.end(supervisor)
            self.assertEqual(self.clock.getDelayedCalls(), [])


ways = st.sampled_from(["well", "raises", "later", "never", "fails later", "says so", "cancels"])


class AnyHistoryTests(SupervisorCase):
    """Modules that do anything, at any time."""

    def way(self, way: str) -> Callable[[Any], Any]:
        def act(context: Any) -> Any:
            if way == "raises":
                raise SystemExit(1)
            if way == "says so":
                context.fail(ValueError("x"))
            work: Deferred[Any] = Deferred()
            if way == "later":
                self.clock.callLater(1.5, work.callback, None)
            if way == "fails later":
                self.clock.callLater(1.5, work.errback, ValueError("x"))
            if way == "cancels":
                work.cancel()
            return None if way in {"well", "says so"} else work

        return act

    @settings(max_examples=200)
    @given(
        lives=st.lists(st.tuples(ways, ways), min_size=1, max_size=6),
        limit=st.integers(0, 3),
        turns=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0, 31.0, 600.0]), max_size=20),
    )
    def test_can_always_be_stopped(
        self, lives: list[tuple[str, str]], limit: int, turns: list[float]
    ) -> None:
        """At any moment: at most one instance lives, and a stop ends within its time."""
        self.modules.clear()
        modules = [FakeModule(self.way(start), self.way(stop)) for start, stop in lives]
        supervisor = self.start(*modules, lambda _context: FakeModule(), limit=limit)
        for turn_s in turns:
            self.clock.advance(turn_s)
            living = [each for each in self.modules if not each.stopped]
            self.assertLessEqual(len(living), 1)
        stopped = supervisor.stopService()
        self.clock.advance(2)
        self.successResultOf(stopped)
        self.assertIs(supervisor.state, State.STOPPED)
        self.assertEqual([each.stopped for each in self.modules], [1] * len(self.modules))
        self.clock.advance(2)  # what represents the modules' own work
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.forget()
