"""What the topics of availability said last, over a restart.

Values that the broker has kept for our session come in order, and what was announced of their
availability since comes among them. What was said before only we know; the broker's stored copy of
it comes behind them. So it is kept in a file: without it all of these values would be those of
entities that may not be there, of which only the last is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from metrics_agent.interfaces import ModuleContext
from metrics_agent.limits import HADISCOVERY_STATUS_BYTES, HADISCOVERY_TOPICS, STATE_FILE_BYTES

__all__ = ["RememberedWords"]

_FIRST_S: Final = 2.0
"""Stored messages come in a burst after the start."""
SAVE_EVERY_S: Final = 60.0
"""The least time between two looks at all topics; the file itself is written less often."""
_STATE_FILE: Final = "availability.json"
_PER_ITEM: Final = 2
"""What stands between two members."""
_encode: Final = json.JSONEncoder().encode
"""As `json.dumps`, at a third of its time."""


class RememberedWords:
    """Keeps messages of availability topics by topic, as far as there is room.

    Args:
        context: of the module.
        said: gives the topics and their last messages.
    """

    def __init__(
        self, context: ModuleContext, said: Callable[[], Iterable[tuple[str, bytes]]]
    ) -> None:
        self._context = context
        self._said = said
        self._file = context.state_file(_STATE_FILE)
        self._changed = False
        self._delay_s = _FIRST_S
        self._is_due = False

    def read(self) -> dict[str, bytes]:
        """Return what was said in an earlier run, by topic."""
        stored = self._file.read()
        found = stored.items() if isinstance(stored, dict) else ()
        return {
            topic: text.encode("utf-8", "replace")[:HADISCOVERY_STATUS_BYTES]
            for topic, text in islice(found, HADISCOVERY_TOPICS)
            if isinstance(text, str)
        }

    def change(self) -> None:
        """Note that something else is said now."""
        self._changed = True
        if not self._is_due:
            self._is_due = True
            self._context.later(self._delay_s, self._save_again, place="save")
            self._delay_s = SAVE_EVERY_S

    def close(self) -> None:
        """Save at once what is not saved yet."""
        if self._changed:
            self._save()

    def _save_again(self) -> None:
        self._is_due = False
        self._save()

    def _save(self) -> None:
        self._changed = False
        left = STATE_FILE_BYTES
        members: list[str] = []
        for topic, payload in self._said():
            member = f"{_encode(topic)}: {_encode(payload.decode('utf-8', 'replace'))}"
            left -= len(member) + _PER_ITEM
            if left < 0:
                break
            members.append(member)
        self._file.write_encoded(f"{{{', '.join(members)}}}".encode("ascii"))
