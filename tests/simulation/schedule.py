"""Which faults happen in a run, when, and to which modules and brokers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from attrs import define, frozen

from tests.simulation.accounting import FORGOTTEN, may_cost_names
from tests.simulation.announced import ANNOUNCED_KINDS
from tests.simulation.broker_faults import BROKER_KINDS
from tests.simulation.configuration import PORTS
from tests.simulation.faults import KINDS
from tests.simulation.http_device_faults import DEVICE_ERRS, DEVICE_KINDS
from tests.simulation.http_faults import HTTP_KINDS
from tests.simulation.http_joint_faults import LONE_LINES
from tests.simulation.ledger import BYSTANDER_S
from tests.simulation.moments import MOMENTS, Moment
from tests.simulation.states import states_of

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["BOUNDARIES", "INSIDE", "Faults", "Scope"]

CONTAINED: Final = (
    "broker_restart",
    "broker_cuts",
    "broker_silent",
    "broker_version",
    *BROKER_KINDS,
    *ANNOUNCED_KINDS,
    "stream_stalls",
    "link_slow",
    "filter_refused",
    "module_make",
    "module_start",
    "module_stop",
    "module_message",
    "module_tick",
    "module_timer",
    "module_work",
    "module_callback",
    "module_thread",
    *DEVICE_KINDS,
    "module_fails_again",
    "burst",
    "disk",
    "clock_jump",
)
"""Kinds that others must not notice."""
SIGNALS: Final = frozenset(
    {
        "sighup",
        "sigterm",
        "sigint",
        "sigterm_again",
        "sigint_and_sigterm",
        "sigterm_then_sighup",
    }
)
"""Kinds whose handler may run amid a turn."""
ENDS: Final = frozenset({"kill", "power"})
"""Kinds that end the process, also amid a turn."""
AT_BOUNDARIES: Final = frozenset(
    {
        "sighup_then_sigterm",
        *SIGNALS,
        "kill",
        "power",
        "freeze",
        "broker_cuts",
        "broker_restart",
        "reader_dies",
    }
)
"""Kinds for which the exact moment matters most."""
BOUNDARIES: Final = {
    "turn": 3000,
    "message": 300,
    "acknowledgement": 300,
    "writing": 300,
    "write": 300,
    "sending": 300,
    "line": 300,
    "log": 30,
    "module": 300,
    "connect": 10,
    "config": 3,
    "disk": 40,
}
"""Where a fault may strike, each with the largest number of times that it waits for."""
LONGEST_S: Final = 15.0
"""How long a fault lasts at most."""
_LASTS_S: Final = {
    LONE_LINES: 60.0,
    "signals_at_start": LONGEST_S,
    "stop_while_stalled": 20.0,
    "frozen_for_intervals": LONGEST_S,
    "lost_while_set_aside": 25.0,
    "behind_reader_goes": LONGEST_S,
    DEVICE_ERRS: 6.0,
}
"""How long some last, if the run does."""
_NAMES_SHARE: Final = 0.25
"""The share of runs in which no fault excuses lines without a device's name."""
_DATABASE_SHARE: Final = 0.4
"""A run with a database has at least this share of the kinds that concern it."""
_LONE_SHARE: Final = 0.35
"""In this share of the runs with a database, which are short, lines come alone at a wrong address,
and other faults are few."""
_LONE_MEAN_S: Final = 60.0
"""A line has to wait undisturbed for 10 s, some one after the other."""
_ASIDE: Final = "lost_while_set_aside"
_ASIDE_SHARE: Final = 0.1
_ASIDE_TIMES: Final = 6
"""In this share of the runs it strikes so often, and other faults, which may excuse its losses, are
few."""
_ASIDE_MEAN_S: Final = (10.0, 60.0)
_AT_MOMENTS_SHARE: Final = 0.15
"""The share of faults at boundaries that strike in one of `MOMENTS` instead."""
_TURNS_OF_MOMENT: Final = 20
"""They wait for so many turns of it at most, often for one."""
_FRAGILE_KIND: Final = "behind_reader_goes"
_FRAGILE_TIMES: Final = 3
"""How often it strikes at least where the output is one that needs care."""
_DEVICE_SHARE: Final = 0.4
"""In this share of the runs the polled device errs once more: that disturbs nothing else."""
_INSIDE_SHARE: Final = 0.6
"""So many of the faults that may strike amid a turn do; the others strike right after it."""
_AMID_SHARE: Final = 0.3
_AMID: Final = ("kill", "kill", "kill", "power", "sigterm", "sigterm_again", "sigint", "sighup")
_AMID_TIMES: Final = 12
"""In this share of the runs these strike so often beside the others, since they are the ones that
strike amid a turn."""
INSIDE: Final = frozenset(BOUNDARIES) - {"turn", "acknowledgement", "line"}
"""Boundaries that the agent's own code passes amid its turn. Where its peers pass one, the process
ends, or gets a signal, at the next of these, or after the turn."""


