"""The writer for a database over HTTP: one request in flight, nothing given up.

Theory of operation. Lines leave the sink's queue in whole batches (`pace` says when); `Outgoing`
has what of them is not known to be stored. The first part is sent, with the same bytes each time,
until its fate is known; so a point that was stored and not acknowledged is stored over itself.
`answers` says what an answer means. A part that is too large is halved. A part that was rejected
as a whole is searched for the bad lines by a `Search`. Where that finds no line that is accepted,
nothing is dropped: it begins again after a while, together with the next lines, which show whether
the lines are bad or the address is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from metrics_agent.backoff import Backoff
from metrics_agent.cause import Cause, CauseError
from metrics_agent.http_interface import HttpReply
from metrics_agent.logs.logger import make_logger
from metrics_agent.output.http.answers import (
    Accepted,
    Again,
    Partly,
    Rejected,
    TooLarge,
    Verdict,
    judge,
)
from metrics_agent.output.lines import split_lines
from metrics_agent.output.outgoing import Outgoing
from metrics_agent.output.pace import FULL_BYTES
from metrics_agent.output.search import Search
from metrics_agent.output.writer import BatchSource

__all__ = ["ANSWER_BYTES", "Client", "HttpWriter"]

ANSWER_BYTES: Final = 64 * 1024
"""As much of an answer's body is read."""
_SEARCHED_PARTS: Final = 2
"""A search that has failed gets more lines up to so many full parts: some 10,000 bad lines in a row
are taken for a wrong address."""


class Client(Protocol):
    """Sends requests, see `transports.http_post.Poster`."""

    def post(self, body: bytes) -> Deferred[HttpReply]:
        """Send a body."""
        ...

    def close(self) -> Deferred[None]:
        """Close the connection."""
        ...


