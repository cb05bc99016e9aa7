"""Why a broker cannot be had or was lost; what concerns any connection is in ``..causes``."""

from __future__ import annotations

from twisted.internet import error
from twisted.python.failure import Failure

from metrics_agent.cause import Cause
from metrics_agent.errors import ProtocolError
from metrics_agent.transports.causes import (
    of_connect_failure,
    of_error,
    of_unread,
)

__all__ = [
    "BAD_VERSION",
    "OLD_BROKER",
    "of_connack",
    "of_connect_failure",
    "of_disconnect",
    "of_loss",
    "of_no_connack",
    "of_protocol_error",
    "of_short_lives",
    "of_silence",
    "of_unread",
    "of_wrong_speech",
    "taken_over",
]


def _login(kind: str, text: str) -> Cause:
    return Cause(kind, text, needs_user_action=True)


_BAD_LOGIN = _login("bad_login", "the broker refuses the user name or password")
_NOT_AUTHORISED = _login(
    "not_authorised", "the broker does not authorise this login (check user name and password)"
)
_BAD_CLIENT_ID = _login("bad_client_id", "the broker does not accept the client id {client_id!r}")
BAD_VERSION = "bad_version"
"""The kind of the cause where the broker refuses the version of MQTT."""
_BAD_VERSION = _login(BAD_VERSION, "the broker does not speak MQTT {protocol}")
_UNAVAILABLE = Cause("unavailable", "the broker says that it is not available")

_CONNACK_3 = {
    1: _BAD_VERSION,
    2: _BAD_CLIENT_ID,
    3: _UNAVAILABLE,
    4: _BAD_LOGIN,
    5: _NOT_AUTHORISED,
}
_CONNACK_5 = {
    0x01: _BAD_VERSION,  # a broker of MQTT 3 answers so
    0x84: _BAD_VERSION,
    0x85: _BAD_CLIENT_ID,
    0x86: _BAD_LOGIN,
    0x87: _NOT_AUTHORISED,
    0x88: _UNAVAILABLE,
    0x89: Cause("busy", "the broker says that it is busy"),
    0x8A: _login("banned", "the broker has banned this client"),
    0x8C: _login("bad_method", "the broker wants another way of logging in"),
    0x97: Cause("quota", "the broker says that a quota is exceeded"),
    0x9F: Cause("rate", "the broker says that connections come too fast"),
}
_DISCONNECT_5 = {
    0x00: "the broker ended the connection",
    0x82: "the broker says that we broke the protocol",
    0x87: "the broker no longer authorises us",
    0x89: "the broker is busy",
    0x8B: "the broker is shutting down",
    0x8D: "the broker heard nothing from us within the keepalive time",
    0x93: "the broker says that we took too many messages at once",
    0x95: "the broker says that a packet was too large",
    0x96: "the broker says that messages come too fast",
    0x97: "the broker says that a quota is exceeded",
    0x98: "an administrator of the broker ended the connection",
}
TAKEN_OVER = 0x8E
_WRONG_PORT = "is it the right port, with or without TLS?"
OLD_BROKER = 'if the broker does not know MQTT 5, set `protocol = "3.1.1"`'


def of_connack(code: int, *, protocol: str, client_id: str) -> Cause:
    """Return the cause of a refused CONNECT.

    Args:
        code: of CONNACK, in the meaning of the protocol's version.
        protocol: ``3.1.1`` or ``5``; that of the connection, not of the setting.
        client_id: the id that we connected with.
    """
    known = (_CONNACK_5 if protocol == "5" else _CONNACK_3).get(code)
    if known is None:
        return _login(
            f"connack_{code}", f"the broker refuses the connection with code 0x{code:02x}"
        )
    text = known.text.format(protocol=protocol, client_id=client_id)
    return Cause(known.kind, text, known.needs_user_action)


def of_disconnect(code: int, client_id: str) -> Cause:
    """Return the cause of an MQTT 5 connection that the broker ended with a reason."""
    if code == TAKEN_OVER:
        return taken_over(client_id)
    text = _DISCONNECT_5.get(code, f"the broker ended the connection with code 0x{code:02x}")
    return Cause(f"disconnect_{code}", text)


_SET_ANOTHER = "(set `client_id` or `instance`)"


def taken_over(client_id: str) -> Cause:
    """Return the cause of a broker that says that a client of the same id has taken our place."""
    text = f"another client took over the client id {client_id!r} {_SET_ANOTHER}"
    return Cause("taken_over", text, needs_user_action=True)


def of_short_lives(client_id: str, times: int) -> Cause:
    """Return the cause of a broker that closes each connection soon after accepting it.

    A second client of our id looks like this where the broker does not name it (MQTT 3.1.1 cannot,
    mosquitto 2.0.11 never does); so does a broker that restarts, or a proxy that cuts. So it is
    a hint, and no reason to wait longer than after any other loss.
    """
    text = (
        f"the broker closed the connection soon after accepting it, {times} times in a row; it may "
        "be restarting, a proxy may cut the connection, or another client may use the client id "
        f"{client_id!r} {_SET_ANOTHER}"
    )
    return Cause("short_lives", text)


def of_silence(what: str, seconds: float) -> Cause:
    """Return the cause of a broker that does not answer ``what`` for some seconds."""
    return Cause("silent", f"no answer to {what} within {seconds:g} s")


def of_no_connack(seconds: float, *, doubt: str) -> Cause:
    """Return the cause of a broker that does not answer a CONNECT.

    Args:
        seconds: how long it was waited for.
        doubt: about the version of MQTT, such as `OLD_BROKER`; empty for none.
    """
    text = of_silence("CONNECT", seconds).text
    return Cause("silent", f"{text} ({doubt})" if doubt else text)


def of_wrong_speech(data: bytes) -> Cause:
    """Return the cause of a first answer that is not MQTT.

    Args:
        data: the first bytes that came.
    """
    if data[:2] == b"\x15\x03":
        text = "the port speaks TLS (use mqtts:// or wss://)"
    elif data[:5] == b"HTTP/":
        text = "the port speaks HTTP, not MQTT (for MQTT over WebSocket use ws://)"
    else:
        text = f"the port does not speak MQTT, it answered {data[:24]!r}"
    return Cause("not_mqtt", text, needs_user_action=True)


def of_loss(failure: Failure, *, accepted: bool, doubt: str) -> Cause:
    """Return the cause of a transport that ended.

    Args:
        failure: as given to connectionLost.
        accepted: the broker had accepted the connection.
        doubt: see `of_no_connack`.
    """
    doubts = f"{_WRONG_PORT} {doubt}" if doubt else _WRONG_PORT
    when = "" if accepted else f" before accepting it ({doubts})"
    if isinstance(failure.value, error.ConnectionDone):
        return Cause("closed", f"the broker closed the connection{when}")
    if isinstance(failure.value, ProtocolError):
        return of_protocol_error(failure.value)
    if isinstance(failure.value, error.ConnectionLost):
        return Cause("closed", f"the connection was cut{when}")
    return of_error(failure)


def of_protocol_error(fault: Exception, *, doubt: str = "") -> Cause:
    """Return the cause of a broker that breaks the protocol.

    Args:
        fault: what it did.
        doubt: see `of_no_connack`; it may have answered a CONNECT of MQTT 5 in that of 3.1.1.
    """
    text = f"the broker broke the protocol ({fault})"
    return Cause("protocol", f"{text}; {doubt}" if doubt else text)
