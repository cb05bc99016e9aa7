"""What modules need is imported before any of them is at work."""

from __future__ import annotations

import sys
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent import agent as agent_module
from metrics_agent.module_kind import ModuleKind
from metrics_agent.preload import import_all, not_imported
from tests.agent_case import AgentCase
from tests.supervision.supervised import FakeModule

NAME = "metrics_agent_tests_needed"


class PreloadTests(SynchronousTestCase):
    """Names of Python modules."""

    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.patch(sys, "path", [str(directory), *sys.path])
        self.directory = directory
        self.addCleanup(sys.modules.pop, NAME, None)

    def test_those_that_are_there_are_left_alone(self) -> None:
        self.assertEqual(not_imported(["sys", NAME, NAME]), [NAME])

    def test_what_cannot_be_imported_does_not_keep_the_next_from_it(self) -> None:
        (self.directory / "metrics_agent_tests_exits.py").write_text("raise SystemExit(3)\n")
        (self.directory / f"{NAME}.py").write_text("")
        import_all(["metrics_agent_tests_exits", "metrics_agent_tests_none", NAME])
        self.assertEqual(not_imported([NAME]), [])


class AgentPreloadTests(AgentCase):
    """When the agent does it."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(agent_module, "import_all", lambda names: self.seen.append(("import", [*names])))
        self.lives["a"] = lambda: FakeModule(start=lambda _context: self.seen.append("start"))

    def kind(self, name: str) -> ModuleKind:
        return evolve(super().kind(name), needs=lambda _settings: (NAME,))

    def test_before_the_first_module_starts(self) -> None:
        self.started("a")
        logged = [each for each in self.seen if each == "start" or each[0] == "import"]
        self.assertEqual(logged, [("import", [NAME]), "start"])

    def test_in_a_thread_while_the_old_modules_run(self) -> None:
        agent = self.started("a")
        del self.seen[:]
        agent.request_reload()
        self.assertEqual((self.seen, self.alive()), ([], ["a"]))
        self.clock.threads.work()
        self.clock.advance(0)
        self.assertEqual(self.seen[0], ("import", [NAME]))
        self.assertEqual((agent.reloads, self.alive()), (1, ["a"]))

    def test_one_that_hangs_holds_up_the_reload_no_longer_than_10_s(self) -> None:
        agent = self.started("a")
        agent.request_reload()
        self.clock.advance(10)
        self.assertEqual((agent.reloads, self.alive()), (1, ["a"]))
