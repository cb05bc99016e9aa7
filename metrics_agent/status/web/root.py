"""The addresses of the status page.

::

    GET /               the page; its files beside it, such as /page.js
    GET /?token=...     the same, and the browser is known from then on
    GET /status.json    what `metrics-agent status --json` prints, with `history` and `units`
    GET /healthz        200 if all is well, else 503 and why, in one line
    GET /readyz         200 if all modules run and the output works, else 503 and why, in one line
    GET /metrics        the agent's own metrics, in Prometheus' text format

The page itself has nothing of the state in it, so it needs no token. All else does, where one is
set: the cookie that `/?token=...` gives, or `Authorization: Bearer ...`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import frozen
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from metrics_agent.status.encoding import encoded
from metrics_agent.status.web.access import Access
from metrics_agent.status.web.files import File
from metrics_agent.status.web.pieces import Pieces, gzipped

__all__ = ["COOKIE", "PIECE_BYTES", "Root", "State"]

COOKIE: Final = b"metrics_agent_status"
_COOKIE_DAYS: Final = 365
_DAY_S: Final = 24 * 3600
PIECE_BYTES: Final = 32 * 1024
"""Devices are sent in pieces of this size, a millisecond of work each."""

_TEXT: Final = b"text/plain; charset=utf-8"
_METRICS: Final = b"text/plain; version=0.0.4; charset=utf-8"
_JSON: Final = b"application/json"
_HEADERS: Final = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_TAKES_GZIP: Final = re.compile(rb"(?:^|,)\s*gzip\s*(?:,|$|;\s*q=(?:1|0\.0*[1-9]))", re.IGNORECASE)
_REASONS: Final = {421: b"Misdirected Request"}
"""Those that Twisted does not know."""
_WRONG_NAME: Final = (
    "This name is not known here. Use the IP address, or add the name to hosts in [status] of the "
    "agent's configuration.\n"
)
_ELSEWHERE: Final = "Pages of other sites may not ask for this.\n"
_NOT_KNOWN: Final = (
    "This needs the token of [status] in the agent's configuration. In a browser: open "
    "/?token=TOKEN once. In a program: send the header Authorization: Bearer TOKEN.\n"
)


@frozen
class State:
    """Where the answers come from.

    Attributes:
        whole: gives the state of all but devices.
        devices: gives all devices, one after the other.
        more: gives what the page shows beside that.
        has_output: says whether the output has worked yet.
        metrics: makes lines for Prometheus of the first.
    """

    whole: Callable[[], dict[str, Any]]
    devices: Callable[[], Iterator[dict[str, Any]]]
    more: Callable[[], dict[str, Any]]
    has_output: Callable[[], bool]
    metrics: Callable[[Mapping[str, Any]], Iterable[str]]


class Root(Resource):
    """All addresses.

    Args:
        clock: provides callLater.
        state: of the agent.
        files: of the page, by path.
        access: who may see what.
        caught: called with a fault of our own.

    Attributes:
        access: the same; it may be replaced.
    """

    isLeaf = True

    def __init__(
        self,
        clock: Any,
        state: State,
        files: Mapping[str, File],
        access: Access,
        caught: Callable[[BaseException], object],
    ) -> None:
        super().__init__()
        self._clock = clock
        self._state = state
        self._files = files
        self._caught = caught
        self.access = access
        self._data: dict[str, Callable[[Any], Any]] = {
            "/status.json": self._status,
            "/healthz": self._health,
            "/readyz": self._readiness,
            "/metrics": self._metrics,
        }

    def render(self, request: Any) -> Any:
        """Answer a request; a fault of ours costs this answer alone."""
        for name, value in _HEADERS:
            request.setHeader(name, value)
        request.setHeader(b"cache-control", b"no-store")
        try:
            return self._answer(request)
        except Exception as error:
            self._caught(error)
            return _text(request, 500, "The agent failed to answer, see its log.\n")

    def _answer(self, request: Any) -> Any:
        refusal = self._refusal(request)
        if refusal is not None:
            status, text = refusal
            return _text(request, status, text)
        if request.path == b"/" and b"token" in request.args:
            return self._enter(request)
        path = _text_of(request.path) or ""
        file = self._files.get(path)
        if file is not None:
            request.setHeader(b"cache-control", b"no-cache")
            return _body(request, 200, file.kind, file.data)
        answer = self._data.get(path)
        if answer is None:
            return _text(request, 404, "There is nothing here.\n")
        cookie = _text_of(request.getCookie(COOKIE)) or ""
        if not self.access.knows(_header(request, b"authorization") or "", cookie):
            request.setHeader(b"www-authenticate", b"Bearer")
            return _text(request, 401, _NOT_KNOWN)
        return answer(request)

    def _refusal(self, request: Any) -> tuple[int, str] | None:
        """Return status and text of what every request has to fulfil and this one does not."""
        if request.method not in {b"GET", b"HEAD"}:
            request.setHeader(b"allow", b"GET, HEAD")
            return 405, "Nothing can be changed here.\n"
        hosts = [_text_of(each) or "" for each in request.requestHeaders.getRawHeaders(b"host", [])]
        if not self.access.is_our_name(hosts):
            return 421, _WRONG_NAME
        origin, site = _header(request, b"origin"), _header(request, b"sec-fetch-site")
        # A link on another site may lead to the page, which asks for the rest itself.
        is_link = request.path == b"/" and request.getHeader(b"sec-fetch-mode") == b"navigate"
        if not is_link and self.access.is_from_elsewhere(hosts[0], origin, site):
            return 403, _ELSEWHERE
        return None

    def _enter(self, request: Any) -> bytes:
        """Have the browser known from now on; its history gets an address without the token."""
        tokens = request.args[b"token"]
        if len(tokens) != 1 or not self.access.fits(_text_of(tokens[0]) or ""):
            return _text(request, 403, "This is not the token of the agent's configuration.\n")
        if self.access.needs_token:
            request.addCookie(
                COOKIE,
                self.access.cookie,
                path=b"/",
                max_age=str(_COOKIE_DAYS * _DAY_S).encode(),
                httpOnly=True,
                sameSite="strict",
            )
        request.setHeader(b"location", b"/")
        return _text(request, 303, "")

    def _health(self, request: Any) -> bytes:
        problems = [f"{each['module']} {each['text']}" for each in self._state.whole()["problems"]]
        return _judgement(request, problems)

    def _readiness(self, request: Any) -> bytes:
        problems = _not_ready(self._state.whole(), has_output=self._state.has_output())
        return _judgement(request, list(problems))

    def _metrics(self, request: Any) -> bytes:
        text = "".join(self._state.metrics(self._state.whole()))
        return _body(request, 200, _METRICS, text.encode("utf-8", "replace"))

    def _status(self, request: Any) -> Any:
        request.setHeader(b"content-type", _JSON)
        if request.method == b"HEAD":
            return b""
        pieces = self._json()
        request.setHeader(b"vary", b"accept-encoding")
        if _TAKES_GZIP.search(request.getHeader(b"accept-encoding") or b""):
            request.setHeader(b"content-encoding", b"gzip")
            pieces = gzipped(pieces)
        Pieces(self._clock, request, pieces, self._caught).start()
        return NOT_DONE_YET

    def _json(self) -> Iterator[bytes]:
        whole = {**self._state.whole(), **self._state.more()}
        piece = bytearray(encoded(whole)[:-1] + b',"devices":[')
        comma = b""
        for each in self._state.devices():
            piece += comma + encoded(each)
            comma = b","
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        yield bytes(piece) + b"]}\n"


def _not_ready(whole: Mapping[str, Any], *, has_output: bool) -> Iterator[str]:
    for each in whole["modules"]:
        if each["state_text"] != "running":
            yield f"{each['module']} is {each['state_text'].replace('_', ' ')}"
    for each in whole["outputs"]:
        if each["state_text"] != "running":
            yield f"output {each['output']} is not written to: {each.get('last_error', '')}"
        elif not has_output:
            yield f"output {each['output']} has taken nothing yet"


def _judgement(request: Any, problems: list[str]) -> bytes:
    """Answer 200, or 503 with the first problem."""
    if not problems:
        return _text(request, 200, "ok\n")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return _text(request, 503, f"{' '.join(problems[0].split())}{more}\n")


def _header(request: Any, name: bytes) -> str | None:
    return _text_of(request.getHeader(name))


def _text_of(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii", "replace")


def _text(request: Any, status: int, text: str) -> bytes:
    return _body(request, status, _TEXT, text.encode("utf-8", "replace"))


def _body(request: Any, status: int, kind: bytes, body: bytes) -> bytes:
    request.setResponseCode(status, _REASONS.get(status))
    request.setHeader(b"content-type", kind)
    request.setHeader(b"content-length", str(len(body)).encode())
    return b"" if request.method == b"HEAD" else body
