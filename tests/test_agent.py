"""The agent: starting, and deciding when the process can be of no more use."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Application, MultiService
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver

from metrics_agent.parts import Parts
from metrics_agent.supervision.lifecycle import State
from tests.agent_case import AgentCase
from tests.supervision.fakes import FAULTS, raiser
from tests.supervision.supervised import FakeModule


def broken() -> FakeModule:
    """Make a module that never starts."""
    return FakeModule(start=raiser(ValueError("broken")))


def slow() -> FakeModule:
    """Make a module whose start and stop never end."""
    return FakeModule(start=lambda _context: Deferred(), stop=lambda _context: Deferred())


class StartTests(AgentCase):
    """From nothing to running modules."""

    def test_order(self) -> None:
        """The output first, then connections, then modules; reading begins when they are there."""
        self.lives["a"] = lambda: FakeModule(start=lambda _context: self.seen.append("a starts"))
        agent = self.started("a", "b")
        self.assertEqual(
            self.seen,
            [
                "sink starts",
                "connections start",
                "imported",  # before there are modules: what is there then is never collected
                "pause reload",
                "reconcile",
                "a starts",
                "read for a",
                "read for a, b",
                "resume reload",
            ],
        )
        self.assertEqual(self.alive(), ["a", "b"])
        self.assertEqual([plan.config for plan in self.configured], [agent.plan.config])
        self.assertIn(f"Started with modules a, b ({agent.plan.config.path}).", self.logged("info"))
        self.assertEqual((self.logged(), agent.reloads), ([], 0))

    def test_configured_before_modules(self) -> None:
        """The global settings are in force before the first module is made."""
        self.on_configure = lambda: self.assertEqual(self.modules, {})
        self.started("a")
        self.assertEqual(len(self.configured), 1)
        self.assertEqual(self.counters.errors, {})

    def test_wrong_settings(self) -> None:
        """A module with wrong settings is reported, the others run."""
        self.started("a", bad=("bad",))
        self.assertEqual(self.alive(), ["a"])
        self.assertEqual(len(self.logged()), 1)
        self.assertIn("Module bad not started, invalid settings", self.logged()[0])

    def test_nothing_enabled(self) -> None:
        """Nothing to do is one warning that lists the modules, and no end."""
        self.started()
        self.assertEqual(len(self.logged("warn")), 1)
        self.assertIn("No module is enabled in agent.toml", self.logged("warn")[0])
        self.assertIn("tasmota", self.logged("warn")[0])
        self.assertEqual(self.clock.stops, 0)

    def test_slow_module(self) -> None:
        """A module that takes its time does not keep the others from their messages."""
        self.lives["a"] = slow
        self.started("a", "b")
        self.assertEqual((self.connections.paused, self.alive()), ([], ["a", "b"]))

    def test_failing_modules(self) -> None:
        """So for a module that fails in whatever way."""
        for number, kind in enumerate(FAULTS):
            self.lives[f"m{number}"] = lambda kind=kind: FakeModule(start=raiser(kind("why")))
        agent = self.started("good", *self.lives)
        self.assertEqual(self.alive(), ["good"])
        self.assertEqual(next(each.state for each in agent.supervisors), State.RUNNING)

    def test_supervisor_cannot_be_made(self) -> None:
        """A fault of our own in one module's supervisor costs that module."""
        make = self.make_supervisor

        def make_supervisor(module: Any, *args: Any) -> Any:
            if module.name == "a":
                raise MemoryError
            return make(module, *args)

        self.make_supervisor = make_supervisor  # type: ignore[method-assign]
        self.started("a", "b")
        self.assertEqual((self.alive(), self.counters.errors), (["b"], {"supervisor": 1}))

    def test_configure_raises(self) -> None:
        """Settings that cannot be put into force do not keep the modules from running."""
        self.on_configure = raiser(ValueError("x"))
        self.started("a")
        self.assertEqual((self.alive(), self.counters.errors), (["a"], {"configure": 1}))

    def test_connections_fail(self) -> None:
        """Connections that cannot be made, or hang, do not keep the other modules from running."""
        for reconciled in (raiser(ValueError("x")), Deferred):
            self.modules.clear()
            self.connections.reconciled = reconciled
            self.started("a")
            self.clock.advance(5)
            self.assertEqual((self.alive(), self.connections.paused), (["a"], []))

    def test_output_cannot_be_opened(self) -> None:
        """Without an output there is no use in running: one line, an orderly end, and 1."""
        self.sink.on_start = raiser(OSError("no descriptors"))
        agent = self.started("a")
        self.assertEqual((self.clock.stops, int(self.exit.code)), (1, 1))
        self.assertIn("OSError('no descriptors')", "\n".join(self.logged()))
        self.end(agent)

    def test_a_part_cannot_be_started(self) -> None:
        """A part that cannot be started, for lack of a thread or so, is reported; the rest runs."""

        class Broken(MultiService):
            def startService(self) -> None:
                raise RuntimeError("can't start new thread")

        agent = self.make_agent("a")
        Broken().setServiceParent(agent)
        agent.startService()
        self.clock.advance(1)
        self.assertEqual(self.alive(), ["a"])
        self.assertEqual(len(self.logged()), 1)

    def test_systemd_is_told(self) -> None:
        """Ready when the modules were started, and how they are."""
        self.lives["b"] = broken
        self.started("a", "b", bad=("c",))
        self.assertEqual(self.notifier.logged[-1], "ready")
        self.assertEqual(self.notifier.logged[-2], "running: a; backing_off: b; wrong settings: c")


