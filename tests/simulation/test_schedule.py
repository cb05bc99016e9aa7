"""Faults strike at moments, and at the n-th time that something happens."""

from __future__ import annotations

from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.accounting import FORGOTTEN, may_cost_names
from tests.simulation.clock import SimClock
from tests.simulation.configuration import PORTS
from tests.simulation.faults import KINDS
from tests.simulation.pipe_readers import PipeReader
from tests.simulation.reader import Reader
from tests.simulation.schedule import (
    AT_BOUNDARIES,
    BOUNDARIES,
    CONTAINED,
    INSIDE,
    Faults,
    Scope,
    _Armed,
)
from tests.simulation.states import STATES, states_of
from tests.simulation.tcp_reader import TcpReader


class FakeWorld:
    """Notes when the agent is killed.

    Args:
        seed: decides where.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.scope = Scope(tuple(PORTS), (1883,))
        self.without = ()
        self.brokers: dict[int, Any] = {}
        self.reader = Reader
        self.clock = SimClock(Random(seed))
        self.chance = Random(seed)
        self.episodes: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.process = None
        self.acts = True
        self.kills = 0
        self.devices = SimpleNamespace(rename=lambda _module: None)

    def note(self, text: str) -> None:
        """Forget it."""

    def kill_agent(self) -> None:
        """Take note."""
        self.kills += 1


class BoundaryTests(SynchronousTestCase):
    """A kill at a boundary."""

    def strikes(self, seed: int) -> str:
        """Return where the one fault of a seed strikes."""
        world: Any = FakeWorld(seed)
        faults = Faults(world, 0.0, None)
        faults.plan = [(0, 1.0, "kill")]
        faults.begin()
        world.clock.run(2.0)
        if world.kills:
            return "moment"
        for boundary, most in BOUNDARIES.items():
            if boundary == "turn":
                continue
            for _ in range(most):
                faults.passed(boundary)
            inside = world.kills
            faults.turn()
            if world.kills:
                return f"inside {boundary}" if inside else boundary
        for _ in range(BOUNDARIES["turn"]):
            faults.turn()
        return "turn" if world.kills else "nowhere"

    def test_each_boundary_is_chosen(self) -> None:
        """Each strikes once: at a moment, right after something, or amid what the agent does.

        Some wait for what no agent does here.
        """
        inside = {f"inside {boundary}" for boundary in INSIDE}
        expected = {*BOUNDARIES, *inside, "moment", "nowhere"} - {"disk"}
        self.assertEqual({self.strikes(seed) for seed in range(600)}, expected)

    def test_where_no_agent_acts(self) -> None:
        """A kill strikes after the turn where there is nothing to be ended amid one."""
        world: Any = FakeWorld(1)
        faults = Faults(world, 0.0, None)
        for world.acts, kills in ((False, 0), (True, 1)):
            faults._armed["write"] = [_Armed(1, 0, "kill", inside=True)]
            world.kills = 0
            faults.passed("write")
            self.assertEqual(world.kills, kills)
            faults.turn()
            self.assertEqual(world.kills, 1)

    def test_where_a_peer_acts(self) -> None:
        """Then it strikes as soon as the agent acts again."""
        world: Any = FakeWorld(1)
        faults = Faults(world, 0.0, None)
        faults._armed["acknowledgement"] = [_Armed(1, 0, "kill", inside=True)]
        faults.passed("acknowledgement")
        self.assertEqual(world.kills, 0)
        faults.passed("sending")
        self.assertEqual(world.kills, 1)

    def test_nothing_strikes_after_the_end(self) -> None:
        """What is armed is forgotten."""
        world: Any = FakeWorld(1)
        faults = Faults(world, 0.0, None)
        faults.plan = [(number, 1.0, "kill") for number in range(50)]
        faults.begin()
        world.clock.run(2.0)
        before = world.kills
        self.assertLess(before, 50)
        faults.heal()
        for boundary in BOUNDARIES:
            faults.passed(boundary)
        faults.turn()
        self.assertEqual(world.kills, before)

    def test_fragile_outputs_break_often(self) -> None:
        """What writes in parts, or to a file that may change, is broken in each run."""
        for reader, least in ((TcpReader, 3), (PipeReader, 0)):
            counts = []
            for seed in range(50):
                world: Any = FakeWorld(seed)
                world.reader = reader
                plan = Faults(world, 60.0, None).plan
                counts.append(sum(kind == "behind_reader_goes" for _n, _s, kind in plan))
            self.assertEqual(min(counts), least, reader)

    def test_names(self) -> None:
        """The lists name kinds that exist."""
        self.assertLessEqual(AT_BOUNDARIES | set(CONTAINED), set(KINDS))

    def test_lines_without_names_are_not_always_excused(self) -> None:
        """In some runs names must be there, with the file of known devices and without it."""
        beside: set[frozenset[str]] = set()
        for seed in range(300):
            world: Any = FakeWorld(seed)
            kinds = {kind for _number, _time_s, kind in Faults(world, 60.0, None).plan}
            if not may_cost_names(kinds):
                beside.add(frozenset(kinds & {FORGOTTEN, "sigterm", "kill"}))
        self.assertIn({FORGOTTEN, "kill"}, beside)
        self.assertIn({"sigterm", "kill"}, beside)
        self.assertFalse(any({FORGOTTEN, "sigterm"} <= each for each in beside))


class StateTests(SynchronousTestCase):
    """The words for what the agent does."""

    def test_no_agent(self) -> None:
        """It is not there."""
        world: Any = SimpleNamespace(process=None)
        self.assertEqual(list(states_of(world)), [STATES[0]])
