"""Equal faults are logged once, then counted: "Repeated 9995 times in 10 s: ...".

Two faults are of one kind if module, level, sentence (before values are put in), type of
exception and the fields the event names under ``fold`` are the same. Within a window of
``WINDOW_S`` the first few texts of a kind are shown and the rest is counted, an equal text of a
warning or error at once. The count is logged when the window ends. While it goes on, the next
window is longer and shows nothing but its count; a window without a repetition ends it. Debug
lines are never folded: who asks for them wants them.

What an event names under ``fold`` often comes from devices, which can make up new names without
end. So of one sentence at most `KINDS_A_WINDOW` kinds begin within `WINDOW_S`; the others are one
kind together.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Final

from metrics_agent.logs.events import LogEntry
from metrics_agent.logs.levels import Level

__all__ = ["KINDS_A_WINDOW", "WINDOW_S", "Folder"]

WINDOW_S: Final = 10.0
_LONGEST_WINDOW_S: Final = 60.0
KINDS_A_WINDOW: Final = 50
_MAX_KINDS: Final = 1000
_KEPT_CHARS: Final = 400
"""Of the last text of a kind, to be repeated with its count. Nothing else is kept of any text, so
that all kinds together take two megabytes at most, whatever devices and servers write."""

_SHOWN: Final = {Level.ERROR: 5, Level.WARN: 5, Level.INFO: 20}
"""How many lines of one kind a window shows."""


class _Window:
    """What happened of one kind since ``start_s``."""

    __slots__ = ("last", "length_s", "repeats", "room", "start_s", "texts")

    def __init__(self, entry: LogEntry, now_s: float) -> None:
        self.start_s = now_s
        self.length_s = WINDOW_S
        self.room = _SHOWN[entry.level]
        self.texts: set[int] = set()
        self.repeats = 0
        self.last = _shortened(entry)

    @property
    def end_s(self) -> float:
        return self.start_s + self.length_s

    def shows(self, entry: LogEntry) -> bool:
        """Count an entry; True if it is to be shown itself."""
        said_before = entry.level is not Level.INFO and hash(entry.text) in self.texts
        if self.room and not said_before:
            self.room -= 1
            self.texts.add(hash(entry.text))
            return True
        self.repeats += 1
        self.last = _shortened(entry)
        return False

    def summary(self, now_s: float) -> LogEntry:
        """Return the line with the count, and reset the count."""
        times = "once" if self.repeats == 1 else f"{self.repeats} times"
        text = f"Repeated {times} in {max(1, round(now_s - self.start_s))} s: {self.last.text}"
        self.repeats = 0
        return self.last._replace(text=text)


def _shortened(entry: LogEntry) -> LogEntry:
    return entry._replace(text=entry.text[:_KEPT_CHARS], kind=None, details="")


class Folder:
    """Decides which entries are shown. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        # By the hash of the kind, which holds texts.
        self._windows: OrderedDict[int, _Window] = OrderedDict()
        # When the count of new kinds of a sentence began, and the count.
        self._sentences: dict[int, tuple[float, int]] = {}
        self._due_s: float | None = None

    def take(self, entry: LogEntry, now_s: float) -> Iterator[LogEntry]:
        """Take an entry; yield what is to be shown now: summaries that are due, then itself."""
        yield from self.due(now_s)
        if entry.kind is None or entry.level is Level.DEBUG:
            yield entry
            return
        key = hash((entry.module, entry.level, entry.kind))
        window = self._windows.get(key)
        if window is None and self._has_too_many_kinds(entry.kind[:2], entry, now_s):
            key = hash((entry.module, entry.level, entry.kind[:2], "others"))
            window = self._windows.get(key)
        if window is None or window.end_s <= now_s:
            yield from self._make_room(now_s)
            window = self._windows[key] = _Window(entry, now_s)
        if window.shows(entry):
            yield entry
        elif self._due_s is None or window.end_s < self._due_s:
            self._due_s = window.end_s

    def _has_too_many_kinds(self, of: tuple[Hashable, ...], entry: LogEntry, now_s: float) -> bool:
        """Count a new kind of a sentence."""
        sentence = hash((entry.module, entry.level, of))
        begun_s, count = self._sentences.get(sentence, (now_s, 0))
        if now_s >= begun_s + WINDOW_S:
            begun_s, count = now_s, 0
        if len(self._sentences) >= _MAX_KINDS:
            self._sentences.clear()
        self._sentences[sentence] = (begun_s, count + 1)
        return count >= KINDS_A_WINDOW

    @property
    def next_due_s(self) -> float | None:
        """When ``due`` has something to log, None if nothing is waiting."""
        return self._due_s

    def due(self, now_s: float) -> Iterator[LogEntry]:
        """Yield the counts of the windows that have ended."""
        if self._due_s is None or now_s < self._due_s:
            return
        for key, window in list(self._windows.items()):
            if window.end_s > now_s:
                continue
            if not window.repeats:
                del self._windows[key]
                continue
            yield window.summary(now_s)
            window.start_s = now_s
            window.length_s = min(2 * window.length_s, _LONGEST_WINDOW_S)
            window.room = 0
        waiting = [window.end_s for window in self._windows.values() if window.repeats]
        self._due_s = min(waiting, default=None)

    def drain(self, now_s: float) -> Iterator[LogEntry]:
        """Yield all counts, also of windows that have not ended."""
        windows, self._windows = self._windows, OrderedDict()
        self._due_s = None
        for window in windows.values():
            if window.repeats:
                yield window.summary(now_s)

    def _make_room(self, now_s: float) -> Iterator[LogEntry]:
        while len(self._windows) >= _MAX_KINDS:
            _, oldest = self._windows.popitem(last=False)
            if oldest.repeats:
                yield oldest.summary(now_s)
