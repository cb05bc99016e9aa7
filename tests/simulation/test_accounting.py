"""What the simulation finds at the end of a process and of a run."""

from __future__ import annotations

from pathlib import Path
from random import Random
from types import SimpleNamespace

import attrs
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.transports.mqtt import announcement_gate
from metrics_agent.transports.mqtt.announcement_gate import SET_ASIDE_BYTES
from tests.simulation.accounting import Accounting
from tests.simulation.broker import Publication
from tests.simulation.clock import SimClock
from tests.simulation.faults import KINDS
from tests.simulation.process import AgentProcess
from tests.simulation.world import Violation, World


class ProcessTests(SynchronousTestCase):
    """What one process does at its end."""

    def end(self, *, ran_s: float, left: int = 1, is_lost: bool = False) -> list[str]:
        """Return what is wrong with a stop that leaves metrics after so long."""
        violations: list[str] = []
        process = AgentProcess.__new__(AgentProcess)
        process._violation = violations.append
        process._clock = SimpleNamespace(now_s=100.0 + ran_s)  # type: ignore[assignment]
        process.reactor = SimpleNamespace(stood_s=0.0)  # type: ignore[assignment]
        process._stop_s = 100.0
        process._remembering = SimpleNamespace(check_end=list)  # type: ignore[assignment]
        process.agent = SimpleNamespace(  # type: ignore[assignment]
            _shutdown=SimpleNamespace(_drain_timeout_s=5.0),
            _stopped=SimpleNamespace(called=True),
            _parts=SimpleNamespace(sink=SimpleNamespace(left_metrics=left, _is_lost=is_lost)),
        )
        process.check_end()
        return violations

    def test_a_stop_that_gives_up_early(self) -> None:
        """What is left has had the whole drain_timeout, unless there is nothing to write to."""
        self.assertEqual(self.end(ran_s=5.0), [])
        self.assertEqual(self.end(ran_s=3.0, left=0), [])
        self.assertEqual(self.end(ran_s=3.0, is_lost=True), [])
        self.assertEqual(self.end(ran_s=3.0), ["a stop leaves 1 metrics after 3.0 s"])

    def test_time_in_which_it_is_frozen(self) -> None:
        """Does not count."""
        process = AgentProcess.__new__(AgentProcess)
        process._clock = SimpleNamespace(now_s=110.0)  # type: ignore[assignment]
        process.reactor = SimpleNamespace(stood_s=7.0)  # type: ignore[assignment]
        self.assertEqual(process.ran_s, 103.0)

    def test_a_plan_that_is_replaced(self) -> None:
        """Once a stop has begun no reload replaces what runs."""
        directory = Path(self.mktemp())
        directory.mkdir()
        world = World(1, directory, without=KINDS)
        began = world._stop_begins

        def stop_begins(process: AgentProcess) -> None:
            began(process)
            process.agent._plan = attrs.evolve(process.agent._plan)

        self.patch(world, "_stop_begins", stop_begins)
        with self.assertRaisesRegex(Violation, "replaces what runs although a stop has begun"):
            world.run(2.0)


class AccountingTests(SynchronousTestCase):
    """Which losses are excused."""

    def test_what_another_process_has_dropped(self) -> None:
        """Metrics that one process dropped excuse no loss of the next one."""
        violations: list[str] = []
        accounting = Accounting(SimClock(Random(0)), violations.append)
        for number in range(4):
            accounting.ledger.sent["a", 0, number] = 0.0
            accounting.given(Publication("a/x", b"0:%d" % number, 0), lambda: True)
            if number in {1, 3}:
                accounting.ended(dropped=2 if number == 1 else 1, rejected=0, unread=0)
        accounting.close([], (), ())
        self.assertEqual(len(violations), 1)
        self.assertIn("('a', 0, 2), ('a', 0, 3)", violations[0])

    def test_entities_that_are_not_known_yet(self) -> None:
        """Only where little may be set aside are their messages handed on before."""
        for limit, expected in ((SET_ASIDE_BYTES, 1), (1 << 16, 0)):
            self.patch(announcement_gate, "SET_ASIDE_BYTES", limit)
            violations: list[str] = []
            accounting = Accounting(SimClock(Random(0)), violations.append)
            message = Publication("ha/h2q1/state", b'{"energy":7,"power":7}', 1)
            accounting.acknowledged(message, dropped=0)
            self.assertEqual(len(violations), expected)

    def test_more_acknowledgements_than_drops(self) -> None:
        """Each metric that was dropped explains one early acknowledgement."""
        violations: list[str] = []
        accounting = Accounting(SimClock(Random(0)), violations.append)
        for number in range(2):
            self.assertEqual(violations, [])
            accounting.acknowledged(Publication("a/x", b"1:%d" % number, 1), dropped=1)
        self.assertEqual(len(violations), 1)
