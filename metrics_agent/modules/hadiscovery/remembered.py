"""Announcements, over a restart.

Some publishers do not retain theirs, and not every broker gives retained messages for a filter with
a wildcard. So the latest announcements are kept in a file, as they came, and read back as an
announcement is: whoever could write to the file can do no more than a publisher can.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.task import deferLater

from metrics_agent.interfaces import ModuleContext
from metrics_agent.limits import STATE_FILE_BYTES

__all__ = ["Remembered"]

FORGET_AFTER_S: Final = 24 * 60 * 60.0
"""How long a device of an earlier run may be silent."""
SAVE_EVERY_S: Final = 60.0
"""The least time between two looks at all of them; the file itself is written less often."""
_BURST_S: Final = 2.0
_SLICE_S: Final = 0.02
_STATE_FILE: Final = "announcements.json"
_PER_ITEM: Final = 8
"""Quotes, colon, comma and blanks of a member."""


class Remembered:
    """Keeps payloads by discovery topic, the latest ones as far as there is room.

    Args:
        context: of the module.
        forget: called with the topic of an announcement of an earlier run after a day.
    """

    def __init__(self, context: ModuleContext, forget: Callable[[str], object]) -> None:
        self._context = context
        self._forget = forget
        self._file = context.state_file(_STATE_FILE)
        self._payloads: dict[str, str] = {}
        self._size_bytes = 0
        self._restored: set[str] = set()
        self._is_complete = False
        self._save_is_due = False
        self._changed = False

    def note(self, topic: str, payload: bytes) -> None:
        """Keep an announcement that is in force."""
        self._restored.discard(topic)
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            return
        if self._payloads.get(topic) == text:
            return
        self._pop(topic)
        size_bytes = _size_of(topic, text)
        if size_bytes > STATE_FILE_BYTES // 4:
            return
        self._payloads[topic] = text
        self._size_bytes += size_bytes
        while self._size_bytes > STATE_FILE_BYTES - 2:
            self._pop(next(iter(self._payloads)))
        self._change()

    def remove(self, topic: str) -> None:
        """Forget an announcement that is withdrawn."""
        self._restored.discard(topic)
        if self._pop(topic):
            self._change()

    def close(self) -> None:
        """Save at once what is not saved yet."""
        if self._changed and self._is_complete:
            self._save()

    async def restore(self, take: Callable[[str, bytes], object]) -> None:
        """Hand on what was announced in an earlier run, oldest first.

        Args:
            take: gets topic and payload.
        """
        stored = self._file.read()
        pace = _Pace(self._context.reactor)
        for topic, text in stored.items() if isinstance(stored, dict) else ():
            if not isinstance(text, str) or topic in self._payloads:
                continue
            take(topic, text.encode("utf-8", "replace"))
            self._restored.add(topic)
            await pace.rest()
        self._is_complete = True
        self._context.later(FORGET_AFTER_S, self._begin_to_forget, place="forget")

    def _begin_to_forget(self) -> None:
        self._context.watch(self._forget_silent(), place="forget")

    async def _forget_silent(self) -> None:
        pace = _Pace(self._context.reactor)
        while self._restored:
            self._forget(self._restored.pop())
            await pace.rest()

    def _pop(self, topic: str) -> bool:
        text = self._payloads.pop(topic, None)
        if text is None:
            return False
        self._size_bytes -= _size_of(topic, text)
        return True

    def _change(self) -> None:
        self._changed = True
        if not self._save_is_due and self._is_complete:
            self._save_is_due = True
            self._context.later(_BURST_S, self._save_later, place="save")

    def _save_later(self) -> None:
        self._save()
        self._context.later(SAVE_EVERY_S, self._save_again, place="save")

    def _save_again(self) -> None:
        self._save_is_due = False
        if self._changed:
            self._change()

    def _save(self) -> None:
        self._changed = False
        self._file.write_encoded(json.dumps(self._payloads).encode("ascii"))


class _Pace:
    """Lets the reactor do other work now and then."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._until_s = reactor.seconds() + _SLICE_S

    async def rest(self) -> None:
        """Wait for the next turn if this one has taken its share."""
        if self._reactor.seconds() >= self._until_s:
            await deferLater(self._reactor, 0)
            self._until_s = self._reactor.seconds() + _SLICE_S


def _size_of(topic: str, text: str) -> int:
    # As JSON writes them: with escapes, in ASCII.
    return len(json.dumps(topic)) + len(json.dumps(text)) + _PER_ITEM
