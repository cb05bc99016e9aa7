"""What must be true of all messages at the end of a run, and which losses are excused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from typing import Final

from attrs import define

from metrics_agent.transports.mqtt import announcement_gate
from tests.simulation.broker import ModelBroker, Publication
from tests.simulation.clock import SimClock
from tests.simulation.configuration import owner_of
from tests.simulation.ledger import Key, Ledger, key_of

__all__ = [
    "FORGOTTEN",
    "NO_RETAINED",
    "STALLED_S",
    "Accounting",
    "little_is_set_aside",
    "may_cost_names",
]

NO_RETAINED: Final = "no_retained"
"""Counts as a kind of fault: a broker does not send retained messages for filters like ours."""
_MAY_COST_NAMES: Final = frozenset(
    {
        "stream_stalls",
        "link_slow",
        "broker_silent",
        "connection_vanishes",
        "broker_cuts",
        "broker_version",
        "filter_refused",
        "disk",
        "slow_disk",
        "power",
        "config_unreadable",
        "broker_restart",
        "freeze",
        "frozen_for_intervals",
        "taken_over",
        "connect_refused",
        "access_withdrawn",
        "session_expired",
        "packet_size",
        "stop_while_stalled",
        "stop_in_reload",
        "subscribe_cut",
        "lost_while_set_aside",
        NO_RETAINED,
    }
)
"""With these an announcement may come too late, or not at all."""
_SET_ASIDE_BYTES: Final = announcement_gate.SET_ASIDE_BYTES
STALLED_S: Final = 30.0
"""How long a message may be on its way: as long as two of the longest faults."""
FORGOTTEN: Final = "devices_forgotten"
_DO_NOT_WAIT_FOR_NAMES: Final = frozenset(
    {
        "sighup",
        "sighup_then_sigterm",
        "sigterm",
        "sigint",
        "sigterm_again",
        "sigint_and_sigterm",
        "sigterm_then_sighup",
        "signals_at_start",
        "stdin_ends",
        "reload_changed",
        "reload_without",
        "reload_renamed",
        "reload_in_calm",
        "stop_right_after_reload",
        "stop_while_saving",
    }
)
"""These end the wait for announcements early, which costs names that no file has."""


def little_is_set_aside() -> bool:
    """Say whether messages may be handed on before their announcements, in this run."""
    return announcement_gate.SET_ASIDE_BYTES < _SET_ASIDE_BYTES


def may_cost_names(kinds: Collection[str]) -> bool:
    """Say whether lines of announced devices may lack their names with these kinds of faults."""
    some = set(kinds)
    return bool(some & _MAY_COST_NAMES or (FORGOTTEN in some and some & _DO_NOT_WAIT_FOR_NAMES))


@define
class _Excuse:
    """Losses of a module's messages at QoS 0 are excused if they were given within a time.

    Attributes:
        module: "" for any.
        at_s: when what excuses them happened.
        from_s: the begin of that time.
        to_s: its end.
    """

    module: str
    at_s: float
    from_s: float
    to_s: float


class Accounting:
    """See the module.

    Args:
        clock: of the simulation.
        violate: called with what must not happen.
        calm_s: says when nothing was under way last; what was given before is not excused.

    Attributes:
        ledger: what happened to the messages.
        dropped: metrics that earlier processes dropped and counted.
        rejected: metrics that these counted as rejected by a database.
        stalled_s: how long a message may be on its way.
        beside: what counts as a kind of fault that happened, although it came about by others.
    """

    def __init__(
        self,
        clock: SimClock,
        violate: Callable[[str], object],
        calm_s: Callable[[], float] = lambda: -math.inf,
    ) -> None:
        self._clock = clock
        self._calm_s = calm_s
        self._violate = violate
        self.ledger = Ledger(violate, lambda: clock.now_s)
        self.dropped = 0
        self.rejected = 0
        self.stalled_s = STALLED_S
        self.beside: set[str] = set()
        self._processes = 0
        self._left: Counter[int] = Counter()
        self._early: set[Key] = set()
        self._excuses: list[_Excuse] = []
        self._given: dict[Key, tuple[float, int]] = {}

    def excuse(self, module: str, for_s: float) -> None:
        """Excuse the loss of QoS 0 messages given to a module about now; "" means any module.

        Lost are messages read for a module that does not run, or written to a pipe that has no
        reader.
        """
        now_s = self._clock.now_s
        since_s = max(now_s - self.stalled_s, self._calm_s())
        self._excuses.append(_Excuse(module, now_s, since_s, now_s + for_s))

    def excuse_from_now(self, module: str, for_s: float) -> None:
        """Excuse the loss of what is given to a module from now on."""
        now_s = self._clock.now_s
        since_s = math.nextafter(now_s, math.inf)
        self._excuses.append(_Excuse(module, now_s, since_s, now_s + for_s))

    def end_excuses(self, begun_by_s: float) -> None:
        """Excuse nothing that is given from now on by what was excused at that time or before."""
        now_s = self._clock.now_s
        for excuse in self._excuses:
            if excuse.at_s <= begun_by_s:
                excuse.to_s = min(excuse.to_s, now_s)

    def given(self, publication: Publication, delivered: Callable[[], bool]) -> None:
        """Take note of a message at QoS 0 that was given to a connection."""
        self.ledger.given(publication, delivered)
        self._given[key_of(publication)] = self._clock.now_s, self._processes

    def ended(self, *, dropped: int, rejected: int, unread: int) -> None:
        """Take note that a process has ended.

        Args:
            dropped: metrics that it dropped and counted.
            rejected: metrics that it counted as rejected by a database.
            unread: metrics that were still unread when a stop had waited as long as it may.
        """
        self._left[self._processes] = dropped + unread
        self._processes += 1
        self.dropped += dropped
        self.rejected += rejected

    def acknowledged(self, publication: Publication, dropped: int) -> None:
        """Take an acknowledgement; `dropped` is how many metrics were dropped so far."""
        if self.ledger.may_be_acknowledged(publication):
            return
        key = key_of(publication)
        if owner_of(key[0]) == "hadiscovery" and little_is_set_aside():
            # A burst of entities that are not known yet is not held back until they are.
            self.ledger.nothing.add(key)
            return
        self._early.add(key)
        if len(self._early) > dropped:
            self._violate(
                f"{publication.topic} {publication.payload!r} was acknowledged before the "
                "reader had it"
            )

    def close(
        self, brokers: Collection[ModelBroker], kinds: Collection[str], ids: Collection[str]
    ) -> None:
        """Account for every message, when the last process has ended.

        Args:
            brokers: they still have what they could not deliver.
            kinds: of faults that happened.
            ids: of the sessions that were in use at the end.
        """
        again = [
            key_of(publication)
            for broker in brokers
            for session in broker.sessions.values()
            if session.client_id in ids
            for publication in session.inflight.values()
            if key_of(publication) in self.ledger.delivered
        ]
        if again:
            self._violate(f"an orderly stop did not acknowledge {len(again)}: {again[:5]}")
        at_broker = {
            key_of(publication)
            for broker in brokers
            for session in broker.sessions.values()
            for publication in session.unacknowledged()
        }
        missing = self.ledger.missing(1, at_broker)
        if len(missing) > self.dropped:
            self._violate(
                f"{len(missing)} messages at QoS 1 are lost, {self.dropped} were dropped and "
                f"counted: {missing[:5]}"
            )
        # Where little may be set aside, a burst is not held back until its devices are announced.
        if self.ledger.nameless and not little_is_set_aside() and not may_cost_names(kinds):
            self._violate(f"{self.ledger.nameless} lines of announced devices have no name")
        missing = self.ledger.missing(0, at_broker)
        lost: dict[int, list[Key]] = {}
        for key in missing:
            if self._was_delivered(key) and not self._is_excused(key):
                lost.setdefault(self._given[key][1], []).append(key)
        for process, keys in lost.items():
            # What one process has dropped excuses no loss of another.
            if len(keys) > self._left[process]:
                self._violate(
                    f"{len(keys)} messages at QoS 0 that were received are lost: {keys[:5]}"
                )

    def _was_delivered(self, key: Key) -> bool:
        delivered = self.ledger.on_socket.get(key)
        return delivered is not None and delivered()

    def _is_excused(self, key: Key) -> bool:
        module = owner_of(key[0])
        given_s, _process = self._given[key]
        return any(
            each.module in {"", module} and each.from_s <= given_s <= each.to_s
            for each in self._excuses
        )
