"""What the answer to a write means. Pure.

The receivers, by their sources:

- **InfluxDB 1**: 204. 400 ``partial write: ... dropped=N`` has stored the rest, for a type conflict
  and for lines that it cannot parse (which N does not count); with no line to store 400 ``unable
  to parse``. 404 for an unknown database, 401, 403, 413, 500.
- **InfluxDB 2**: 204. 400 for a line that it cannot parse: nothing is stored. 422 ``failure writing
  points to database: partial write: ...`` has stored the rest. 401, 404, 413, 429, 503.
- **InfluxDB 3**: 204. 400 (or 422, at a limit) ``partial write of line protocol occurred`` with a
  list of the lines that were left out. 401, 403, 413, 429, 500.
- **VictoriaMetrics**: 204. 400 for a line that it cannot parse, nothing is stored; and for a path
  that it does not know. 503 while it is overloaded or out of disk.

Of what is between them only this is asked: a proxy's page with status 200 is no success.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from attrs import frozen

from metrics_agent.cause import Cause
from metrics_agent.http_interface import HttpReply
from metrics_agent.transports.retry_after import retry_after_s

__all__ = [
    "Accepted",
    "Again",
    "Partly",
    "Rejected",
    "TooLarge",
    "Verdict",
    "judge",
]


@frozen
class Accepted:
    """All lines are stored."""


@frozen
class Partly:
    """The lines are stored, but for some that never will be.

    Attributes:
        count: how many were left out, at least.
        reason: a clause.
    """

    count: int
    reason: str


@frozen
class Rejected:
    """Nothing is stored: there is a bad line, or the address is wrong.

    Attributes:
        reason: a clause.
    """

    reason: str


@frozen
class TooLarge:
    """Nothing is stored, a smaller request may be.

    Attributes:
        reason: a clause.
    """

    reason: str


@frozen
class Again:
    """Nothing is known to be stored: the same lines are to be sent again.

    Attributes:
        cause: with ``needs_user_action`` where trying soon is of no use.
    """

    cause: Cause


Verdict: TypeAlias = Accepted | Partly | Rejected | TooLarge | Again

_OK: Final = 200
_NO_CONTENT: Final = 204
_REDIRECTS: Final = range(300, 400)
_BAD_REQUEST: Final = 400
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_TOO_LARGE: Final = 413
_UNPROCESSABLE: Final = 422
_PASSING: Final = frozenset({408, 425, 429, 499})
_SERVER_FAULT: Final = 500

_TEXTS: Final[Mapping[int, str]] = {
    _UNAUTHORIZED: "it does not accept the login, check output_settings",
    _FORBIDDEN: "the login may not write there, check its permissions",
    _NOT_FOUND: "there is no such database or path, check output",
}
_PARTLY: Final = "partial write"
_DROPPED: Final = re.compile(r"dropped=([0-9]{1,9})\b")
_LEFT_OUT: Final = ("unable to parse '", '"error_message"')
"""What an answer has once for each line that was left out."""
_SHOWN: Final = 200


def judge(answer: HttpReply, now_s: float) -> Verdict:
    """Return what an answer means.

    Args:
        answer: to a POST of lines.
        now_s: the wall clock, for a server that names the time to come back.
    """
    status, text = answer.status, answer.body.decode("utf-8", "replace")
    if status == _NO_CONTENT or (status == _OK and not text.strip()):
        return Accepted()
    if status in {_BAD_REQUEST, _UNPROCESSABLE}:
        reason, lines = _reason(text)
        if _PARTLY in text:
            return Partly(max(1, lines, _counted(text)), reason or _PARTLY)
        return Rejected(reason or f"it answered {status}")
    if status == _TOO_LARGE:
        return TooLarge(f"the request is too large for it ({_said(status, text)})")
    wait_s = retry_after_s(answer.headers.get("retry-after", ""), now_s)
    return Again(
        Cause(
            f"http_{status}",
            _fault(answer, text),
            needs_user_action=status < _SERVER_FAULT and status not in _PASSING,
            retry_after_s=wait_s,
        )
    )


def _fault(answer: HttpReply, text: str) -> str:
    status = answer.status
    if status < _REDIRECTS.start:
        return f"it answers with a page, not as a database does (HTTP {status}), check output"
    if status in _REDIRECTS:
        place = answer.headers.get("location", "").partition("?")[0].rpartition("@")[2]
        where = f" to {place[:_SHOWN]!r}" if place else ""
        return f"it redirects{where} (HTTP {status}), set output to the address of the database"
    said = _said(status, text)
    return f"{_TEXTS[status]} ({said})" if status in _TEXTS else f"it answered {said}"


def _said(status: int, text: str) -> str:
    reason, _lines = _reason(text)
    return f"HTTP {status}: {reason}" if reason else f"HTTP {status}"


def _reason(text: str) -> tuple[str, int]:
    """Return what an answer says in words, bounded, and how many lines it lists."""
    lines = 0
    if text.lstrip().startswith("{"):
        try:
            document: Any = json.loads(text)
        except (ValueError, RecursionError):
            document = {}
        words = [document.get(key) for key in ("error", "message") if key in document]
        listed = document.get("data")
        if isinstance(listed, list):
            lines = len(listed)
            words += [each.get("error_message") for each in listed[:1] if isinstance(each, dict)]
        said = ": ".join(word for word in words if isinstance(word, str))
        text = said or text
    elif text.lstrip().startswith("<"):
        text = "a page of HTML"
    text = " ".join(text[: 4 * _SHOWN].split())
    return (text if len(text) <= _SHOWN else text[:_SHOWN] + "..."), lines


def _counted(text: str) -> int:
    found = [int(each) for each in _DROPPED.findall(text)]
    return max([*found, *(text.count(mark) for mark in _LEFT_OUT)])
