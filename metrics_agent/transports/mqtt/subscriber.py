"""Which of our filters the broker has, and which it should have.

A filter is asked for again whenever a module subscribes to it, so that its retained messages come
again. It is unsubscribed only once all modules have subscribed (`unsubscribe_unwanted`): during a
reload a filter that both the old and the new modules want must never be unsubscribed, messages
would be lost. The exception is a filter whose topics are all covered by another one that the broker
has granted: nothing is lost with it, and some brokers send a message once for each filter that it
matches.
A persistent session keeps filters over our restart too; what we asked for is therefore kept in a
small file, written before the broker is asked. It survives the end of this process. If the machine
dies before the disk has the file, the broker may keep a filter that is no longer wanted.

A filter that the broker refuses is asked for again a few times: some refuse for a moment (0x91
after a connection that ended badly), and rules are changed while we are connected. A filter for
which the broker ends the connection is found and set aside, see `suspects`.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from itertools import chain, repeat
from typing import Final

from twisted.logger import Logger

from metrics_agent.limits import REMEMBERED_FILTERS
from metrics_agent.state.directory import StateFile
from metrics_agent.topic_filters import covers, has_wildcard, valid_filter
from metrics_agent.transports.mqtt.engine import Engine, Subscribed, Unsubscribed
from metrics_agent.transports.mqtt.suspects import Suspects

__all__ = ["Subscriber"]

FILTERS_A_PACKET: Final = 8
"""As many as the strictest of the public brokers takes in one SUBSCRIBE."""
FILTER_BYTES: Final = 3
"""Of a filter in a SUBSCRIBE beside its text: its length and the options."""
FIRST_REFUSAL: Final = 0x80
_LEFT_OUT: Final = 0x100
"""Of a filter for which the answer has no code."""
_TOO_LONG: Final = 0x101
"""Of a filter that does not fit into a packet that the broker takes."""
_REFUSALS: Final = {
    _LEFT_OUT: "left out of its answer",
    _TOO_LONG: "longer than the packets that it takes",
    0x80: "refused",
    0x83: "refused by a rule of the broker",
    0x87: "not authorised",
    0x8F: "the filter is invalid",
    0x97: "a quota is exceeded",
    0x9E: "shared subscriptions are not supported",
    0xA2: "wildcards are not supported",
}
_FINAL: Final = frozenset({_TOO_LONG, 0x8F, 0x9E, 0xA2})
"""Refusals that another attempt cannot change."""
RETRY_DELAYS_S: Final = (0.5, 5.0, 60.0, 600.0)
"""When refused filters are asked for again on the same connection."""


class Subscriber:
    """Keeps the broker's filters in step with what is wanted.

    Args:
        log: for refused filters.
        state: remembers the filters of a persistent session; None: not at all.
    """

    def __init__(self, log: Logger, state: StateFile | None) -> None:
        self._log = log
        self._state = state
        self._saved: set[str] | None = None
        self._queued: dict[str, None] = {}
        self._unanswered: dict[int, list[str]] = {}
        self._unsubscribing: dict[int, list[str]] = {}
        self._granted: set[str] = set()
        self._refused: dict[str, str] = {}
        self._to_retry: set[str] = set()
        self._retries = 0
        self._overdue = self._overdue_logged = False
        self._suspects = Suspects(log)
        self._may_unsubscribe = False
        self._at_broker = self._load()

    @property
    def problem(self) -> str | None:
        """What is wrong, as `ModuleContext.note_connection` has it."""
        if self._overdue:
            return f"does not answer our request to subscribe to {self._unanswered_filters()}"
        if self._unanswered:
            return None
        if not self._refused:
            return ""
        refused = ", ".join(f"{name} ({why})" for name, why in sorted(self._refused.items()))
        return f"refuses to subscribe us to {refused}"

    def queue(self, topic_filter: str) -> None:
        """Have a filter subscribed (again) at the next `flush`."""
        self._queued[topic_filter] = None

    def queued_any(self, names: Collection[str]) -> bool:
        """Say whether one of some filters is to be subscribed at the next `flush`."""
        return not self._queued.keys().isdisjoint(names)

    def pending_any(self, names: Collection[str]) -> bool:
        """Say whether one of some filters is to be subscribed, or waits for the broker's answer."""
        return self.queued_any(names) or any(
            name in names for asked in self._unanswered.values() for name in asked
        )

    def connected(self, wanted: Iterable[str], *, session_present: bool) -> None:
        """Start over with a new connection: everything wanted is to be subscribed.

        Args:
            wanted: the filters.
            session_present: the broker still has what it had.
        """
        self._unanswered.clear()
        self._unsubscribing.clear()
        self._granted.clear()
        self._to_retry.clear()
        self._retries = 0
        self._overdue = False
        self._suspects.start_over()
        if not session_present:
            self._at_broker.clear()
        self._queued = dict.fromkeys(wanted)

    def ended(self, learned: Collection[str], broker: str) -> None:
        """Note that a connection ended that the broker had accepted.

        Args:
            learned: the filters that come from devices, not from the configuration.
            broker: its name, for the log.
        """
        unanswered = [name for names in self._unanswered.values() for name in names]
        self._unanswered.clear()
        self._suspects.ended(unanswered, learned, broker)

    def flush(
        self,
        engine: Engine,
        wanted: Mapping[str, int],
        broker: str,
        *,
        awaited: Container[str] | None,
        gives_up: bool,
    ) -> None:
        """Subscribe to what is queued, and unsubscribe from unwanted filters as far as is safe now.

        Args:
            engine: of a connection that the broker accepted.
            wanted: filters and QoS that are wanted now.
            broker: its name, for the log.
            awaited: while announcements are on their way: the filters learned from them. They are
                asked for later, since a broker drops retained messages at QoS 0 while those for us
                pile up.
            gives_up: filters that are not wanted are unsubscribed; not while an announcement may
                bring them back.
        """
        suspects = self._suspects
        queued, self._queued = self._queued, {}
        if awaited is not None:
            self._queued = {name: None for name in queued if name in awaited}
        asked = [
            name
            for name in queued
            if name in wanted and name not in self._queued and suspects.allows(name)
        ]
        if not asked and not self._unanswered and (name := suspects.next(wanted)) is not None:
            asked = [name]
        most_bytes = engine.filters_bytes
        too_long = [name for name in asked if _size(name) > most_bytes]
        if too_long:
            self._take_codes(((name, _TOO_LONG) for name in too_long), broker)
            asked = [name for name in asked if _size(name) <= most_bytes]
        for names in self._unsubscribing.values():
            names[:] = [name for name in names if name not in wanted]
        self._at_broker.update(asked)
        self._save()
        for some in _pieces(asked, most_bytes):
            packet_id = engine.subscribe([(name, wanted[name]) for name in some])
            if packet_id is not None:
                self._unanswered[packet_id] = some
        on_their_way = {name for names in self._unsubscribing.values() for name in names}
        stale = self._at_broker - wanted.keys() - on_their_way
        stale = {name for name in stale if _size(name) <= most_bytes}
        doubled = self._covered(stale, wanted)
        unwanted = stale - doubled if self._may_unsubscribe else set()
        if not gives_up:
            unwanted.clear()
        for names in _pieces(sorted(doubled | unwanted), most_bytes):
            packet_id = engine.unsubscribe(names)
            if packet_id is not None:
                self._unsubscribing[packet_id] = names
        self._log_unsubscribed(unwanted, broker)

    def _covered(self, names: Collection[str], wanted: Iterable[str]) -> set[str]:
        """Return those of some names whose topics a filter in force has as well."""
        # Only one with a wildcard covers another: thousands are not compared with thousands.
        in_force = [name for name in wanted if name in self._granted and has_wildcard(name)]
        return {name for name in names if any(covers(wide, name) for wide in in_force)}

    def _log_unsubscribed(self, names: Collection[str], broker: str) -> None:
        if names:
            self._log.info(
                "Unsubscribed from {filters} at {broker}: no module wants it any more.",
                filters=", ".join(sorted(names)),
                broker=broker,
            )

    def unsubscribed(self, answer: Unsubscribed) -> None:
        """Take an UNSUBACK: the broker has forgotten these filters."""
        self._at_broker.difference_update(self._unsubscribing.pop(answer.packet_id, ()))
        if not self._unsubscribing:
            self._save()  # not for each of thousands

    def answered(self, answer: Subscribed, broker: str) -> float | None:
        """Take a SUBACK; filters that the broker newly refuses are named in one line.

        Returns:
            The seconds after which `retry` is to be called, None if there is nothing to retry.
        """
        names = self._unanswered.pop(answer.packet_id, [])
        codes = chain(answer.codes, repeat(_LEFT_OUT))
        self._take_codes(zip(names, codes, strict=False), broker)
        if not self._unanswered:
            self._overdue = self._overdue_logged = False
            self._suspects.all_answered()
        if not self._to_retry or self._retries >= len(RETRY_DELAYS_S):
            return None
        return RETRY_DELAYS_S[self._retries]

    def _take_codes(self, answers: Iterable[tuple[str, int]], broker: str) -> None:
        """Take for each filter what a SUBACK says of it."""
        news: list[str] = []
        restored: list[str] = []
        for name, code in answers:
            self._suspects.answered(name)
            self._to_retry.discard(name)
            if code < FIRST_REFUSAL:
                self._granted.add(name)
                if self._refused.pop(name, None) is not None:
                    restored.append(name)
                continue
            if code not in _FINAL:
                self._to_retry.add(name)
            self._granted.discard(name)
            why = _REFUSALS.get(code, f"code 0x{code:02x}")
            if self._refused.get(name) != why:
                self._refused[name] = why
                news.append(f"{name} ({why})")
        if news:
            self._log.error(
                "{broker} refuses to subscribe us to {filters}.",
                broker=broker,
                filters=", ".join(news),
            )
        if restored:
            self._log.info(
                "{broker} grants the subscription to {filters} now.",
                broker=broker,
                filters=", ".join(restored),
            )

    @property
    def waits_for_an_answer(self) -> bool:
        """Whether the broker owes a SUBACK."""
        return bool(self._unanswered)

    def answer_is_overdue(self, waited_s: float, broker: str) -> None:
        """Note that the broker has had so much time for its answer; logged once until one comes."""
        if not self._unanswered:
            return
        self._overdue = True
        if self._overdue_logged:
            return
        self._overdue_logged = True
        self._log.warn(
            "{broker} has not answered our request to subscribe to {filters} for {seconds:g} s; "
            "its messages may be missing.",
            broker=broker,
            filters=self._unanswered_filters(),
            seconds=waited_s,
        )

    def retry(self) -> None:
        """Ask again, at the next `flush`, for the filters that the broker refused."""
        self._retries += 1
        self._queued |= dict.fromkeys(self._to_retry)
        self._to_retry.clear()

    def unsubscribe_unwanted(self) -> None:
        """Note that all have subscribed: from now on, what is not wanted is unsubscribed."""
        self._may_unsubscribe = True

    def keep_unwanted(self) -> None:
        """Note that a subscriber left and may come back: keep its filter until they all have."""
        self._may_unsubscribe = False

    def _unanswered_filters(self) -> str:
        return ", ".join(sorted({name for names in self._unanswered.values() for name in names}))

    def _load(self) -> set[str]:
        stored = None if self._state is None else self._state.read()
        names = stored.get("filters") if isinstance(stored, dict) else None
        if not isinstance(names, list):
            return set()
        # An UNSUBSCRIBE with an invalid filter would cost the connection as a SUBSCRIBE does.
        return {
            name
            for name in names[:REMEMBERED_FILTERS]
            if isinstance(name, str) and valid_filter(name) is None
        }

    def _save(self) -> None:
        saved = set(self._at_broker)
        if self._state is None or saved == self._saved:
            return
        # A filter that the broker has and the file lacks would never be unsubscribed; one that the
        # file has and the broker lacks costs an UNSUBSCRIBE that changes nothing. So only what is
        # new has to be there first. It cannot be new often: what devices announce has a limit.
        is_new = self._saved is None or not saved <= self._saved
        self._state.write({"filters": sorted(saved)}, at_once=is_new)
        self._saved = saved


def _size(name: str) -> int:
    return len(name.encode()) + FILTER_BYTES


def _pieces(names: Iterable[str], most_bytes: int) -> Iterator[list[str]]:
    """Share filters, none of which is too long, among packets."""
    piece: list[str] = []
    size = 0
    for name in names:
        size += _size(name)
        if piece and (len(piece) == FILTERS_A_PACKET or size > most_bytes):
            yield piece
            piece, size = [], _size(name)
        piece.append(name)
    if piece:
        yield piece
