"""What the answer to a write means. Pure.

The receivers, by their sources:

- **InfluxDB 1**: 204. 400 ``partial write: ... dropped=N`` has stored the rest, for a type conflict
  and for lines that it cannot parse (which N does not count); newer ones add ``for database: ...``
  to that. With no line to store 400 ``unable to parse``. 404 for an unknown database, 401, 403,
  413, 500.
- **InfluxDB 2**: 204. 400 for a line that it cannot parse: nothing is stored. 422 ``failure writing
  points to database: partial write: ...`` has stored the rest. 401, 404, 413, 429, 503.
- **InfluxDB 3**: 204. 400 (or 422, at a limit) ``partial write of line protocol occurred`` with a
  list of the lines that were left out. 401, 403, 413, 429, 500.
- **VictoriaMetrics**: 204. 400 for a line that it cannot parse, nothing is stored; and for a path
  that it does not know. 503 while it is overloaded or out of disk.

All of them quote lines, VictoriaMetrics even all from the bad one on. So what is stored is decided
by how the message of an answer begins, never by what is somewhere in it.

Of what is between them only this is asked: a proxy's page with status 200 is not taken for
success.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from attrs import frozen

from metrics_agent.cause import Cause
from metrics_agent.http_interface import HttpReply
from metrics_agent.retry_after import retry_after_s

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
_PARTLY: Final[Mapping[str, tuple[str, ...]]] = {
    "error": ("partial write: ", "partial write of line protocol occurred"),
    "message": ("failure writing points to database: partial write: ",),
}
"""How a message begins that says that the rest is stored, by its key: InfluxDB 1, 3; 2."""
_DROPPED: Final = re.compile(r".* dropped=([0-9]{1,9})(?: for database: .*)?\Z", re.DOTALL)
_UNPARSED: Final = re.compile(r"^(?:partial write: )?unable to parse '", re.MULTILINE)
_LISTED: Final = '"error_message":'
"""Once for each line that InfluxDB 3 lists; inside a text its quotes would be escaped."""
_CUT: Final = re.compile(
    r'\s*\{\s*(?:"code"\s*:\s*"[^"\\]*"\s*,\s*)?"(error|message)"\s*:\s*'
    r'"([^"\\]*(?:\\.[^"\\]*)*)',
    re.DOTALL,
)
"""The beginning of a JSON document that is longer than what was read of it: key and text."""
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
        document = _document(text)
        # InfluxDB 1 has its message here as well, which a proxy may leave when it changes the body.
        header = {"error": answer.headers.get("x-influxdb-error", "")}
        for said in (document, header):
            if _is_partly(said):
                return Partly(_left_out(said, text), _reason(said, text))
        return Rejected(_reason(document, text) or f"it answered {status}")
    if status == _TOO_LARGE:
        return TooLarge(f"the request is too large for it ({_said(status, text)})")
    headers = answer.headers
    wait_s = retry_after_s(headers.get("retry-after", ""), now_s, headers.get("date", ""))
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
    reason = _reason(_document(text), text)
    return f"HTTP {status}: {reason}" if reason else f"HTTP {status}"


def _document(text: str) -> Mapping[str, Any]:
    """Return what an answer is in JSON; of one that was cut only the first message."""
    if not text.lstrip().startswith("{"):
        return {}
    try:
        document: Mapping[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        begun = _CUT.match(text)
        return {begun[1]: begun[2].replace("\\n", "\n")} if begun else {}
    return document


def _is_partly(document: Mapping[str, Any]) -> bool:
    said = ((document.get(key), begins) for key, begins in _PARTLY.items())
    return any(isinstance(each, str) and each.startswith(begins) for each, begins in said)


def _left_out(document: Mapping[str, Any], text: str) -> int:
    """Return how many lines were left out, at least, by what a server writes around its quotes."""
    listed = document.get("data")
    counts = [1, len(listed) if isinstance(listed, list) else text.count(_LISTED)]
    for key in _PARTLY:
        said = document.get(key)
        if isinstance(said, str):
            dropped = _DROPPED.match(said)
            counts += [len(_UNPARSED.findall(said)), int(dropped[1]) if dropped else 0]
    return max(counts)


def _reason(document: Mapping[str, Any], text: str) -> str:
    """Return what an answer says in words, bounded."""
    words = [document.get(key) for key in _PARTLY]
    listed = document.get("data")
    if isinstance(listed, list):
        words += [each.get("error_message") for each in listed[:1] if isinstance(each, dict)]
    said = ": ".join(word for word in words if isinstance(word, str))
    if not said:
        said = "a page of HTML" if text.lstrip().startswith("<") else text
    text = " ".join(said[: 4 * _SHOWN].split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
