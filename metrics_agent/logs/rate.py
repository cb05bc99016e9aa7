"""A limit on the lines logged for each level: a flood of one level hides no other."""

from __future__ import annotations

from typing import Final

from metrics_agent.clock import wall_s
from metrics_agent.logs.events import AGENT, LogEntry
from metrics_agent.logs.levels import Level

__all__ = ["RateLimit"]

_REPORTED_AFTER_S: Final = 10.0


class RateLimit:
    """A token bucket for each level.

    Args:
        lines_per_s: the rate that is let through in the long run.
        burst: what is let through at once.
    """

    def __init__(self, lines_per_s: float = 50.0, burst: int = 200) -> None:
        self._lines_per_s = lines_per_s
        self._burst = float(burst)
        self._tokens = dict.fromkeys(Level, self._burst)
        self._filled_s = dict.fromkeys(Level, 0.0)
        self._suppressed = 0
        self._due_s: float | None = None

    def allows(self, level: Level, now_s: float) -> bool:
        """Take a token; False if the line is not to be written (it is counted)."""
        gained = max(0.0, now_s - self._filled_s[level]) * self._lines_per_s
        tokens = min(self._burst, self._tokens[level] + gained)
        self._filled_s[level] = now_s
        if tokens >= 1:
            self._tokens[level] = tokens - 1
            return True
        self._tokens[level] = tokens
        self._suppressed += 1
        if self._due_s is None:
            self._due_s = now_s + _REPORTED_AFTER_S
        return False

    @property
    def next_due_s(self) -> float | None:
        """When the number of suppressed lines is to be logged, None if there are none."""
        return self._due_s

    def due(self, now_s: float) -> LogEntry | None:
        """Return the line with the number of suppressed lines, when it is due."""
        if self._due_s is None or now_s < self._due_s:
            return None
        return self.drain()

    def drain(self) -> LogEntry | None:
        """Return that line at once, None if nothing was suppressed."""
        count, self._suppressed, self._due_s = self._suppressed, 0, None
        if not count:
            return None
        lines = "1 more line was" if count == 1 else f"{count} more lines were"
        text = f"{lines} suppressed: more than {self._lines_per_s:g} of one level in a second."
        return LogEntry(Level.WARN, AGENT, text, wall_s())
