"""Why something failed, in words for the user: one value, carried by one exception."""

from __future__ import annotations

import errno
import os
from typing import Final

from attrs import evolve, frozen

from metrics_agent.errors import MetricsAgentError

__all__ = ["OPEN_FILES_ADVICE", "Cause", "CauseError", "system_reason"]

OPEN_FILES_ADVICE: Final = "raise the limit of open files (`ulimit -n`, in systemd LimitNOFILE)"


@frozen
class Cause:
    """Why a connection, a request or a file failed.

    Attributes:
        kind: a word that is the same for the same fault: ``dns``, ``timeout``, ``tls_expired``.
        text: a clause that completes "Cannot connect to X: ...", without a secret in it.
        needs_user_action: nothing will change until the user changes a setting, a certificate, a
            file or a login.
        retry_after_s: how long the server wants to be left alone; 0 if it does not say.
    """

    kind: str
    text: str
    needs_user_action: bool = False
    retry_after_s: float = 0.0

    def at(self, place: str) -> Cause:
        """Return the cause with the place before its text, such as a host."""
        return evolve(self, text=f"{place}: {self.text}")


class CauseError(MetricsAgentError):
    """Something failed; carries the cause, whose text is the error's."""

    def __init__(self, cause: Cause) -> None:
        self.cause = cause
        super().__init__(cause.text)


def system_reason(number: int) -> str:
    """Return what the system says of a call that failed, with advice where no descriptor is left.

    Args:
        number: an `errno`.
    """
    text = os.strerror(number)
    return f"{text}, {OPEN_FILES_ADVICE}" if number in {errno.EMFILE, errno.ENFILE} else text