@frozen
class Scope:
    """Which modules and brokers the faults of a run concern.

    Attributes:
        modules: that may be hit.
        ports: of the brokers that may be.
        bystanders: modules that must not notice; none where a fault may concern all.
    """

    modules: Sequence[str]
    ports: Sequence[int]
    bystanders: frozenset[str] = frozenset()

    @classmethod
    def choose(cls, random: Random) -> Scope:
        """Choose all modules as a rule, or those of one broker."""
        if random.random() < 0.8:
            return cls(tuple(PORTS), sorted(set(PORTS.values())))
        port = random.choice(sorted(set(PORTS.values())))
        modules = tuple(module for module in PORTS if PORTS[module] == port)
        return cls(modules, (port,), frozenset(PORTS) - set(modules))


def _without_cost(kinds: Collection[str], random: Random) -> list[str]:
    """Return those with which every line of an announced device has its name."""
    beside = {FORGOTTEN} if FORGOTTEN in kinds and random.random() < 0.5 else set()
    return [
        kind
        for kind in kinds
        if not may_cost_names({kind, *beside}) and (beside or kind != FORGOTTEN)
    ]


def _at_boundary_share(kind: str) -> float:
    """Return how often a fault waits for a boundary."""
    if kind in ENDS | SIGNALS:
        return 0.85
    return 0.6 if kind in AT_BOUNDARIES else 0.2


@define(eq=False)
class _Armed:
    """A fault that waits for a boundary."""

    left: int
    number: int
    kind: str
    inside: bool = False


