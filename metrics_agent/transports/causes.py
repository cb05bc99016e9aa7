"""Why a connection failed or was lost: the causes of what Twisted and OpenSSL report."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet import defer, error
from twisted.python.failure import Failure

from metrics_agent.cause import Cause, CauseError, system_reason
from metrics_agent.errors import MetricsAgentError

__all__ = ["of_connect_failure", "of_error"]


def of_connect_failure(failure: Failure, timeout_s: float) -> Cause:
    """Return the cause of a transport that could not be had.

    Args:
        failure: of the endpoint.
        timeout_s: the limit that was set.
    """
    for kinds, cause in _CONNECT_FAILURES:
        if isinstance(failure.value, kinds):
            return cause(failure, timeout_s)
    return of_error(failure)


def _of_timeout(_failure: Failure, timeout_s: float) -> Cause:
    return Cause("timeout", f"no connection within {timeout_s:g} s")


def _of_ours(failure: Failure, _timeout_s: float) -> Cause:
    if isinstance(failure.value, CauseError):
        return failure.value.cause
    return Cause(type(failure.value).__name__, str(failure.value), needs_user_action=True)


def _fixed(kind: str, text: str) -> Callable[[Failure, float], Cause]:
    return lambda _failure, _timeout_s: Cause(kind, text)


_CONNECT_FAILURES: tuple[tuple[tuple[type, ...], Callable[[Failure, float], Cause]], ...] = (
    (
        (error.ConnectionRefusedError, ConnectionRefusedError),
        _fixed("refused", "connection refused, nothing listens there"),
    ),
    (
        (error.DNSLookupError, error.UnknownHostError),
        _fixed("dns", "the host name cannot be resolved"),
    ),
    ((error.NoRouteError,), _fixed("no_route", "the network is unreachable")),
    (
        (error.TCPTimedOutError, error.TimeoutError, defer.TimeoutError, TimeoutError),
        _of_timeout,
    ),
    # The endpoint's own way to say that our time limit cancelled it.
    ((defer.CancelledError, error.ConnectingCancelledError), _of_timeout),
    ((MetricsAgentError,), _of_ours),
)


def of_unread(seconds: float) -> Cause:
    """Return the cause of a peer that does not read what we send."""
    return Cause("unread", f"the other side has read nothing for {seconds:g} s")


def of_error(failure: Failure) -> Cause:
    """Return the cause of any other failure of a transport, TLS alerts among them."""
    if type(failure.value).__module__.partition(".")[0] == "OpenSSL":
        return _of_tls_alert(failure)
    number = getattr(failure.value, "osError", None) or getattr(failure.value, "errno", None)
    if isinstance(number, int):
        return Cause(f"errno_{number}", system_reason(number))
    name = type(failure.value).__name__
    return Cause(name, f"{name}: {failure.value}")


_TLS_ALERTS = (
    # What OpenSSL says, lower case; our word; a clause for the log.
    ("certificate required", "client_certificate", "the server wants a client certificate"),
    (
        "handshake failure",
        "handshake",
        (
            "the server refuses the TLS handshake (it may want a client certificate, or have no "
            "cipher suite with forward secrecy)"
        ),
    ),
    ("unknown ca", "client_ca", "the server does not trust the issuer of our certificate"),
    ("certificate expired", "client_expired", "the server says that our certificate has expired"),
    ("bad certificate", "client_bad", "the server refuses our client certificate"),
    ("wrong version number", "not_tls", "the port does not speak TLS"),
    ("packet length too long", "not_tls", "the port does not speak TLS"),
    ("unexpected eof", "eof", "the server ended the TLS handshake (does the port speak TLS?)"),
    ("certificate verify failed", "certificate", "its certificate cannot be trusted"),
)


def _of_tls_alert(failure: Failure) -> Cause:
    said = str(failure.value).lower()
    for words, kind, text in _TLS_ALERTS:
        if words in said:
            return Cause(f"tls_{kind}", text, needs_user_action=True)
    return Cause("tls", f"TLS failed: {failure.value}", needs_user_action=True)
