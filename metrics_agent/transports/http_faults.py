"""Why there is no reply to a request, in words for the user who must fix it."""

from __future__ import annotations

from typing import Final

from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed

from metrics_agent.cause import Cause
from metrics_agent.transports.causes import of_connect_failure

__all__ = ["cause_of", "causes_of", "was_cancelled"]


# We abort connections ourselves only for a fault, when time is over, and when we are cancelled.
_CANCELLED: Final = (CancelledError, error.ConnectingCancelledError, error.ConnectionAborted)


def causes_of(fault: BaseException) -> list[BaseException]:
    """Return what is behind a fault; Twisted wraps what went wrong in an exchange."""
    if isinstance(fault, ResponseFailed):
        return [each.value for each in fault.reasons] or [fault]
    return [fault]


def was_cancelled(causes: list[BaseException]) -> bool:
    """Return whether it was us who ended the exchange."""
    return any(isinstance(cause, _CANCELLED) for cause in causes)


def cause_of(causes: list[BaseException], timeout_s: float) -> Cause:
    """Return the cause in words, without a word of what was sent or received."""
    for cause in causes:
        if type(cause).__module__ == "twisted.web._newclient":
            # What was expected there is HTTP; these exceptions hold the data.
            return Cause("protocol", "its answer is not HTTP")
    for cause in causes:
        if isinstance(cause, (error.ConnectionLost, error.ConnectionDone)):
            return Cause("cut", "it ended the connection")
    return of_connect_failure(Failure(causes[-1]), timeout_s)