class Faults:
    """Begins and ends faults by chance; each run has a subset of the kinds.

    What is chosen for one fault does not depend on the others, so that a run can be repeated
    without some of them. A fault happens at a moment, or from then on at the n-th time that a
    boundary is passed.

    Args:
        world: in which they happen.
        seconds: how long.
        only: the numbers of those to let happen; None for all.

    Attributes:
        plan: number, time and kind of each.
    """

    def __init__(self, world: World, seconds: float, only: Collection[int] | None) -> None:
        self._world = world
        random = Random(f"{world.seed} faults")
        possible: Collection[str] = CONTAINED if world.scope.bystanders else KINDS
        judges_names = random.random() < _NAMES_SHARE
        if judges_names:
            possible = _without_cost(possible, random)
            for broker in world.brokers.values():
                broker.options.retained_for_wildcards = True
        # Many kinds meet in more ways; a few excuse less, but very few find less.
        share = random.choice((0.1, 0.2, 0.5, 0.5))
        # Those of a database strike only where the output is one.
        shares = {kind: max(share, _DATABASE_SHARE) for kind in HTTP_KINDS}
        is_fragile = _FRAGILE_KIND in possible and world.reader.is_fragile
        if is_fragile:
            shares[_FRAGILE_KIND] = 1.0
        shares[FORGOTTEN] = 1.0 if judges_names else share
        chosen = [kind for kind in possible if random.random() < shares.get(kind, share)]
        left_out = {*world.without}
        if world.scope.bystanders and world.reader.patience_s > BYSTANDER_S:
            # Where the output takes short requests only, all messages wait behind a burst.
            left_out.add("burst")
        kinds = [kind for kind in chosen if kind not in left_out] or ["clock_jump"]
        # Dense faults leave an agent little time to do wrong in.
        mean_s = random.choice((0.1, 0.5, 2.0, 2.0, 5.0, 5.0))
        time_s = 0.0
        self.plan: list[tuple[int, float, str]] = []
        may_strike = {*possible} - left_out
        mean_s = self._add_main(may_strike, seconds, random) or mean_s
        is_lone = self.plan == [(0, 0.0, LONE_LINES)]
        while (time_s := time_s + random.expovariate(1 / mean_s)) < seconds:
            self.plan.append((len(self.plan), time_s, random.choice(kinds)))
        for _ in range(_FRAGILE_TIMES if is_fragile and _FRAGILE_KIND in kinds else 0):
            self.plan.append((len(self.plan), random.uniform(0.0, seconds), _FRAGILE_KIND))
        if DEVICE_ERRS in may_strike and random.random() < _DEVICE_SHARE:
            self.plan.append((len(self.plan), random.uniform(0.0, seconds), DEVICE_ERRS))
        if not is_lone:
            self._add_amid([kind for kind in _AMID if kind in may_strike], seconds, random)
        if only is not None:
            self.plan = [each for each in self.plan if each[0] in only]
        self._seconds = seconds
        self._end_s = 0.0
        self._heals: list[Callable[[], None]] = []
        self._armed: dict[str, list[_Armed]] = {}
        self._due: list[_Armed] = []
        self._ends: list[_Armed] = []
        self._awaiting: list[tuple[Moment, _Armed]] = []
        self._over = False

    def _add_main(self, kinds: Collection[str], seconds: float, random: Random) -> float:
        """Add a fault that some runs are about; return the mean time between others, 0 for any."""
        seed = self._world.seed
        if LONE_LINES in kinds and Random(f"{seed} lone lines").random() < _LONE_SHARE:
            self.plan.append((0, 0.0, LONE_LINES))
            return _LONE_MEAN_S
        if _ASIDE in kinds and Random(f"{seed} aside").random() < _ASIDE_SHARE:
            for number in range(_ASIDE_TIMES):
                self.plan.append((number, random.uniform(0.0, seconds), _ASIDE))
        else:
            return 0.0
        return random.choice(_ASIDE_MEAN_S)

    def _add_amid(self, kinds: Sequence[str], seconds: float, random: Random) -> None:
        """Add some that strike amid a turn, in some runs."""
        if kinds and Random(f"{self._world.seed} amid").random() < _AMID_SHARE:
            for _ in range(_AMID_TIMES):
                time_s = random.uniform(0.0, seconds)
                self.plan.append((len(self.plan), time_s, random.choice(kinds)))

    def begin(self) -> None:
        """Let them happen from now on."""
        self._end_s = self._world.clock.now_s + self._seconds
        for number, time_s, kind in self.plan:
            self._world.clock.later(time_s, self._begin, number, kind)

    def heal(self) -> None:
        """End all."""
        self._over = True
        self._armed.clear()
        self._awaiting.clear()
        heals, self._heals = self._heals, []
        for heal in heals:
            heal()

    def passed(self, boundary: str) -> None:
        """Take note that a boundary is passed."""
        armed = self._armed.get(boundary, [])
        for each in tuple(armed):
            each.left -= 1
            if each.left <= 0:
                armed.remove(each)
                if each.inside and each.kind in SIGNALS and boundary in INSIDE:
                    self._strike(each.number, each.kind)
                elif each.inside and self._world.acts:
                    self._ends.append(each)
                else:
                    self._due.append(each)
        if boundary in INSIDE:
            while self._ends:
                each = self._ends.pop(0)
                self._strike(each.number, each.kind)

    def turn(self) -> None:
        """Take note that a turn is over: what was due in it happens now."""
        self.passed("turn")
        if self._awaiting:
            self._look_for_moments()
        self._due += self._ends
        self._ends.clear()
        while self._due:
            each = self._due.pop(0)
            self._strike(each.number, each.kind)

    def _look_for_moments(self) -> None:
        process = self._world.process
        if process is None or not process.alive:
            return
        for moment, each in tuple(self._awaiting):
            if moment.is_now(process.agent):
                each.left -= 1
                if each.left <= 0:
                    self._awaiting.remove((moment, each))
                    self._due.append(each)

    def await_moment(self, moment: Moment, times: int, number: int, kind: str) -> None:
        """Have a fault strike in the n-th turn of a moment, which is brought about."""
        self._awaiting.append((moment, _Armed(times, number, kind)))
        moment.prepare(self._world)

    def _begin(self, number: int, kind: str) -> None:
        if self._over:
            return
        random = Random(f"{self._world.seed} {number} boundary")
        if kind in AT_BOUNDARIES and random.random() < _AT_MOMENTS_SHARE:
            moment = random.choice(MOMENTS)
            times = random.randint(1, random.choice((1, 1, _TURNS_OF_MOMENT)))
            self.await_moment(moment, times, number, kind)
        elif random.random() < _at_boundary_share(kind):
            boundary = random.choice(list(BOUNDARIES))
            times = random.randint(1, random.choice((2, BOUNDARIES[boundary])))
            is_inside = boundary == "disk" or random.random() < _INSIDE_SHARE
            armed = _Armed(times, number, kind, is_inside and kind in (SIGNALS | ENDS))
            self._armed.setdefault(boundary, []).append(armed)
        else:
            self._strike(number, kind)

    def _strike(self, number: int, kind: str) -> None:
        if self._over:
            return
        world = self._world
        world.chance = Random(f"{world.seed} {number}")
        world.episodes[kind] += 1
        world.pairs.update((kind, state) for state in states_of(world))
        world.note(f"fault {number}: {kind}")
        if may_cost_names({kind}) or kind == FORGOTTEN:
            world.devices.announced.may_be_unknown()
        heal = KINDS[kind](world)
        if heal is not None:
            self._heals.append(heal)
            lasts_s = world.chance.choice((0.01, 0.3, 3.0, LONGEST_S)) * world.chance.random()
            lasts_s = _LASTS_S.get(kind, lasts_s)
            # Some of the last ones end together, and the agent has to recover from all of them.
            if world.clock.now_s < self._end_s - LONGEST_S or world.chance.random() < 0.5:
                world.clock.later(lasts_s, self._end, number, heal)

    def _end(self, number: int, heal: Callable[[], None]) -> None:
        if heal in self._heals:
            self._heals.remove(heal)
            self._world.note(f"fault {number} is over")
            heal()
