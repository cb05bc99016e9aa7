"""An answer that is not a WebSocket: why, in words for the user who must fix it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from metrics_agent.cause import Cause
from metrics_agent.retry_after import retry_after_s
from metrics_agent.transports.websocket.conversation import HandshakeRefused

__all__ = ["cause_of_refusal"]

_SHOWN: Final = 80
_LOGIN_IN_URL: Final = re.compile(r"//[^/\s]*@")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TEXTS: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "it refuses the user name or password",
    HTTPStatus.FORBIDDEN: "it does not let us in",
    HTTPStatus.NOT_FOUND: "there is no WebSocket at that path",
    HTTPStatus.TOO_MANY_REQUESTS: "it says that requests come too fast",
    HTTPStatus.SERVICE_UNAVAILABLE: "it says that it is not available",
}
# What passes by itself; everything else that is not a fault of the server needs user action.
_PASSING: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
_SERVER_FAULT: Final = 500
_OK: Final = 200


def cause_of_refusal(refused: HandshakeRefused, now_s: float) -> Cause:
    """Return what an HTTP answer to the handshake means.

    Args:
        refused: the answer.
        now_s: the wall clock, for a server that names a date.
    """
    status = refused.status
    kind = f"http_{status}"
    if status in _REDIRECTS:
        return Cause(kind, _redirect(refused), needs_user_action=True)
    if _OK <= status < _OK + 100:
        text = f"it answers with a page, not with a WebSocket (HTTP {status})"
        return Cause(kind, text, needs_user_action=True)
    text = _TEXTS.get(status, "it has a fault of its own" if status >= _SERVER_FAULT else "")
    text = f"{text} (HTTP {status})" if text else f"it refuses the WebSocket (HTTP {status})"
    needs_user_action = status < _SERVER_FAULT and status not in _PASSING
    wait_s = retry_after_s(_header(refused, b"retry-after"), now_s, _header(refused, b"date"))
    return Cause(kind, text, needs_user_action, wait_s)


def _header(refused: HandshakeRefused, name: bytes) -> str:
    found = (value for key, value in refused.headers if key == name)
    return next(found, b"").decode("latin-1").strip()


def _redirect(refused: HandshakeRefused) -> str:
    place = _LOGIN_IN_URL.sub("//***@", _header(refused, b"location")).partition("?")[0]
    place = place if len(place) <= _SHOWN else place[:_SHOWN] + "..."
    where = f"to {place!r}" if place else "without saying where to"
    return f"it redirects {where}, set url to where the WebSocket is (HTTP {refused.status})"
