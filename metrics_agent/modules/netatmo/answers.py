"""What an answer of the API means for what to do next. Pure.

The numbers of errors are the vendor's, and only some of them are documented; what is not known is
tried again later, and never costs a refresh at once: each refresh uses up a token.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from attrs import field, frozen

from metrics_agent.cause import Cause
from metrics_agent.config import Secret
from metrics_agent.errors import PayloadError
from metrics_agent.interfaces import HttpReply
from metrics_agent.json_payload import loads
from metrics_agent.oauth2.quoting import shown
from metrics_agent.retry_after import retry_after_s

__all__ = ["Judgement", "NextStep", "judge"]

_OK: Final = 200
_REDIRECTS: Final = range(300, 400)
_UNASKABLE: Final = frozenset({400, 404})
_UNAUTHORISED: Final = 401
_FORBIDDEN: Final = 403
_TOKEN_CODES: Final = frozenset({2, 3})
_DEACTIVATED_CODE: Final = 5
_BUSY_CODE: Final = 11
_SCOPE_CODE: Final = 13
_USAGE_CODE: Final = 26
_TOKEN_WORDS: Final = frozenset({"invalid_token", "expired_token", "token_expired"})


class NextStep(Enum):
    """What to do about an answer."""

    USE = "there are devices in it"
    RENEW = "the access token is not good: get another and ask again, once"
    DOUBT = "something about access: ask again, and if it stays so try another token"
    PAUSE = "too many requests: ask again in some minutes, then when the next hour begins"
    RETRY = "ask again, waiting longer each time"
    LEAVE = "nothing to collect here; look again at the usual time"


@frozen
class Judgement:
    """An answer, judged.

    Attributes:
        action: what to do.
        cause: why there are none; without a text if there are.
        document: the JSON object, if there are devices in it.
    """

    action: NextStep
    cause: Cause
    document: Mapping[str, Any] = field(factory=dict, repr=False)


def judge(reply: HttpReply, token: Secret, now_s: float) -> Judgement:
    """Judge the answer to a request for devices.

    Args:
        reply: of the API.
        token: that was shown to it; whatever it answers, this is not in the verdict's text.
        now_s: the wall clock, for a wait until a date.
    """
    try:
        document = loads(reply.body)
    except PayloadError as error:
        if reply.status == _OK:
            # The detail of the error shows what stands there.
            text = f"its answer is no JSON ({error.reason})"
            return Judgement(NextStep.RETRY, Cause("unreadable", text))
        document = None
    if not isinstance(document, dict):
        document = {}
    if reply.status != _OK or "error" in document:
        return _judge_error(reply, document.get("error"), token, now_s)
    return _judge_devices(document)


def _judge_devices(document: Mapping[str, Any]) -> Judgement:
    body = document.get("body")
    if not isinstance(body, dict):
        return Judgement(NextStep.RETRY, Cause("no_body", "its answer has no body"))
    devices = body.get("devices")
    if isinstance(devices, list) and devices:
        return Judgement(NextStep.USE, Cause("", ""), document)
    if body.get("errors"):
        return Judgement(
            NextStep.LEAVE, Cause("body_errors", "its answer holds errors and no devices")
        )
    return Judgement(
        NextStep.LEAVE, Cause("no_devices", "there are no such devices in this account")
    )


def _judge_error(reply: HttpReply, error: object, token: Secret, now_s: float) -> Judgement:
    code = error.get("code") if isinstance(error, dict) else None
    said = _said(reply.status, error, token)
    known = _by_code(code, reply.status, said) if isinstance(code, int) else None
    if known is not None:
        return known
    if reply.status == _UNAUTHORISED or (isinstance(error, str) and error in _TOKEN_WORDS):
        return Judgement(NextStep.RENEW, Cause("token", said))
    if reply.status == _FORBIDDEN:
        return Judgement(NextStep.DOUBT, Cause("forbidden", said))
    if reply.status in _UNASKABLE:
        return Judgement(
            NextStep.LEAVE, Cause(f"http_{reply.status}", said, needs_user_action=True)
        )
    if reply.status in _REDIRECTS:
        text = f"{said} and wants to send us elsewhere (is api_url right?)"
        return Judgement(NextStep.LEAVE, Cause("redirect", text, needs_user_action=True))
    headers = reply.headers
    wait_s = retry_after_s(headers.get("retry-after", ""), now_s, headers.get("date", ""))
    return Judgement(NextStep.RETRY, Cause(f"http_{reply.status}", said, retry_after_s=wait_s))


def _by_code(code: int, status: int, said: str) -> Judgement | None:
    if code == _USAGE_CODE:
        return Judgement(NextStep.PAUSE, Cause("usage", said))
    if code == _SCOPE_CODE:
        text = f"{said}: the login does not allow this (log in again, with all that is asked for)"
        return Judgement(NextStep.LEAVE, Cause("scope", text, needs_user_action=True))
    if code == _DEACTIVATED_CODE:
        text = (
            f"{said}: Netatmo has deactivated the application (see it at https://dev.netatmo.com)"
        )
        return Judgement(NextStep.LEAVE, Cause("deactivated", text, needs_user_action=True))
    if code == _BUSY_CODE:
        return Judgement(NextStep.RETRY, Cause("busy", said))
    if code in _TOKEN_CODES and status in {_UNAUTHORISED, _FORBIDDEN}:
        return Judgement(NextStep.RENEW, Cause("token", said))
    return None


def _said(status: int, error: object, token: Secret) -> str:
    """Return what was answered, bounded and in one line."""
    if isinstance(error, dict):
        message = error.get("message")
        words = shown(message, [token]) if isinstance(message, str) else ""
        detail = f": {words!r}" if words else ""
        code = error.get("code")
        number = f" ({code})" if isinstance(code, int) else ""
        return f"it answered {status}{number}{detail}"
    words = shown(error, [token]) if isinstance(error, str) else ""
    return f"it answered {status}: {words!r}" if words else f"it answered {status}"
