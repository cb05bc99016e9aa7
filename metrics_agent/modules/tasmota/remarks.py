"""Names in the log what devices send and no table knows, so that it can be mapped or reported."""

from __future__ import annotations

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
_MOST_IN_LINE: Final = 16
_KEY_CHARS: Final = 60
_QUESTION_CHARS: Final = 800


class Remarks:
    """Counts each key, and names it once for each device; the new ones of a message in one line.

    What asks for a setting is a line for each meter, and a warning.

    What a device makes up is bounded: after 64 keys of a device, and 5,000 of all, further ones are
    only counted.

    Args:
        context: of the module.
    """

    def __init__(self, context: ModuleContext) -> None:
        self._context = context
        self._seen: set[int] = set()
        self._of_device: dict[int, int] = {}
        self._new: dict[tuple[str, str], list[str]] = {}

    def add(self, device: str, reason: str, where: str) -> None:
        """Count a key of a device; the log names it at the next `flush` if it is new."""
        self._context.drop(reason)
        key = hash((device, reason, where))
        if key in self._seen or len(self._seen) >= _MOST:
            return
        count = self._of_device.get(hash(device), 0)
        if count >= _MOST_OF_DEVICE:
            return
        self._of_device[hash(device)] = count + 1
        self._seen.add(key)
        chars = _QUESTION_CHARS if reason == _QUESTION else _KEY_CHARS
        self._new.setdefault((device, reason), []).append(where[:chars])

    def flush(self) -> None:
        """Log what is new in a message."""
        new, self._new = self._new, {}
        for (device, reason), keys in new.items():
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
