"""Names in the log what devices send and no table knows, so that it can be mapped or reported."""

from __future__ import annotations

from typing import Final

from metrics_agent.interfaces import ModuleContext

__all__ = ["REASONS", "Remarks"]

REASONS: Final = frozenset({"unmapped_key", "unknown_object", "statistic"})
"""Reasons for which nothing is wrong with what a device sends."""
_MOST: Final = 5_000
"""Keys that are remembered, of all devices together: some 0.5 MiB."""
_MOST_OF_DEVICE: Final = 64
_MOST_IN_LINE: Final = 16
_KEY_CHARS: Final = 60


class Remarks:
    """Counts each key, and names it once for each device; the new ones of a message in one line.

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
        self._new.setdefault((device, reason), []).append(where[:_KEY_CHARS])

    def flush(self) -> None:
        """Log what is new in a message."""
        new, self._new = self._new, {}
        for (device, reason), keys in new.items():
            for start in range(0, len(keys), _MOST_IN_LINE):
                self._context.log.info(
                    "{device}: left out {where} ({reason}); counted from now on, not logged again.",
                    device=device,
                    reason=reason,
                    where=", ".join(keys[start : start + _MOST_IN_LINE]),
                    fold=("device", "where"),
                )