class GiveUpTests(AgentCase):
    """When modules are parked."""

    def failing(self, *names: str) -> None:
        for name in names:
            self.lives[name] = broken

    def test_others_run_on(self) -> None:
        """One that gave up is not a reason to end."""
        self.failing("a")
        agent = self.started("a", "b")
        self.clock.advance(1)
        self.assertIs(agent.supervisors[0].state, State.PARKED)
        self.assertEqual((self.clock.stops, self.alive()), (0, ["b"]))

    def test_all_gave_up(self) -> None:
        """With the last one it stops in order and ends with 1."""
        self.failing("a", "b")
        self.started("a", "b")
        self.clock.advance(0.5)
        self.assertEqual(self.clock.stops, 0)
        self.clock.advance(0.5)
        self.assertEqual((self.clock.stops, int(self.exit.code)), (1, 1))
        self.assertIn("Stopping: no enabled module can run any more.", self.logged("info"))

    def test_a_wrong_one_does_not_count(self) -> None:
        """A module with wrong settings cannot run either."""
        self.failing("a")
        self.started("a", bad=("bad",))
        self.clock.advance(1)
        self.assertEqual(int(self.exit.code), 1)

    def test_one_that_is_tried_again_counts(self) -> None:
        """While a parked one is tried again another may give up without an end."""
        self.lives["a"] = broken
        agent = self.started("a", "b")
        self.clock.advance(1)
        self.lives["a"] = slow
        self.lives["b"] = broken
        self.clock.advance(600)
        self.assertIs(agent.supervisors[0].state, State.STARTING)
        for _ in range(2):
            self.modules["b"][-1].context.fail(ValueError("x"))
            self.clock.pump([0, 1, 1])
        self.assertIs(agent.supervisors[1].state, State.PARKED)
        self.assertEqual(self.clock.stops, 0)
        self.clock.pump([30, 2])
        self.assertEqual((self.clock.stops, int(self.exit.code)), (1, 1))

    def test_on_give_up_exit(self) -> None:
        """With on_give_up = "exit" the first one that gives up ends it, with 1."""
        self.failing("a")
        self.started("a", "b", on_give_up="exit")
        self.clock.advance(1)
        self.assertEqual((self.clock.stops, int(self.exit.code)), (1, 1))
        self.assertIn("Stopping: module a gave up and on_give_up is exit.", self.logged("info"))

    def test_healthy_modules_are_stopped_in_order(self) -> None:
        """What they have is written: modules first, then the drain, then the output closes."""
        self.lives["b"] = lambda: FakeModule(stop=lambda _context: self.seen.append("b stops"))
        self.failing("a")
        agent = self.started("a", "b", on_give_up="exit")
        self.clock.advance(1)
        del self.seen[:]
        self.successResultOf(agent.stopService())
        steps = [each for each in self.seen if not each.startswith(("pause", "re"))]
        self.assertEqual(
            steps, ["deliveries", "b stops", "drain", "connections stop", "sink stops"]
        )

    def test_no_restart_limit(self) -> None:
        """With a limit of 0 nothing ever gives up."""
        self.limit = 0
        self.failing("a")
        self.started("a")
        for _ in range(100):
            self.clock.advance(60)
        self.assertEqual(self.clock.stops, 0)

    def test_deciding_fails(self) -> None:
        """A fault of our own while deciding is reported, and costs no module its life."""
        work: Deferred[Any] = Deferred()
        self.lives["a"] = lambda: FakeModule(start=lambda _context: work)
        self.notifier.status = raiser(RecursionError("deep"))  # type: ignore[method-assign]
        self.connections.on_follow = raiser(RecursionError("deeper"))
        agent = self.started("a")
        settled = agent.supervisors[0].first_start()
        work.callback(None)
        self.successResultOf(settled)
        self.assertEqual(self.alive(), ["a"])
        self.assertEqual(
            self.logged()[-2:],
            [
                "Error in connections: RecursionError('deeper')",
                "Error in state: RecursionError('deep')",
            ],
        )


