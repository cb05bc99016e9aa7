"""Names in the log what devices send and no table knows, so that it can be mapped or reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from metrics_agent.interfaces import ModuleContext

__all__ = ["REASONS", "Remarks"]

_QUESTION: Final = "unit_not_known"
"""The reason that asks for a setting."""
REASONS: Final = frozenset(
    {_QUESTION, "same_field_twice", "statistic", "unknown_object", "unmapped_key"}
)
"""Reasons for which nothing is wrong with what a device sends."""
_MOST: Final = 5_000
"""Keys that are remembered, of all devices together: some 0.5 MiB."""
_MOST_OF_DEVICE: Final = 64
_MOST_USUAL: Final = 1_000
"""Messages whose remarks are remembered as a whole: some 0.2 MiB."""
_MOST_IN_LINE: Final = 16
_KEY_CHARS: Final = 60
_QUESTION_CHARS: Final = 800


class Remarks:
    """Counts each key, and names it once for each device; the new ones of a message in one line.

    What asks for a setting is a line for each meter, and a warning. What a device makes up is
    bounded: after 64 keys and 64 questions of a device, and 5,000 of all, further ones are only
    counted.

    Args:
        context: of the module.
    """

    def __init__(self, context: ModuleContext) -> None:
        self._context = context
        self._noted: list[tuple[str, str]] = []
        self._seen: set[int] = set()
        self._of_device: dict[int, int] = {}
        # A device leaves out the same each time: all of a message is looked up at once.
        self._usual: dict[int, tuple[tuple[str, int], ...]] = {}

    def add(self, reason: str, where: str) -> None:
        """Note a key of the message at hand; `flush` counts it."""
        self._noted.append((reason, where))

    def flush(self, device: str) -> None:
        """Count what a message of a device has, and log what is new in it."""
        noted = tuple(self._noted)
        self._noted.clear()
        key = hash((device, noted))
        counts = self._usual.get(key)
        if counts is None:
            counts = tuple(Counter([reason for reason, _ in noted]).items())
            if len(self._usual) < _MOST_USUAL:
                self._usual[key] = counts
            self._name(device, noted)
        for reason, count in counts:
            self._context.drop(reason, count)

    def _name(self, device: str, noted: Iterable[tuple[str, str]]) -> None:
        new: dict[str, list[str]] = {}
        for reason, where in noted:
            if self._is_new(device, reason, where):
                chars = _QUESTION_CHARS if reason == _QUESTION else _KEY_CHARS
                new.setdefault(reason, []).append(where[:chars])
        for reason, keys in new.items():
            asks = reason == _QUESTION
            write = self._context.log.warn if asks else self._context.log.info
            in_line = 1 if asks else _MOST_IN_LINE
            for start in range(0, len(keys), in_line):
                write(
                    "{device}: left out {where} ({reason}); counted from now on, not logged again.",
                    device=device,
                    reason=reason,
                    where=", ".join(keys[start : start + in_line]),
                    fold=("device", "where"),
                )

    def _is_new(self, device: str, reason: str, where: str) -> bool:
        key = hash((device, reason, where))
        # Behind a bridge keys of many devices must not keep out a question.
        kind = hash((device, reason == _QUESTION))
        count = self._of_device.get(kind, 0)
        if key in self._seen or len(self._seen) >= _MOST or count >= _MOST_OF_DEVICE:
            return False
        self._of_device[kind] = count + 1
        self._seen.add(key)
        return True
