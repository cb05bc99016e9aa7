"""Many events of one kind at once make one line: "Discovered 5000 devices, the first: ..."."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel

__all__ = ["Burst"]

_LONGEST_WAIT: Final = 10
"""Times `quiet_s`: a stream without a pause is logged all the same."""


class Burst:
    """Collects items until there is a pause, then logs them.

    Args:
        log: where to.
        clock: provides callLater.
        many: the line for more than ``few`` items; may use ``{count}`` and ``{first}``.
        one: the line for each of a few items, may use ``{first}``; ``many`` if None.
        quiet_s: the pause after which the items are logged.
        few: up to so many items are logged one by one.
        level: of the lines.
    """

    def __init__(
        self,
        log: Logger,
        clock: IReactorTime,
        many: str,
        *,
        one: str | None = None,
        quiet_s: float = 1.0,
        few: int = 5,
        level: LogLevel = LogLevel.info,
    ) -> None:
        self._log = log
        self._clock = clock
        self._many = many
        self._one = many if one is None else one
        self._quiet_s = quiet_s
        self._few = few
        self._level = level
        self._first_items: list[object] = []
        self._count = 0
        self._latest_s = 0.0
        self._call: IDelayedCall | None = None

    def add(self, item: object) -> None:
        """Count an item; the first few are kept until the line is written."""
        now_s = self._clock.seconds()
        self._count += 1
        if len(self._first_items) < self._few:
            self._first_items.append(item)
        if self._call is None:
            self._latest_s = now_s + _LONGEST_WAIT * self._quiet_s
            self._call = self._clock.callLater(self._quiet_s, self._log_items)
        else:
            self._call.reset(min(self._quiet_s, max(0.0, self._latest_s - now_s)))

    def flush(self) -> None:
        """Log at once what was collected, and cancel the timer."""
        if self._call is not None:
            self._call.cancel()
            self._log_items()

    def _log_items(self) -> None:
        first, self._first_items = self._first_items, []
        count, self._count = self._count, 0
        self._call = None
        if count <= len(first):
            for item in first:
                # Few, and each is another: nothing to fold.
                self._log.emit(self._level, self._one, count=1, first=item, fold=False)
        else:
            self._log.emit(self._level, self._many, count=count, first=first[0], fold=False)
