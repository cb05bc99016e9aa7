"""What is said about a connection's ups and downs: one line down, one line up.

An outage lasts from the loss to the time when a new connection has proved itself for
`PROVEN_S`; a connection that is closed again before that is the same outage going on. Each
cause is said once an outage and address. A server that was there and went away is not told
again as "refused" or "silent" afterwards: that is the same news. What was not told as down is not
told as up either. Where the last that was told is that it is up, `LASTING_S` without it are news.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from metrics_agent.cause import Cause

__all__ = ["LASTING_S", "PROVEN_S", "OutageReport"]

PROVEN_S: Final = 10.0
LASTING_S: Final = 30.0
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
        self._told_down = False

    def failed(self, address: str, cause: Cause) -> None:
        """Tell that a connection could not be had."""
        self._tell("Cannot connect to {address}: {cause}. Trying again.", address, cause)

    def lost(self, address: str, cause: Cause) -> None:
        """Tell that a connection that the broker had accepted has ended."""
        self._tell("Lost the connection to {address}: {cause}. Trying again.", address, cause)
        self._said |= {(address, kind) for kind in _SAME_NEWS}

    def up(self, address: str) -> None:
        """Tell that there is a connection again (or for the first time)."""
        if self._down_since is None:
            self._log.info("Connected to {address}.", address=address)
        else:
            tell = self._log.info if self._told_down else self._log.debug
            tell(
                "Connected to {address} again after {seconds:.0f} s."
                if self._ever_up
                else "Connected to {address} after {seconds:.0f} s.",
                address=address,
                seconds=self._seconds() - self._down_since,
            )
        self._ever_up = True
        self._told_down = False
        self._down_since = None

    def proven(self) -> None:
        """Note that the connection has held for a while: what comes next is news again."""
        self._said.clear()

    def _tell(self, text: str, address: str, cause: Cause) -> None:
        if self._down_since is None:
            self._down_since = self._seconds()
        lasts = not self._told_down and self._seconds() - self._down_since >= LASTING_S
        if (address, cause.kind) in self._said and not lasts:
            self._log.debug(text, address=address, cause=cause.text)
            return
        self._said.add((address, cause.kind))
        self._told_down = True
        if cause.needs_user_action:
            self._log.error(text, address=address, cause=cause.text)
        else:
            self._log.warn(text, address=address, cause=cause.text)
