"""Whether something works: one line when it fails, one when it works again.

An outage lasts until the thing works again, and, where it has to prove itself first, until
`StatusLog.proven`: what fails again before that is the same outage going on. Each cause is logged
once an outage and subject, the rest at debug level. If no failure was logged, the end is not logged
either. If the last thing logged was that it works, a failure is logged after `LASTING_S` anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from metrics_agent.cause import Cause
from metrics_agent.logs.once import Once

__all__ = ["LASTING_S", "StatusLog"]

LASTING_S: Final = 30.0


class StatusLog:
    """Logs the failures of one thing, and their end.

    Args:
        log: where to.
        seconds: the reactor's clock.
        failed: the sentence for a failure; may use ``{subject}`` and ``{cause}``.
        restored: the sentence for the end of an outage; may use ``{subject}``, ``{seconds}``,
            ``{minutes}`` and what is given to `restored`.
    """

    def __init__(
        self, log: Logger, seconds: Callable[[], float], failed: str, restored: str
    ) -> None:
        self._log = log
        self._seconds = seconds
        self._failed = failed
        self._restored = restored
        self._once = Once()
        self._down_since: float | None = None
        self._logged_down = False

    def failed(self, subject: str, cause: Cause) -> None:
        """Log a failure, unless this cause was logged of this outage."""
        self._log_failure(self._failed, subject, cause)

    def restored(self, subject: str, **values: object) -> bool:
        """Log that it works again; False if there was no outage."""
        since_s, self._down_since = self._down_since, None
        if since_s is None:
            return False
        write = self._log.info if self._logged_down else self._log.debug
        self._logged_down = False
        down_s = self._seconds() - since_s
        write(self._restored, subject=subject, seconds=down_s, minutes=down_s / 60, **values)
        return True

    def proven(self) -> None:
        """Note that it has worked for a while: the next failure begins an outage."""
        self._once.clear()

    def _log_failure(self, text: str, subject: str, cause: Cause) -> None:
        if self._down_since is None:
            self._down_since = self._seconds()
        lasts = not self._logged_down and self._seconds() - self._down_since >= LASTING_S
        if not self._once.first(subject, cause.kind) and not lasts:
            self._log.debug(text, subject=subject, cause=cause.text)
            return
        self._logged_down = True
        write = self._log.error if cause.needs_user_action else self._log.warn
        write(text, subject=subject, cause=cause.text)
