"""What the topics of availability said last, over a restart.

Values that the broker has kept for our session come in order. Messages about availability since
then are among them. What was said before, only this file knows: the broker sends its retained copy
last. Without the file all of these values would wait for that copy, and only the last would count.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final

from metrics_agent.interfaces import ModuleContext
from metrics_agent.limits import HADISCOVERY_STATUS_BYTES, HADISCOVERY_TOPICS, STATE_FILE_BYTES

__all__ = ["RememberedAvailability"]

_FIRST_S: Final = 2.0
"""Stored messages come in a burst after the start."""
SAVE_EVERY_S: Final = 30.0
"""The least time between two writes of the file: changes are rare."""
_STATE_FILE: Final = "availability.json"
_PER_ITEM: Final = 2
"""Comma and blank between two members."""
_END: Final = "}}"
_encode: Final = json.JSONEncoder().encode
"""As `json.dumps`, at a third of its time."""


class RememberedAvailability:
    """Keeps messages of availability topics by topic, as far as there is room.

    Args:
        context: of the module.
        broker: its addresses: the topics of another one are not those of the file.
        said: gives the topics and their last messages.
    """

    def __init__(
        self,
        context: ModuleContext,
        broker: Iterable[str],
        said: Callable[[], Iterable[tuple[str, bytes]]],
    ) -> None:
        self._context = context
        self._broker = list(broker)
        self._said = said
        self._file = context.state_file(_STATE_FILE)
        self._changed = False
        self._delay_s = _FIRST_S
        self._is_due = False

    def read(self) -> dict[str, bytes]:
        """Return what was said at this broker in an earlier run, by topic."""
        stored: Any = self._file.read()
        if not isinstance(stored, dict) or stored.get("broker") != self._broker:
            return {}
        topics = stored.get("topics")
        found = topics.items() if isinstance(topics, dict) else ()
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
        start = f'{{"broker": {_encode(self._broker)}, "topics": {{'
        left = STATE_FILE_BYTES - len(start) - len(_END)
        members: list[str] = []
        for topic, payload in self._said():
            member = f"{_encode(topic)}: {_encode(payload.decode('utf-8', 'replace'))}"
            left -= len(member) + _PER_ITEM
            if left < 0:
                break
            members.append(member)
        data = f"{start}{', '.join(members)}{_END}".encode("ascii")
        # With the usual pace a process that is killed would leave what was so minutes ago.
        self._file.write_encoded(data, at_once=True)
