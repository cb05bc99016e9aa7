"""The simulation's checks of what is read find the violations that they are for."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.supervision.lifecycle import State
from tests.simulation.reading import Reading


class ReadingTests(SynchronousTestCase):
    """What a connection has brought is handled before the next one."""

    def check(
        self,
        *reads: bytes,
        state: State = State.RUNNING,
        refused: Collection[str] = (),
        pending: Collection[str] = (),
        wanted: Collection[str] = (),
    ) -> list[str]:
        """Return what is wrong when a link with some unhandled reads gives way to another."""
        inflow = SimpleNamespace(
            _reads=reads, _frames=[], announcement_gate=SimpleNamespace(_frames=[]), reading=False
        )
        connection = SimpleNamespace(
            _link=SimpleNamespace(alive=True, inflow=inflow),
            _subscriber=SimpleNamespace(
                _to_retry=refused,
                _retries=0,
                _granted=(),
                _refused=refused,
                _suspects=SimpleNamespace(allows=lambda _name: True),
                pending_any=lambda names: not set(names).isdisjoint(pending),
            ),
            _table=SimpleNamespace(wanted=lambda: wanted),
            _resubscribes=SimpleNamespace(active=False),
            _awaits_announcements=False,
        )
        connections = SimpleNamespace(named=lambda: [("numbered:a", connection)])
        parts = SimpleNamespace(sink=SimpleNamespace(_pressed=False), connections=connections)
        supervisors = [SimpleNamespace(module_name="numbered:a", state=state)]
        agent: Any = SimpleNamespace(stopping=False, supervisors=supervisors, _parts=parts)
        violations: list[str] = []
        reading = Reading(violations.append)
        for link in (connection._link, None):
            connection._link = link
            for _ in range(16):
                reading.look(agent)
        return violations

    def test_what_is_left(self) -> None:
        """A link ends when all that it brought is handled."""
        self.assertEqual(self.check(), [])
        self.assertEqual(len(self.check(b"read")), 1)

    def test_parked(self) -> None:
        """A module that is parked has no connection."""
        self.assertIn("numbered:a is parked and has a connection", self.check(state=State.PARKED))
        self.assertEqual(self.check(state=State.BACKING_OFF), [])

    def test_refused(self) -> None:
        """A filter that was refused is asked for again, after a time."""
        self.assertIn("does not ask again for a/#", self.check(refused=["a/#"])[0])

    def test_not_subscribed(self) -> None:
        """What a module wants is granted, refused, or asked for."""
        self.assertEqual(self.check(wanted=["a/#"], pending=["a/#"]), [])
        self.assertIn("does not subscribe to a/#", self.check(wanted=["a/#"], pending=["b/#"])[0])

    def test_a_wait_that_runs_out(self) -> None:
        """The wait for announcements ends only while messages are read, or begins again."""
        violations: list[str] = []
        reading = Reading(violations.append)
        clock = Clock()
        clock.advance(5.0)
        gate = SimpleNamespace(_paused=True, _paused_at_s=1.0, active=True, _reactor=clock)

        def look(*, active: bool, paused_at_s: float = 1.0) -> None:
            waits, reading._waits = reading._waits, {}
            gate.active, gate._paused_at_s = active, paused_at_s
            reading._check_wait("tasmota", gate, waits)

        look(active=True)
        look(active=False, paused_at_s=2.0)
        look(active=True)
        look(active=True)
        self.assertEqual(violations, [])
        look(active=False)
        self.assertEqual(len(violations), 1)
        # One that began just now may be over, and another one have begun at the same moment.
        look(active=True, paused_at_s=5.0)
        look(active=False, paused_at_s=5.0)
        self.assertEqual(len(violations), 1)

    def test_a_stop_that_does_not_read(self) -> None:
        """A full output keeps no stop from reading, once a reload is over."""
        violations: list[str] = []
        reading = Reading(violations.append)
        reasons = {"stop"}
        connection = SimpleNamespace(_pause_reasons=reasons)
        connections = SimpleNamespace(named=lambda: [("numbered:a", connection)])
        agent: Any = SimpleNamespace(
            _stopped=object(), _working=None, _parts=SimpleNamespace(connections=connections)
        )
        for _ in range(2):
            reading._look_at_stop(agent)
        agent._working = object()
        reasons.add("pressure")
        for _ in range(2):
            reading._look_at_stop(agent)
        agent._working = None
        reading._look_at_stop(agent)
        self.assertEqual(violations, [])
        reading._look_at_stop(agent)
        self.assertEqual(len(violations), 1)
