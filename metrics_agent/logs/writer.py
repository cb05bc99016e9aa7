"""Lines that could not be written yet: kept in a bounded buffer, then dropped and counted."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["BoundedWriter", "LogTarget"]

_FIRST_RETRY_S: Final = 0.02
_LONGEST_RETRY_S: Final = 0.5


class LogTarget(Protocol):
    """What lines are written to; ``Descriptor`` but in tests."""

    def write(self, data: bytes) -> int:
        """Write what is taken at once; raises BlockingIOError or another OSError."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Wait until something can be written."""
        ...


class BoundedWriter:
    """Writes whole lines in order, and never waits.

    Each line is a write of its own, so that a pipe takes it whole or not at all.

    Args:
        target: where to.
        notice: makes the line that says how many lines were dropped.
        max_bytes: how much is kept while nothing is taken.
    """

    def __init__(
        self, target: LogTarget, notice: Callable[[int], bytes], *, max_bytes: int = 256 * 1024
    ) -> None:
        self._target = target
        self._notice = notice
        self._max_bytes = max_bytes
        # Each with the number of log lines that it covers: a notice covers all dropped ones.
        self._kept: deque[tuple[bytes, int]] = deque()
        self._size = 0
        self._dropped = 0
        self._begun = False
        self._torn = False
        self._retry_delay_s = _FIRST_RETRY_S
        self._retry_s: float | None = None

    @property
    def next_due_s(self) -> float | None:
        """When to call ``flush``, None if nothing is kept."""
        return self._retry_s

    def write(self, line: bytes, now_s: float) -> None:
        """Write a line that ends in a newline, now or later."""
        if self._retry_s is not None and self._retry_s <= now_s:
            self.flush(now_s)
        if self._size + len(line) > self._max_bytes:
            self._dropped += 1
            return
        self._keep_notice()
        self._keep(line, 1)
        if self._retry_s is None:
            self.flush(now_s)

    def flush(self, now_s: float) -> bool:
        """Write what is kept, as far as it is taken; True if nothing is left."""
        wrote = False
        while self._kept or self._keep_notice():
            try:
                self._write_first()
            except BlockingIOError:
                self._retry_later(now_s, wrote=wrote)
                return False
            except OSError:
                # The reader is gone or the disk is full, and there is no other place to report
                # it. Once a later line succeeds, the count is logged.
                self._drop_all()
                return True
            wrote = True
        self._rest()
        return True

    def flush_within(self, timeout_s: float) -> bool:
        """Write what is kept, waiting for the reader; only for the end of the process."""
        end_s = time.monotonic() + timeout_s
        while not self.flush(0.0):
            remaining_s = end_s - time.monotonic()
            if remaining_s <= 0 or not self._target.wait(remaining_s):
                return False
        return True

    def _keep(self, line: bytes, count: int) -> None:
        self._kept.append((line, count))
        self._size += len(line)

    def _keep_notice(self) -> bool:
        """Queue the line about dropped ones, in the place where they would have been."""
        count, self._dropped = self._dropped, 0
        if count:
            self._keep(self._notice(count), count)
        return bool(count)

    def _write_first(self) -> None:
        line, count = self._kept[0]
        if self._torn:
            # Half a line went out before the reader was gone; what follows is a line of its own.
            self._target.write(b"\n")
            self._torn = False
        taken = self._target.write(line)
        self._size -= taken
        self._begun = taken < len(line)
        if self._begun:
            self._kept[0] = (line[taken:], count)
        else:
            self._kept.popleft()

    def _retry_later(self, now_s: float, *, wrote: bool) -> None:
        if wrote:
            self._retry_delay_s = _FIRST_RETRY_S
        elif self._retry_s is not None:
            self._retry_delay_s = min(2 * self._retry_delay_s, _LONGEST_RETRY_S)
        self._retry_s = now_s + self._retry_delay_s

    def _drop_all(self) -> None:
        self._dropped += sum(count for _line, count in self._kept)
        self._kept.clear()
        self._size = 0
        self._torn = self._torn or self._begun
        self._begun = False
        self._rest()

    def _rest(self) -> None:
        self._retry_s = None
        self._retry_delay_s = _FIRST_RETRY_S
