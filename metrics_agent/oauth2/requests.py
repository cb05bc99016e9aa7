"""Limits of the login page's web server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from metrics_agent.limited_site import SiteLimits
from metrics_agent.limits import (
    LOGIN_BODY_BYTES,
    LOGIN_CONNECTIONS,
    LOGIN_CONNECTIONS_PER_PEER,
    LOGIN_HEADER_BYTES,
    LOGIN_HEADERS,
    LOGIN_PEERS,
    LOGIN_REQUESTS_PER_MINUTE,
)

__all__ = ["LOGIN_LIMITS", "RequestCounter"]

LOGIN_LIMITS: Final = SiteLimits(
    connections=LOGIN_CONNECTIONS,
    connections_per_peer=LOGIN_CONNECTIONS_PER_PEER,
    headers=LOGIN_HEADERS,
    header_bytes=LOGIN_HEADER_BYTES,
    body_bytes=LOGIN_BODY_BYTES,
)
_MINUTE_S: Final = 60.0


class RequestCounter:
    """Counts the requests of each client within a minute.

    Args:
        seconds: the reactor's clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._since_s = seconds()
        self._counts: dict[str, int] = {}

    def allows(self, peer: str) -> bool:
        """Count a request; return whether it is within the limit."""
        now_s = self._seconds()
        if now_s - self._since_s >= _MINUTE_S:
            self._since_s = now_s
            self._counts.clear()
        if peer not in self._counts and len(self._counts) >= LOGIN_PEERS:
            peer = ""  # all further ones together
        count = self._counts[peer] = self._counts.get(peer, 0) + 1
        return count <= LOGIN_REQUESTS_PER_MINUTE
