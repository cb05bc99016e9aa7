"""The simulation's checks of connections find the violations that they are for."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.transports.mqtt.inflow import ENDING
from tests.simulation.links import Links


class LinksTests(SynchronousTestCase):
    """What may never be so is seen after the turn in which it is."""

    def setUp(self) -> None:
        self.violations: list[str] = []
        self.links = Links(self.violations.append)
        self.gate = SimpleNamespace(active=False, _leaves=False)
        self.inflow = SimpleNamespace(
            announcement_gate=self.gate, waits=False, _reasons=set(), _held=True, _closed=False
        )
        self.link = _Key(
            alive=True,
            lost=None,
            inflow=self.inflow,
            _pings=deque(),
            _ticks=SimpleNamespace(_call=1),
            _said_goodbye=False,
        )
        self.last = SimpleNamespace(passed=SimpleNamespace(called=False))
        self.subscriber = SimpleNamespace(
            _unanswered={}, _suspects=SimpleNamespace(allows=lambda _name: True)
        )
        self.connection: Any = _Key(
            _link=self.link,
            _last_reads=SimpleNamespace(_last=self.last),
            _pause_reasons=set(),
            _subscriber=self.subscriber,
            _table=SimpleNamespace(learned=lambda: {"learned"}),
        )
        self.kept = (self.connection,)
        self.connections = SimpleNamespace(
            all=lambda: self.kept,
            named=lambda: [("a", self.connection)],
            _running={"a"},
            _parked=set(),
            _pause_reasons=set(),
            _ending={},
        )
        self.agent: Any = SimpleNamespace(
            stopping=False, supervisors=[], _parts=SimpleNamespace(connections=self.connections)
        )

    def look(self) -> list[str]:
        """Look, and return what was wrong so far."""
        self.links.look(self.agent)
        return self.violations

    def test_pings(self) -> None:
        """The first answer is for the first ping."""
        barrier = object()
        for before, now, wrong in (
            ([None, barrier], [barrier], 0),
            ([None, barrier], [], 0),
            ([None, barrier], [None], 1),
            ([barrier, None], [None], 0),
            ([barrier, None], [barrier], 1),
        ):
            self.setUp()
            self.link._pings.extend(before)
            self.look()
            self.link._pings = deque(now)
            self.assertEqual(len(self.look()), wrong, (before, now))

    def test_a_ping_more(self) -> None:
        """One that is sent in the same turn is none of those before it."""
        self.link._pings.extend((None, object()))
        self.look()
        self.link._pings = deque((None,))
        self.link._ticks._call = 2
        self.assertEqual(self.look(), [])

    def test_gate(self) -> None:
        """What a stop leaves waits until the end, what a lost connection brought does not wait."""
        self.gate.active = self.gate._leaves = True
        self.assertEqual(self.look(), [])
        self.gate.active = False
        self.assertEqual(len(self.look()), 1)
        self.gate.active, self.gate._leaves, self.link.lost = True, False, object()
        self.assertEqual(len(self.look()), 2)

    def test_learned(self) -> None:
        """Learned filters wait for announcements, others do not."""
        self.gate.active = True
        self.look()
        self.subscriber._unanswered[1] = ["other"]
        self.assertEqual(self.look(), [])
        self.subscriber._unanswered[2] = ["learned"]
        self.assertEqual(len(self.look()), 1)

    def test_a_reload_that_does_not_wait(self) -> None:
        """A reload waits for what the connections bring that it ends."""
        self.links.reload_begins(self.agent)
        self.kept = ()
        self.assertEqual(self.look(), [])
        self.setUp()
        self.links.reload_begins(self.agent)
        self.connection._last_reads._last, self.kept = None, ()
        self.assertEqual(len(self.look()), 1)

    def test_what_was_read(self) -> None:
        """What was read is handed on before a connection ends, and not after that."""
        for stopping in (False, True):
            self.setUp()
            self.inflow.waits = True
            self.agent.stopping, self.connections._ending = stopping, {self.connection: True}
            self.links.reload_begins(self.agent)
            self.look()
            self.connections._pause_reasons.add("stop")
            self.kept = () if not stopping else self.kept
            self.assertEqual(len(self.look()), 1)
        self.setUp()
        self.links.reload_begins(self.agent)
        self.inflow._held, self.kept = False, ()
        self.assertIn("is not handed on", self.look()[0])

    def test_a_wait_without_reading(self) -> None:
        """A connection is read while it is waited for what it brings."""
        self.connections._ending = {self.connection: True}
        self.assertEqual(self.look(), [])
        self.connections._ending = {self.connection: True}
        self.connection._pause_reasons.add(ENDING)
        self.assertEqual(len(self.look()), 1)

    def test_running(self) -> None:
        """A module that stops in a reload does not count as running."""
        self.links.reload_begins(self.agent)
        self.connections._pause_reasons.add("reload")
        self.assertEqual(len(self.look()), 1)


class _Key(SimpleNamespace):
    """What can be a key."""

    __hash__ = object.__hash__