class HttpWriter:
    """Sends what the source has, until it is closed.

    Args:
        clock: provides seconds and callLater.
        client: sends the requests.
        name: of the database, for messages; without secrets.
        source: where the lines come from.
        backoff: the delays after a failure.
        wall_s: the wall clock.
    """

    def __init__(
        self,
        clock: Any,
        client: Client,
        name: str,
        source: BatchSource,
        backoff: Backoff,
        wall_s: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._client = client
        self._name = name
        self._source = source
        self._backoff = backoff
        self._wall_s = wall_s
        self._out = Outgoing(clock, source, self._ready, self._send, self._retry, FULL_BYTES)
        self._search: Search | None = None
        self._request: Deferred[Any] | None = None
        self._reused = False

    # What the sink calls: `Writer`.

    def wake(self) -> None:
        """Send what waits, if it is time."""
        self._out.wake()

    def untaken(self) -> int:
        """Return how many bytes are not known to be stored."""
        return self._out.untaken_bytes

    def close(self) -> Deferred[None]:
        """Stop, and end the connection."""
        if self._out.closed:
            return succeed(None)
        self._out.close()
        request, self._request = self._request, None
        if request is not None:
            request.cancel()
        return self._client.close()

    # From the queue to a request.

    def _ready(self) -> bool:
        return self._request is None and not self._out.closed

    def _send(self) -> None:
        body = self._out.parts[0] if self._search is None else self._search.request()
        request: Deferred[Any] = self._client.post(body)
        self._request = request
        request.addCallbacks(self._judge, self._failed, callbackArgs=(body,))
        request.addCallback(self._go_on, request)
        request.addErrback(self._broken)

    def _judge(self, reply: HttpReply, body: bytes) -> Verdict:
        verdict = judge(reply, self._wall_s())
        if isinstance(verdict, Partly):
            return evolve(verdict, count=min(verdict.count, len(split_lines(body))))
        return verdict

    def _failed(self, failure: Failure) -> Verdict | None:
        if self._out.closed:
            return None
        if isinstance(failure.value, CauseError):
            return Again(failure.value.cause)
        # Not foreseen: a library's fault, a package that is missing.
        text = f"{type(failure.value).__name__}: {failure.value}"
        return Again(Cause(type(failure.value).__name__, text, needs_user_action=True))

    # From an answer to what comes next.

    def _go_on(self, verdict: Verdict | None, request: Deferred[Any]) -> None:
        if self._out.closed or request is not self._request or verdict is None:
            return
        self._request = None
        if isinstance(verdict, Again):
            self._again(verdict.cause)
            return
        self._reused = True
        if isinstance(verdict, (Accepted, Partly)):
            self._accepted(verdict)
        else:
            self._refused(verdict)
        self._continue()

    def _accepted(self, verdict: Accepted | Partly) -> None:
        self._out.proven = True
        self._backoff.reset()
        self._source.recovered()
        if isinstance(verdict, Partly):
            self._source.rejected(verdict.count, verdict.reason, b"")
        if self._search is not None:
            self._search.accepted()
        else:
            self._part_is_done()

    def _refused(self, verdict: Rejected | TooLarge) -> None:
        if self._search is not None:
            self._search.refused(verdict.reason)
        elif isinstance(verdict, TooLarge) and self._halve():
            pass
        else:
            self._search = Search(split_lines(self._out.parts[0]))

    def _halve(self) -> bool:
        """Make two parts of the first; False if it is one line."""
        lines = split_lines(self._out.parts[0])
        middle = len(lines) // 2
        if not middle:
            return False
        self._out.shorten()
        self._out.parts.popleft()
        self._out.parts.extendleft((b"".join(lines[middle:]), b"".join(lines[:middle])))
        return True

    def _continue(self) -> None:
        """Send the next request, if one is due."""
        search = self._search
        if search is not None and search.found:
            self._drop(search)
            self._part_is_done()
        elif search is not None and search.failed:
            self._search_failed(search)
            return
        if self._out.closed:
            return
        if self._out.parts:
            self._send()
        else:
            self._out.leave()

    def _drop(self, search: Search) -> None:
        for line, reason in search.rejected:
            self._source.rejected(1, reason, line)

    def _part_is_done(self) -> None:
        self._search = None
        self._out.first_is_done()  # which may close us

    # Failures.

    def _again(self, cause: Cause) -> None:
        if self._search is not None:
            self._search.doubt()
        if cause.kind == "cut" and self._reused:
            # The server has closed a connection that was kept for long.
            self._reused = False
            self._out.retries.start(0)
            return
        self._reused = False
        self._source.trouble(f"{self._name}: {cause.text}", cause.kind)
        slow = cause.needs_user_action
        delay_s = self._backoff.longest_delay_s() if slow else self._backoff.next_delay_s()
        self._out.retry_in(max(delay_s, cause.retry_after_s))

    def _broken(self, failure: Failure) -> None:
        """Go on after a fault of our own: what is in `Outgoing.parts` is not lost."""
        make_logger().failure("while handling the answer of the output", failure)
        self._request = None
        if not self._out.closed:
            self._out.retry_in(self._backoff.next_delay_s())

    def _search_failed(self, search: Search) -> None:
        """Wait for other lines: is the address wrong, or are the lines bad?"""
        _line, reason = search.rejected[-1]
        if self._out.proven and len(search) == 1 and (more := self._grow()):
            search.again(split_lines(more))
            self._send()
            return
        if len(search) == 1 and self._out.may_be_one_bad_line():
            if not self._out.wait_for_others():
                self._drop(search)
                self._part_is_done()
                self._out.leave()
            return
        text = f"it rejects every line, check output (one says: {reason})"
        self._source.trouble(f"{self._name}: {text}", "no_acceptable_line")
        # Other lines may show that these are bad: the first that comes is tried at once.
        if search.grew:
            self._out.retry_in(self._backoff.next_delay_s())
        else:
            self._out.retry_in(self._backoff.longest_delay_s(), wants_lines=self._has_room())

    def _retry(self) -> None:
        """Send again what was not stored; a search that failed gets the next lines."""
        if not self._ready() or not self._out.parts:
            return
        search = self._search
        if search is not None and search.failed:
            search.again(split_lines(self._grow()))
        self._send()

    def _has_room(self) -> bool:
        """Return whether the next lines may be searched with the first part."""
        return len(self._out.parts[0]) < _SEARCHED_PARTS * FULL_BYTES

    def _grow(self) -> bytes:
        """Add the next lines to the first part, to be searched with it; return them."""
        if not self._has_room():
            return b""
        if len(self._out.parts) == 1:
            self._out.take(FULL_BYTES)
        return self._out.join() if len(self._out.parts) > 1 else b""
