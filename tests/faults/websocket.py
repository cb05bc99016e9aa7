"""The rows of faults of a device with a WebSocket: its handshake, its frames, its end.

Each is a test ``test_<name>`` in ``test_websocket``; the module under test is `opendtu`.
"""

from __future__ import annotations

from typing import Final

from tests.faults.row import Row

__all__ = ["WEBSOCKET", "websocket"]

_SAME: Final = "one line, tried again"
_DOWN_UP: Final = "one line down, one line up"
_STAYS: Final = "dropped and counted, the connection stays"

_ROWS: Final = (
    # name, place, fault, must
    ("ws_refused", "network", "nothing listens there, then it is there", _SAME),
    ("ws_dns_dead", "network", "the name does not resolve", _SAME),
    ("ws_killed", "device", "ends (SIGKILL), then is back", _DOWN_UP),
    ("ws_frozen", "device", "hangs (SIGSTOP), then continues", _DOWN_UP),
    ("ws_closed", "device", "closes with a code", _DOWN_UP),
    ("ws_reset", "device", "resets the connection", _DOWN_UP),
    ("ws_silent", "device", "has nothing to say and answers pings", "nothing: it is left alone"),
    ("ws_hang_up", "handshake", "ends instead of an answer", _SAME),
    ("ws_no_answer", "handshake", "takes the request and says nothing", _SAME),
    ("ws_slow_loris", "handshake", "slow loris: a byte of the answer now and then", _SAME),
    ("ws_not_http", "handshake", "speaks something else", _SAME),
    ("ws_html_500", "handshake", "500 with an HTML body", _SAME),
    ("ws_large_body", "handshake", "500 with a body of 100 MB", f"{_SAME}, no memory"),
    ("ws_endless_headers", "handshake", "headers that do not end", f"{_SAME}, no memory"),
    ("ws_redirect", "handshake", "a redirect", "one line says where to, it is not followed"),
    ("ws_too_many", "handshake", "429 with Retry-After", "left alone for so long"),
    ("ws_wrong_password", "login", "another password", "one line, two requests an attempt"),
    ("ws_half_frame", "frames", "ends in the middle of a frame", _DOWN_UP),
    ("ws_no_frame", "frames", "bytes that are no frame", _DOWN_UP),
    ("ws_endless_frame", "frames", "a frame that never ends", _DOWN_UP),
    ("ws_large_message", "frames", "a message of 100 MB", f"{_STAYS}, no memory"),
    ("ws_garbage", "frames", "messages that cannot be read", _STAYS),
    ("ws_flood", "frames", "2,000 messages at once", "all of them arrive"),
    ("ws_wrong_authority", "TLS", "a certificate of another authority", "one line, not trusted"),
    ("ws_wrong_host", "TLS", "a certificate for another host", "one line, not trusted"),
    ("ws_expired", "TLS", "a certificate that has expired", "one line, not trusted"),
    ("ws_not_tls", "TLS", "a port without TLS", _SAME),
)

WEBSOCKET: Final = tuple(Row(*row) for row in _ROWS)
_BY_NAME: Final = {row.name: row for row in WEBSOCKET}


def websocket(name: str) -> Row:
    """Return a row."""
    return _BY_NAME[name]