class ReadingTests(AgentCase):
    """For which modules messages are read."""

    def test_only_while_it_runs(self) -> None:
        """Not while it starts, is stopped, waits for its restart, or has given up."""
        work: Deferred[Any] = Deferred()
        self.lives["a"] = lambda: FakeModule(start=lambda _context: work)
        self.started("a", "b")
        self.assertEqual(self.connections.running, {"b"})
        work.callback(None)
        self.assertEqual(self.connections.running, {"a", "b"})
        gone: Deferred[Any] = Deferred()
        self.modules["a"][0].stop = lambda _context: gone
        self.modules["a"][0].context.fail(ValueError("now and then"))
        self.clock.advance(0)
        self.assertEqual(self.connections.running, {"b"})
        gone.callback(None)
        self.assertEqual((self.connections.running, self.connections.parked), ({"b"}, set()))
        self.lives["a"] = broken
        self.clock.advance(1)
        self.assertEqual((self.connections.running, self.connections.parked), ({"b"}, {"a"}))
        self.lives["a"] = FakeModule
        self.clock.advance(600)
        self.assertEqual((self.connections.running, self.connections.parked), ({"a", "b"}, set()))

    def test_the_latest_instance_counts(self) -> None:
        """What the old instance of a reload still does is no matter to the new one."""
        agent = self.started("a")
        gone: Deferred[Any] = Deferred()
        self.modules["a"][0].stop = lambda _context: gone
        agent.request_reload()
        self.clock.advance(0.1)
        self.assertEqual(self.connections.running, set())
        gone.callback(None)
        self.assertEqual(self.connections.running, {"a"})


class TwistdTests(AgentCase):
    """Under twistd."""

    def test_observer(self) -> None:
        """An application logs with our observer: by itself twistd logs to stdout."""
        observer: Any = self.events.append
        agent = self.make_agent("a")
        agent._parts = Parts(
            **{
                name: getattr(agent._parts, name)
                for name in Parts.__annotations__
                if name != "observer"
            },
            observer=observer,
        )
        application = Application("test")
        agent.setServiceParent(application)  # as twistd does
        self.assertIs(application.getComponent(ILogObserver), observer)

    def test_no_observer(self) -> None:
        """Where twistd shall log elsewhere it is left alone."""
        application = Application("test")
        self.make_agent("a").setServiceParent(application)
        self.assertIsNone(application.getComponent(ILogObserver, None))

    def test_parent_that_is_no_application(self) -> None:
        """Any other parent will do."""
        self.make_agent("a").setServiceParent(MultiService())
