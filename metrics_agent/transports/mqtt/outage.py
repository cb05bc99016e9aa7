"""What is said about a connection's ups and downs: one line down, one line up.

An outage lasts from the loss to the time when a new connection has proved itself for
`PROVEN_S`; a connection that is closed again before that is the same outage going on. Each
cause is said once an outage and address. A broker that was there and went away is not told
again as "refused" or "silent" afterwards: that is the same news.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from metrics_agent.transports.mqtt.causes import Cause

__all__ = ["PROVEN_S", "OutageReport"]

PROVEN_S: Final = 10.0
_SAME_NEWS: Final = frozenset({"closed", "refused", "silent", "timeout", "errno_2"})


class OutageReport:
    """Writes the lines and remembers what was said.

    Args:
        log: where to.
        seconds: the reactor's clock.
    """

    def __init__(self, log: Logger, seconds: Callable[[], float]) -> None:
        self._log = log
        self._seconds = seconds
        self._said: set[tuple[str, str]] = set()
        self._down_since: float | None = None
        self._ever_up = False

    def failed(self, broker: str, cause: Cause) -> None:
        """Tell that a connection could not be had."""
        self._tell("Cannot connect to {broker}: {cause}. Trying again.", broker, cause)

    def lost(self, broker: str, cause: Cause) -> None:
        """Tell that a connection that the broker had accepted has ended."""
        self._tell("Lost the connection to {broker}: {cause}. Trying again.", broker, cause)
        self._said |= {(broker, kind) for kind in _SAME_NEWS}

    def up(self, broker: str) -> None:
        """Tell that there is a connection again (or for the first time)."""
        if self._down_since is None:
            self._log.info("Connected to {broker}.", broker=broker)
        elif self._ever_up:
            self._log.info(
                "Connected to {broker} again after {seconds:.0f} s.",
                broker=broker,
                seconds=self._seconds() - self._down_since,
            )
        else:
            self._log.info(
                "Connected to {broker} after {seconds:.0f} s.",
                broker=broker,
                seconds=self._seconds() - self._down_since,
            )
        self._ever_up = True
        self._down_since = None

    def proven(self) -> None:
        """Note that the connection has held for a while: what comes next is news again."""
        self._said.clear()

    def _tell(self, text: str, broker: str, cause: Cause) -> None:
        if self._down_since is None:
            self._down_since = self._seconds()
        if (broker, cause.kind) in self._said:
            self._log.debug(text, broker=broker, cause=cause.text)
            return
        self._said.add((broker, cause.kind))
        if cause.for_a_person:
            self._log.error(text, broker=broker, cause=cause.text)
        else:
            self._log.warn(text, broker=broker, cause=cause.text)
