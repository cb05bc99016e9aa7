"""Why there is no reply to a request, in words for the person who must mend it."""

from __future__ import annotations

from typing import Final

from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.web.client import ResponseFailed

from metrics_agent.errors import MetricsAgentError

__all__ = ["HttpFault", "causes_of", "explain", "was_cancelled"]


class HttpFault(MetricsAgentError):  # noqa: N818 - says what is the case
    """There is no reply, or none that may be used.

    Args:
        kind: a word that is the same for the same fault: ``dns``, ``timeout``, ``tls_expired``.
        text: a clause that begins with the server's host, never with what was sent to it.
        for_a_person: nothing will change until somebody changes a setting or a certificate.
    """

    def __init__(self, kind: str, text: str, *, for_a_person: bool = False) -> None:
        self.kind = kind
        self.for_a_person = for_a_person
        super().__init__(text)


_REASONS: Final[tuple[tuple[tuple[type[BaseException], ...], str, str], ...]] = (
    (
        (error.ConnectionRefusedError, ConnectionRefusedError),
        "refused",
        "connection refused, nothing listens there",
    ),
    ((error.DNSLookupError, error.UnknownHostError), "dns", "the host name cannot be resolved"),
    ((error.NoRouteError,), "no_route", "the network is unreachable"),
    ((error.TCPTimedOutError, error.TimeoutError, TimeoutError), "timeout", "no connection"),
    ((error.ConnectionLost, error.ConnectionDone), "cut", "it ended the connection"),
)


# We abort connections ourselves only for a fault, when time is over, and when we are cancelled.
_CANCELLED: Final = (CancelledError, error.ConnectingCancelledError, error.ConnectionAborted)


def was_cancelled(causes: list[BaseException]) -> bool:
    """Tell whether it was us who ended the exchange."""
    return any(isinstance(cause, _CANCELLED) for cause in causes)


def causes_of(fault: BaseException) -> list[BaseException]:
    """Return what is behind a fault; Twisted wraps what went wrong in an exchange."""
    if isinstance(fault, ResponseFailed):
        return [each.value for each in fault.reasons] or [fault]
    return [fault]


def explain(host: str, causes: list[BaseException]) -> HttpFault:
    """Return the fault in words, without a word of what was sent."""
    for cause in causes:
        if type(cause).__module__ == "twisted.web._newclient":
            # What was expected there is HTTP; the exceptions hold the data, so they are not shown.
            return HttpFault("protocol", f"{host}: its answer is not HTTP")
    for kinds, kind, text in _REASONS:
        if any(isinstance(cause, kinds) for cause in causes):
            return HttpFault(kind, f"{host}: {text}")
    cause = causes[-1]
    module = type(cause).__module__.partition(".")[0]
    if module == "OpenSSL":
        return _explain_tls(host, cause)
    if isinstance(cause, error.ConnectError):
        return HttpFault("connect", f"{host}: no connection ({cause})")
    name = type(cause).__name__
    return HttpFault(name, f"{host}: the exchange failed ({name})")


_TLS_WORDS: Final = (
    ("wrong version number", "tls_none", "the port does not speak TLS"),
    ("packet length too long", "tls_none", "the port does not speak TLS"),
    ("unexpected eof", "tls_eof", "it ended the TLS handshake (does the port speak TLS?)"),
    ("certificate required", "tls_client", "it wants a client certificate"),
    ("certificate verify failed", "tls_certificate", "its certificate cannot be trusted"),
)


def _explain_tls(host: str, cause: BaseException) -> HttpFault:
    said = str(cause).lower()
    for words, kind, text in _TLS_WORDS:
        if words in said:
            return HttpFault(kind, f"{host}: {text}", for_a_person=True)
    return HttpFault("tls", f"{host}: TLS failed: {cause}", for_a_person=True)
