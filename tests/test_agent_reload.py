"""The agent: reading its configuration again, and replacing all modules."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from metrics_agent.errors import ConfigError
from metrics_agent.supervision.lifecycle import State
from tests.agent_case import FAULT, AgentCase
from tests.supervision.fakes import FAULTS, raiser
from tests.supervision.supervised import FakeModule


class ReloadTests(AgentCase):
    """What a reload does."""

    def instances(self) -> dict[str, int]:
        return {name: len(modules) for name, modules in self.modules.items()}

    def test_order(self) -> None:
        """Stop reading, stop all modules, connections, start all, read again."""
        self.lives["a"] = lambda: FakeModule(
            start=lambda _context: self.seen.append("start"),
            stop=lambda _context: self.seen.append("stop"),
        )
        agent = self.started("a")
        del self.seen[:]
        agent.request_reload()
        self.assertEqual(
            self.seen,
            [
                "deliveries of what ends",
                "pause reload",
                "read for none",
                "stop",
                "reconcile",
                "start",
                "read for a",
                "resume reload",
            ],
        )
        self.assertEqual((agent.reloads, self.instances()), (1, {"a": 2}))
        self.assertIn(
            "Reloaded agent.toml: modules a restarted in 0 ms. Modules: 1 unchanged.",
            self.logged("info"),
        )

    def test_a_stop_while_what_ends_is_settled(self) -> None:
        """Nothing is put into force any more."""
        agent = self.started("a")
        settled: Deferred[None] = Deferred()
        self.connections.on_handle = lambda _timeout_s: settled
        agent.request_reload()
        self.assertNotIn("pause reload", self.seen[-2:])
        agent.request_stop("test")
        self.connections.on_handle = type(self.connections)(self.seen).on_handle
        settled.callback(None)
        self.assertEqual((agent.reloads, len(self.modules["a"])), (0, 1))

    def test_other_modules(self) -> None:
        """What is new is started, what is gone is stopped."""
        agent = self.started("a", "b")
        self.loads = [self.config("b", "c", log_level="debug")]
        agent.request_reload()
        self.assertEqual(self.alive(), ["b", "c"])
        self.assertEqual([each.module_name for each in agent.supervisors], ["b", "c"])
        self.assertEqual(self.configured[-1].config.settings.log_level, "debug")
        self.assertIs(agent.plan, self.configured[-1])
        self.assertIn(
            "Modules: c added, a removed, 1 unchanged. Global settings changed: log_level.",
            self.logged("info")[-1],
        )
        report = agent.last_reload
        self.assertEqual(report and report.modules.added, ("c",))

    def test_nothing_enabled(self) -> None:
        """A reload that leaves nothing to do says so, and the agent stays."""
        agent = self.started("a")
        self.loads = [self.config()]
        agent.request_reload()
        self.assertIn("No module is enabled", self.logged("warn")[0])
        self.assertEqual((self.alive(), self.clock.stops), ([], 0))

    def test_a_parked_module(self) -> None:
        """A module that gave up is tried again, with a clean record."""
        self.lives["a"] = lambda: FakeModule(start=raiser(ValueError("x")))
        agent = self.started("a", "b")
        self.clock.advance(1)
        self.lives["a"] = FakeModule
        agent.request_reload()
        self.assertEqual({each.state for each in agent.supervisors}, {State.RUNNING})

    def test_all_parked_and_one_new(self) -> None:
        """What the old modules were does not count in deciding over the new ones."""
        self.lives["a"] = lambda: FakeModule(start=raiser(ValueError("x")))
        agent = self.started("a", "b")
        self.clock.advance(1)
        self.loads = [self.config("a")]
        agent.request_reload()
        self.assertEqual(self.clock.stops, 0)
        self.clock.advance(1)
        self.assertEqual((self.clock.stops, int(self.exit.code)), (1, 1))

    def test_systemd_is_told(self) -> None:
        """That it reloads, and that it is ready again, also after a failure."""
        agent = self.started("a")
        for load in (self.config("a"), ConfigError([FAULT]), SystemExit(1)):
            self.loads = [load]
            self.notifier.logged.clear()
            agent.request_reload()
            self.clock.advance(0.2)
            logged = [each for each in self.notifier.logged if not each.startswith("running")]
            self.assertEqual((logged[0], logged[-1], len(logged)), ("reloading", "ready", 2))


class RefusedTests(AgentCase):
    """Configurations that change nothing."""

    def refused(self, load: Any) -> str:
        """Reload that; check that nothing has changed; return what was reported."""
        agent = self.started("a")
        plan, before = agent.plan, self.modules["a"][-1]
        configured = len(self.configured)
        self.forget()
        del self.seen[:]
        self.loads = [load]
        agent.request_reload()
        self.assertEqual(self.seen, [])
        self.assertIs(agent.plan, plan)
        self.assertEqual((before.started, before.stopped, agent.reloads), (1, 0, 0))
        self.assertEqual(len(self.configured), configured)
        self.assertEqual(agent.rejected_reloads, 1)
        self.assertTrue(agent.last_reload and agent.last_reload.reasons)
        # The next one is taken.
        self.clock.advance(0.2)
        self.loads = [self.config("a")]
        agent.request_reload()
        self.assertEqual(agent.reloads, 1)
        return "\n".join(self.logged())

    def test_wrong_file(self) -> None:
        """A file that cannot be used: one line that says why."""
        self.assertEqual(
            self.refused(ConfigError([FAULT])),
            f"Reload rejected; keeping the current configuration: {FAULT}",
        )

    def test_wrong_module(self) -> None:
        """At a reload the fault of any enabled module counts: whoever made it is there."""
        self.assertIn(str(FAULT), self.refused(self.config("a", bad=("bad",))))

    def test_anything_raised(self) -> None:
        """Whatever reading it raises, for modules of others take part in it."""
        for kind in FAULTS:
            self.loads.clear()
            logged = self.refused(kind("why"))
            self.assertIn(f"Error in load: {kind.__name__}('why')", logged)
            self.assertIn("Reload rejected", logged)


class LatchTests(AgentCase):
    """Requests that come while one is at work."""

    def hang(self) -> Deferred[Any]:
        """Make the next reload wait for this in the middle."""
        work: Deferred[Any] = Deferred()
        self.connections.reconciled = lambda: work
        return work

    def go_on(self, work: Deferred[Any]) -> None:
        self.connections.reconciled = type(self.connections)(self.seen).reconciled
        work.callback(None)

    def test_any_number_is_one_more(self) -> None:
        """All that come meanwhile are one more, which begins after the one under way."""
        agent = self.started("a")
        work = self.hang()
        agent.request_reload()
        for _ in range(1000):
            agent.request_reload()
        self.assertEqual(agent.reloads, 0)
        self.go_on(work)
        self.assertEqual(agent.reloads, 1)
        for _ in range(20):
            self.clock.advance(0.2)
        self.assertEqual((agent.reloads, len(self.modules["a"])), (2, 3))
        self.assertEqual(self.connections.paused, [])

    def test_the_latest_file(self) -> None:
        """The one more reads the file that is there then."""
        agent = self.started("a")
        work = self.hang()
        agent.request_reload()
        agent.request_reload()
        self.loads = [self.config("b")]
        self.go_on(work)
        self.clock.advance(0.2)
        self.assertEqual(self.alive(), ["b"])

    def test_during_the_start(self) -> None:
        """A request during the start is not forgotten."""
        work = self.hang()
        agent = self.make_agent("a")
        agent.startService()
        agent.request_reload()
        self.go_on(work)
        for _ in range(5):
            self.clock.advance(0.2)
        self.assertEqual((agent.reloads, len(self.modules["a"])), (1, 2))

    def test_before_the_start(self) -> None:
        """A request before the start waits for it: two at a time would be one too many."""
        agent = self.make_agent("a")
        agent.request_reload()
        self.assertEqual(self.seen, [])
        agent.startService()
        self.assertEqual(self.alive(), ["a"])
        for _ in range(5):
            self.clock.advance(0.2)
        self.assertEqual((agent.reloads, len(self.modules["a"])), (1, 2))

    def test_storm(self) -> None:
        """However many come, modules have their time between two reloads, and it ends."""
        agent = self.started("a")
        for _ in range(100):
            agent.request_reload()
            self.clock.advance(0.01)
        self.assertLess(agent.reloads, 12)
        for _ in range(10):
            self.clock.advance(0.2)
        self.assertEqual(self.alive(), ["a"])

    def test_after_a_stop(self) -> None:
        """When it stops there is no reload any more."""
        agent = self.started("a")
        self.successResultOf(agent.stopService())
        del self.seen[:]
        agent.request_reload()
        self.assertEqual(self.seen, [])


class OvertakenTests(AgentCase):
    """A reload that another one overtakes while it waits for old modules."""

    def test_only_the_latest_plan_is_started(self) -> None:
        """When the old instance is gone, the module is started once, as the latest file has it."""
        gone: Deferred[Any] = Deferred()
        self.lives["a"] = lambda: FakeModule(stop=lambda _context: gone)
        agent = self.started("a")
        self.lives["a"] = FakeModule
        for level in ("info", "debug"):
            self.loads = [self.config("a", log_level=level)]
            agent.request_reload()
            self.clock.pump([0.1, 0.1, 0.1])
        self.assertEqual((agent.reloads, len(self.modules["a"])), (2, 1))
        gone.callback(None)
        self.assertEqual(len(self.modules["a"]), 2)
        self.assertEqual([each.module_name for each in agent.supervisors], ["a"])

    def test_a_module_that_the_latest_plan_has_not(self) -> None:
        """It is not started when its old instance is gone."""
        gone: Deferred[Any] = Deferred()
        self.lives["a"] = lambda: FakeModule(stop=lambda _context: gone)
        agent = self.started("a", "b")
        for names in (("a", "b"), ("b",)):
            self.loads = [self.config(*names)]
            agent.request_reload()
            self.clock.pump([0.1, 0.1, 0.1])
        gone.callback(None)
        self.assertEqual([each.module_name for each in agent.supervisors], ["b"])


class HostileTests(AgentCase):
    """Modules and connections that hang or fail in the middle of a reload."""

    def reload(self, agent: Any) -> None:
        agent.request_reload()
        for _ in range(40):
            self.clock.advance(0.1)
        self.assertEqual(agent.reloads, 1)
        self.assertNotIn("reload", self.connections.paused)

    def test_stop_never_ends(self) -> None:
        """A module that does not stop is let go; the others are replaced meanwhile."""
        self.lives["a"] = lambda: FakeModule(stop=lambda _context: Deferred())
        agent = self.started("a", "b")
        agent.request_reload()
        self.clock.advance(0.1)
        self.assertEqual((len(self.modules["b"]), self.connections.paused), (2, []))
        self.assertEqual(len(self.modules["a"]), 1)
        for _ in range(20):
            self.clock.advance(0.1)
        self.assertEqual(self.alive(), ["a", "b"])
        self.assertEqual(len(self.modules["a"]), 2)

    def test_gives_up_while_another_waits(self) -> None:
        """A module that waits for its former instance to be gone can still run: no end yet."""
        self.lives["a"] = lambda: FakeModule(stop=lambda _context: Deferred())
        agent = self.started("a", "b")
        self.lives["a"] = FakeModule
        self.lives["b"] = lambda: FakeModule(start=raiser(ValueError("x")))
        agent.request_reload()
        self.clock.pump([0.1, 1.0])
        self.assertEqual([each.state for each in agent.supervisors], [State.PARKED])
        self.clock.pump([0.5, 0.5])
        self.assertEqual((self.alive(), self.clock.stops), (["a"], 0))

    def test_every_fault(self) -> None:
        """Whatever stopping or starting raises, the others are replaced."""
        for kind in FAULTS:
            self.modules.clear()
            bad = raiser(kind("why"))
            self.lives["a"] = lambda bad=bad: FakeModule(stop=bad)
            agent = self.started("a", "b")
            self.lives["a"] = lambda bad=bad: FakeModule(start=bad)
            self.reload(agent)
            self.assertEqual(self.alive(), ["b"])
            self.assertEqual([each.stopped for each in self.modules["b"]], [1, 0])
            self.end(agent)

    def test_a_connection_that_ends_slowly(self) -> None:
        """It waits for the reader of the output, and no one waits for it for long."""
        agent = self.started("a")
        self.connections.reconciled = Deferred
        agent.request_reload()
        self.clock.advance(0.4)
        self.assertEqual((self.alive(), len(self.modules["a"])), (["a"], 2))
        self.assertNotIn("reload", self.connections.paused)

    def test_connections(self) -> None:
        """Connections that fail or hang cost their own modules' messages, nothing else."""
        for reconciled in (raiser(SystemExit(1)), Deferred):
            self.modules.clear()
            self.connections.reconciled = type(self.connections)(self.seen).reconciled
            agent = self.started("a")
            self.connections.reconciled = reconciled
            self.reload(agent)
            self.assertEqual(len(self.modules["a"]), 2)
            self.end(agent)
