"""The supervisors of all modules: never two instances of one name at a time."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from metrics_agent.supervision.group import ModuleGroup
from metrics_agent.supervision.lifecycle import State
from metrics_agent.supervision.supervisor import Supervisor
from tests.supervision.fakes import FAULTS, raiser
from tests.supervision.supervised import FakeModule, SupervisorCase


def hangs(_context: Any) -> Deferred[Any]:
    """Never end."""
    return Deferred()


class GroupTests(SupervisorCase):
    """With real supervisors."""

    def setUp(self) -> None:
        super().setUp()
        self.group = ModuleGroup(self.guard)
        self.group.startService()
        self.wanted = True

    def add(self, *names: str, module: Any = None) -> None:
        for name in names:
            self.group.start_when_gone(name, lambda name=name: self.named(name, module), self.ask)

    def ask(self) -> bool:
        return self.wanted

    def named(self, name: str, module: Any) -> Supervisor:
        supervisor = self.make(module or FakeModule())
        supervisor.module_name = name
        return supervisor

    def names(self) -> list[str]:
        return [each.module_name for each in self.group.supervisors]

    def test_start(self) -> None:
        """Each is started as it is added, in the order of the file."""
        self.add("b", "a")
        self.assertEqual(self.names(), ["b", "a"])
        self.assertEqual({each.state for each in self.group.supervisors}, {State.RUNNING})

    def test_stop(self) -> None:
        """All are asked to stop at once; it is over when the last is gone."""
        work: Deferred[Any] = Deferred()
        self.add("a", module=FakeModule(stop=lambda _context: work))
        self.add("b")
        stopped = self.group.stop_all()
        self.assertEqual((self.names(), self.modules[1].stopped), ([], 1))
        self.assertNoResult(stopped)
        work.callback(None)
        self.successResultOf(stopped)
        self.successResultOf(self.group.stop_all())

    def test_abandon(self) -> None:
        """Those that have not stopped are abandoned, and no others."""
        self.add("a", "b", module=FakeModule(stop=hangs))
        self.add("c")
        stopped = self.group.stop_all()
        self.add("c")
        self.clock.advance(1)
        self.group.abandon()
        self.successResultOf(stopped)
        self.group.abandon()
        self.clock.advance(5)
        self.assertEqual(self.logged("warn"), ["Did not stop within 1 s; abandoned."] * 2)
        self.assertEqual(self.names(), ["c"])

    def test_next_one_waits(self) -> None:
        """The next of a name starts when the last is gone; others do not wait for it."""
        self.add("a", module=FakeModule(stop=hangs))
        self.group.stop_all()
        self.add("a", "b")
        self.assertEqual(self.names(), ["b"])
        self.clock.advance(2)
        self.assertEqual(self.names(), ["b", "a"])

    def test_an_earlier_start_is_overtaken(self) -> None:
        """One that waits for the last of its name does not start after another stop of all."""
        self.add("a", module=FakeModule(stop=hangs))
        self.group.stop_all()
        self.add("a")
        self.group.stop_all()
        self.clock.advance(2)
        self.assertEqual(self.names(), [])
        self.add("a")
        self.assertEqual(self.names(), ["a"])

    def test_not_wanted_any_more(self) -> None:
        """When it is time it may not be wanted any more."""
        self.add("a", module=FakeModule(stop=hangs))
        self.group.stop_all()
        self.add("a")
        self.wanted = False
        self.clock.advance(2)
        self.assertEqual(self.names(), [])

    def test_stop_while_one_waits(self) -> None:
        """A stop waits for those that are leaving since an earlier one too."""
        self.add("a", module=FakeModule(stop=hangs))
        self.group.stop_all()
        again = self.group.stop_all()
        self.assertNoResult(again)
        self.clock.advance(2)
        self.successResultOf(again)

    def test_maker_fails(self) -> None:
        """One that cannot be made costs the others nothing."""
        for kind in FAULTS:
            self.group.start_when_gone("a", raiser(kind("why")), self.ask)
        self.add("b")
        self.assertEqual((self.names(), self.counters.errors), (["b"], {"supervisor": 6}))

    def test_settled(self) -> None:
        """Settled when the first start of each went through or failed."""
        work: Deferred[Any] = Deferred()
        self.add("a", module=FakeModule(start=lambda _context: work))
        self.add("b", module=FakeModule(start=raiser(ValueError("x"))))
        settled = self.group.first_starts()
        self.assertNoResult(settled)
        work.callback(None)
        self.successResultOf(settled)

    def test_nothing(self) -> None:
        """Without modules everything is over at once."""
        self.successResultOf(self.group.stop_all())
        self.successResultOf(self.group.first_starts())
