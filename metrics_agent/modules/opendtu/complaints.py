"""What was left out: counted each time, told once for each device and reason."""

from __future__ import annotations

from typing import Final

from metrics_agent.interfaces import ModuleContext

__all__ = ["Complaints"]

# Odd but harmless, or as it should be: told so that a person can find it, not as a warning.
_REMARKS: Final = frozenset(
    {"never_heard", "unknown_channel", "unknown_object", "unmapped_key", "zero_total"}
)
_MOST: Final = 256


class Complaints:
    """Counts and tells.

    Args:
        context: the module's.
    """

    def __init__(self, context: ModuleContext) -> None:
        self._context = context
        self._told: set[tuple[str, str]] = set()

    def drop(self, device: str, reason: str, where: str) -> None:
        """Take note that something was left out.

        Args:
            device: whose it was, empty for the DTU's.
            reason: a snake_case word, the counter's name.
            where: its place in the message.
        """
        self._context.drop(reason)
        if (device, reason) in self._told or len(self._told) >= _MOST:
            return
        self._told.add((device, reason))
        tell = self._context.log.info if reason in _REMARKS else self._context.log.warn
        tell(
            "{device}: left out {where} ({reason}); counted from now on, not logged again.",
            device=device or "OpenDTU",
            reason=reason,
            where=where,
            fold=("device", "reason"),
        )
