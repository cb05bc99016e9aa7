"""What was logged already: log once, count the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

__all__ = ["LeftOut", "Once"]

MOST_SUBJECTS: Final = 5_000
MOST_KINDS: Final = 60
"""Different kinds of one memory; there are some 30 in the code of a module, and devices make up
none."""

_LOGGED_CHARS: Final = 200


class Once:
    """Remembers of each subject which kinds of lines were logged, in bounded memory.

    A bit for each kind, so that a subject takes some 100 bytes. When there is no more room, lines
    about further subjects are not logged.

    Args:
        most: subjects that are remembered.
    """

    __slots__ = ("_kinds", "_logged", "_most")

    def __init__(self, most: int = MOST_SUBJECTS) -> None:
        self._most = most
        self._kinds: dict[str, int] = {}
        # By the hash of the subject, which may be a long text from a device.
        self._logged: dict[int, int] = {}

    def first(self, subject: str, kind: str) -> bool:
        """Note that a line is due; False if it was logged before and is not to be logged again."""
        bit = self._kinds.get(kind)
        if bit is None:
            if len(self._kinds) >= MOST_KINDS:
                return False
            bit = self._kinds[kind] = 1 << len(self._kinds)
        key = hash(subject)
        logged = self._logged.get(key, 0)
        if logged & bit or (not logged and len(self._logged) >= self._most):
            return False
        self._logged[key] = logged | bit
        return True

    def forget(self, subject: str) -> bool:
        """Forget a subject, so that its lines are logged again; False if none was logged."""
        return self._logged.pop(hash(subject), 0) > 0

    def clear(self) -> None:
        """Forget everything."""
        self._kinds.clear()
        self._logged.clear()


class LeftOut:
    """Counts what is left out, and logs it once for each device and reason.

    Args:
        log: of the module.
        count: takes a reason.
    """

    def __init__(self, log: Logger, count: Callable[[str], object]) -> None:
        self._log = log
        self._count = count
        self._once = Once()

    def note(self, device: str, reason: str, where: str, *, harmless: bool = False) -> None:
        """Count; see `ModuleContext.left_out`."""
        self._count(reason)
        if not self._once.first(device, reason):
            return
        write = self._log.info if harmless else self._log.warn
        write(
            "{device}: left out {where} ({reason}); counted from now on, not logged again.",
            device=device,
            reason=reason,
            where=where[:_LOGGED_CHARS],
            fold=("device", "reason"),
        )
