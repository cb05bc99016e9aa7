"""The log of a connection: one line down, one line up.

An outage lasts from the loss to the time when a new connection has proved itself for `PROVEN_S`.
After a server was lost, "refused" or "silent" is the same news, and is not logged again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from metrics_agent.cause import Cause
from metrics_agent.logs.status_log import StatusLog

__all__ = ["PROVEN_S", "OutageReport"]

PROVEN_S: Final = 10.0
_SAME_NEWS: Final = ("closed", "refused", "silent", "timeout", "errno_2")


class OutageReport(StatusLog):
    """Logs the ups and downs of a connection.

    Args:
        log: where to.
        seconds: the reactor's clock.
    """

    def __init__(self, log: Logger, seconds: Callable[[], float]) -> None:
        super().__init__(
            log,
            seconds,
            "Cannot connect to {subject}: {cause}. Trying again.",
            "Connected to {subject} after {seconds:.0f} s.",
        )

    def lost(self, address: str, cause: Cause) -> None:
        """Log that a connection that had been accepted has ended."""
        text = "Lost the connection to {subject}: {cause}. Trying again."
        self._log_failure(text, address, cause)
        for kind in _SAME_NEWS:
            self._once.first(address, kind)

    def up(self, address: str) -> None:
        """Log that there is a connection, again or for the first time."""
        if not self.restored(address):
            self._log.info("Connected to {address}.", address=address)
        self._restored = "Connected to {subject} again after {seconds:.0f} s."
