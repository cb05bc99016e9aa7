"""Finding the filter for which a broker ends the connection.

A device's announcement decides which topics we subscribe to. A filter that the broker takes for a
breach of the protocol ends the connection, with all others on it, at each connect. `valid_filter`
refuses those that we know of; what a broker we have not met refuses is found here.

When two connections in a row end before the broker has answered such filters, the ones that were
unanswered are suspects: from then on they are sent one by one, each alone. The one that is
unanswered at the end of a connection twice is set aside. Once could be chance: a broker that
restarts ends connections too.
"""

from __future__ import annotations

from collections.abc import Collection, Container
from typing import Final

from twisted.logger import Logger

__all__ = ["Suspects"]

ENDS: Final = 2
"""Connections that end before filters are suspects, and again before one is set aside."""


class Suspects:
    """Knows which learned filters may be subscribed to, and when.

    Args:
        log: for a filter that is set aside.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._ends = 0
        self._suspects: dict[str, int] = {}  # with the ends that each has seen alone
        self._untried: list[str] = []
        self._set_aside: set[str] = set()

    def allows(self, topic_filter: str) -> bool:
        """Say whether a filter may be sent together with others."""
        return topic_filter not in self._set_aside and topic_filter not in self._suspects

    def next(self, wanted: Container[str]) -> str | None:
        """Return the suspect that is to be sent alone now, None if all were sent."""
        while self._untried:
            name = self._untried.pop()
            if name in wanted and name in self._suspects:
                return name
        return None

    def start_over(self) -> None:
        """Have each suspect sent on a new connection, the one with the most ends first."""
        self._untried = sorted(self._suspects, key=self._suspects.__getitem__)

    def answered(self, topic_filter: str) -> None:
        """Note that the broker answered: this filter is harmless."""
        self._suspects.pop(topic_filter, None)

    def all_answered(self) -> None:
        """Note that nothing that was sent is unanswered."""
        self._ends = 0

    def ended(self, unanswered: Collection[str], learned: Container[str], broker: str) -> None:
        """Note that a connection ended.

        Args:
            unanswered: the filters that were sent and not answered.
            learned: contains the filters that come from devices; no other is ever a suspect.
            broker: its name, for the log.
        """
        open_ones = [name for name in unanswered if name in learned]
        if not open_ones:
            return
        if len(unanswered) == 1 and open_ones[0] in self._suspects:
            self._accuse(open_ones[0], broker)
            return
        self._ends += 1
        if self._ends >= ENDS:
            self._suspects |= {name: 0 for name in open_ones if name not in self._suspects}

    def _accuse(self, name: str, broker: str) -> None:
        self._suspects[name] += 1
        if self._suspects[name] < ENDS:
            return
        del self._suspects[name]
        self._set_aside.add(name)
        self._log.error(
            "{broker} ends the connection whenever we subscribe to {topic_filter!r}, which a "
            "device announced; it is left out until the next start.",
            broker=broker,
            topic_filter=name,
        )
