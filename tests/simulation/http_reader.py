"""A database that takes the agent's output over HTTP, on the simulated network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from email.utils import formatdate
from random import Random
from typing import Final

from attrs import define, frozen
from twisted.internet import error

from metrics_agent.output.http.writer import ANSWER_BYTES
from tests.simulation.clock import SimClock
from tests.simulation.http_model import Answer, Database, Outcome, lines_of, respond
from tests.simulation.http_rejections import Rejections
from tests.simulation.http_requests import Meaning, Request, Requests
from tests.simulation.kernel import SimKernel
from tests.simulation.ledger import Ledger
from tests.simulation.network import Connection
from tests.simulation.reader import Reader, is_line

__all__ = ["DATABASE_PORT", "PATIENCE_S", "DatabaseReader", "Trouble"]

DATABASE_PORT: Final = 8086
_PATHS: Final = {
    Database.INFLUX_1: "write?db=telegraf",
    Database.INFLUX_2: "api/v2/write?org=home&bucket=telegraf",
    Database.VICTORIA: "write",
}
_LIMITS: Final = (10_000, 100_000, 25_000_000)
"""Of a request; the longest line has some 9,100 bytes."""
_BAD_REQUEST: Final = 400
PATIENCE_S: Final = 65.0
"""How long lines may wait: an answer is awaited for 30 s, and the next try may be 30 s later."""
_PARTLY: Final = frozenset({_BAD_REQUEST, 422})


@frozen
class Trouble:
    """What happens to each request.

    Attributes:
        answer: that is given; None for the right one.
        stores: the lines are stored all the same.
        meaning: of the answer.
        wait_s: what its Retry-After asks for.
        delay_s: after which it is sent.
        request_bytes: after so many bytes of a request the connection ends; None: it does not.
        answer_bytes: the same of an answer.
        in_order: what was sent before arrives.
        garbage: that is sent in place of the answer.
        from_bytes: only requests of so many bytes have it.
        share: of the requests that it happens to.
    """

    answer: Answer | None = None
    stores: bool = False
    meaning: Meaning = Meaning.AGAIN
    wait_s: float = 0.0
    delay_s: float = 0.0
    request_bytes: int | None = None
    answer_bytes: int | None = None
    in_order: bool = True
    garbage: bytes = b""
    from_bytes: int = 0
    share: float = 1.0


@define(eq=False)
class _Pending:
    """An answer on its way: what the agent knows once it has come.

    Attributes:
        request: it is for.
        end: so many bytes of the connection have been read by then.
        outcome: what it says of the lines.
    """

    request: Request
    end: int
    outcome: Outcome


class DatabaseReader(Reader):
    """See the module.

    Args:
        clock: of the simulation.
        random: chooses which database it is, and its limit.
        on_line: called with each line that is stored.
        on_fault: called with what must not happen.
        ledger: takes note of what the agent knows.

    Attributes:
        trouble: what happens to requests just now.
        requests: what is checked of them.
        bad_lines: how often the agent may have counted a line as rejected.
        partial_answers: that it has got; each names one at least.
    """

    loses = False
    repeats = True
    breaks = ("cut", "die", "kill")
    patience_s = PATIENCE_S

    def __init__(
        self,
        clock: SimClock,
        random: Random,
        on_line: Callable[[bytes], object],
        on_fault: Callable[[str], object],
        ledger: Ledger,
    ) -> None:
        super().__init__(clock, random, on_line, on_fault)
        self.database = random.choice(list(Database))
        self.setting = f"http://192.0.2.1:{DATABASE_PORT}/{_PATHS[self.database]}"
        self.limit_bytes = random.choice(_LIMITS)
        self.trouble: Trouble | None = None
        self.requests = Requests(clock, on_fault)
        self.ledger = ledger
        ledger.answered = self.look
        self.bad_lines = 0
        self.partial_answers = 0
        self._rejections = Rejections(on_fault)
        self._in_search: deque[Trouble | None] = deque()
        self._is_searched = False
        self._sessions: set[_Session] = set()
        self._waiting: deque[Callable[[], object]] = deque()

    # -- what the world does to it -----------------------------------------------------------

    @property
    def ready(self) -> bool:
        return (
            super().ready
            and self._listens
            and self.trouble is None
            and not (self._is_searched and self._in_search)
            and not any(each.connection.vanished for each in self._sessions)
        )

    def _disturbed(self) -> None:
        super()._disturbed()
        self.patience_s = PATIENCE_S

    def open_in(self, kernel: SimKernel) -> int:
        raise NotImplementedError

    def die(self) -> None:
        """End, and come again with what was stored."""
        if self._listens:
            self._listens = False
            self.cut()
            self._come_later()

    def cut(self) -> None:
        """Reset all connections."""
        self._disturbed()
        for session in tuple(self._sessions):
            session.connection.reset()

    def hang_up(self, *, in_order: bool) -> None:
        """Close connections that are kept and have no request."""
        for session in tuple(self._sessions):
            if not session.is_busy:
                session.close(in_order=in_order)

    def end_of_stream(self) -> None:
        self.look()
        self.requests.forget()
        self._rejections = Rejections(self._on_fault)

    def _come(self) -> None:
        super()._come()
        self._disturbed()

    def _read(self) -> bool:
        """Handle what came while it did nothing."""
        if self._waiting:
            self._waiting.popleft()()
        return bool(self._waiting)

    # -- requests ----------------------------------------------------------------------------

    def accept(self, connection: Connection) -> None:
        """Take a new connection of the agent."""
        if not self._listens:
            raise error.ConnectionRefusedError
        session = _Session(self, connection)
        self._sessions.add(session)
        connection.on_closed = lambda: self._closed(session)
        self.clock.boundary("connect")

    def _closed(self, session: _Session) -> None:
        session.look()
        self._sessions.discard(session)

    def handle(self, session: _Session, body: bytes) -> None:
        """Take a whole request."""
        lines = lines_of(body)
        if not body.endswith(b"\n"):
            self._on_fault(f"a request ends in mid-line: {body[-80:]!r}")
        for line in lines:
            self.check_line(line)
            self.ledger.request(line)
        self.look()
        self._rejections.request(lines, self.clock.now_s)
        if self.requests.is_unknown:
            self._rejections.unknown()
        request = self.requests.begin(body)
        outcome = respond(self.database, body, self.limit_bytes)
        trouble = self._next_trouble(len(body))
        if len(lines) > 1 and outcome.answer.status == _BAD_REQUEST:
            self._is_searched = True
        if trouble is not None and trouble.answer is not None:
            stored = outcome.stored if trouble.stores else ()
            if trouble.meaning is Meaning.STORED:
                stored = lines
            outcome = Outcome(trouble.answer, stored)
        delay_s = self.random.choice((0.0, 0.001, 0.02)) * self.random.random()
        delay_s += len(body) / self.bytes_a_turn / 1000
        if trouble is not None:
            delay_s += trouble.delay_s
        self.clock.later(delay_s, self._finish, session, request, outcome, trouble)
        self.clock.boundary("write")

    def _next_trouble(self, size: int) -> Trouble | None:
        if self._is_searched and self._in_search:
            trouble = self._in_search.popleft()
            self._disturbed()
            return trouble
        trouble = self.trouble
        if trouble is None or size < trouble.from_bytes or self.random.random() >= trouble.share:
            return None
        return trouble

    def fail_in_search(self, troubles: Iterable[Trouble | None]) -> None:
        """Have these happen one after the other, once a request of several lines is rejected."""
        self._in_search = deque(troubles)
        self._is_searched = False
        self._disturbed()

    def end_trouble(self) -> None:
        """Work again."""
        self.trouble = None
        self._disturbed()

    def _finish(
        self, session: _Session, request: Request, outcome: Outcome, trouble: Trouble | None
    ) -> None:
        if self._stalled:
            self._waiting.append(lambda: self._finish(session, request, outcome, trouble))
            return
        # One whose sender is gone, or that was under way when it died, may be stored or not.
        if session.is_open or self.random.random() < 0.5:
            for line in outcome.stored:
                self._on_line(line)
        if session.is_open:
            session.answer(request, outcome, trouble)

    def check_rejected(self, count: int) -> None:
        """Compare; processes that were killed have counted too."""
        if not self.partial_answers <= count <= self.bad_lines:
            self._on_fault(
                f"{count} metrics are counted as rejected, expected from {self.partial_answers} to "
                f"{self.bad_lines}"
            )

    def look(self) -> None:
        """Take note of the answers that the agent has got."""
        for session in tuple(self._sessions):
            session.look()

    def known(self, pending: _Pending, *, is_counted: bool) -> None:
        """Take note of an answer that the agent has got, and that it may not have counted yet."""
        request, outcome = pending.request, pending.outcome
        meaning, ledger = request.meaning, self.ledger
        if meaning is Meaning.STORED:
            self._rejections.stored(lines_of(request.body))
            self.bad_lines += len(outcome.left_out)
            self.partial_answers += is_counted and bool(outcome.left_out)
            for line in outcome.stored:
                ledger.settle(line)
            for line in outcome.left_out:
                ledger.refuse(line)
        elif meaning is Meaning.REJECTED:
            lines = lines_of(request.body)
            if self._rejections.rejected(lines, request.answered_s, self.clock.now_s):
                self.bad_lines += 1
                ledger.refuse(lines[0])

    def check_line(self, line: bytes) -> None:
        """See whether it is one."""
        if not is_line(line):
            self._on_fault(f"not a line of line protocol: {line[:120]!r}")


class _Session:
    """One connection.

    Attributes:
        is_busy: a request is coming, or waits for its answer.
        is_open: the agent has not gone.
    """

    def __init__(self, reader: DatabaseReader, connection: Connection) -> None:
        self._reader = reader
        self.connection = connection
        self._buffer = b""
        self._out = b""
        self._sent = 0
        self._pending: deque[_Pending] = deque()
        self._asked = False
        self._over = False
        connection.to_peer.receive = self._receive
        connection.from_peer.on_room = self._flush

    @property
    def is_open(self) -> bool:
        return self.connection.open and not self._over

    @property
    def is_busy(self) -> bool:
        return self._asked or bool(self._buffer)

    def _receive(self, data: bytes) -> None:
        if self._over:
            return
        if self._asked:
            self._reader._on_fault("a request before the answer to the one before")
            return
        trouble = self._reader.trouble
        most = None if trouble is None else trouble.request_bytes
        if trouble is not None and most is not None and len(self._buffer) + len(data) >= most:
            self.close(in_order=trouble.in_order)
            return
        self._buffer += data
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int({name.lower(): value for name, value in fields.items()}[b"content-length"])
        if len(rest) > length:
            self._reader._on_fault("more than one request at a time")
        if len(rest) >= length:
            self._buffer = b""
            self._asked = True
            self._reader.handle(self, rest)

    def answer(self, request: Request, outcome: Outcome, trouble: Trouble | None) -> None:
        """Send an answer, or what is in its place."""
        reader = self._reader
        self._asked = False
        data = outcome.answer.encode()
        request.answered_s = reader.clock.now_s
        if trouble is not None and trouble.garbage:
            self._send(trouble.garbage)
            self._asked = True
            reader.clock.later(reader.random.choice((0.0, 1.0, 60.0)), self.end)
            return
        is_cut = trouble is not None and trouble.answer_bytes is not None
        if trouble is not None and trouble.answer_bytes is not None:
            data = data[: trouble.answer_bytes]
            is_cut = len(data) < len(outcome.answer.encode())
        self._send(data)
        if not is_cut:
            self._promise(request, outcome, trouble)
        if is_cut or not outcome.answer.measured:
            self.close(in_order=trouble is None or trouble.in_order)

    def _promise(self, request: Request, outcome: Outcome, trouble: Trouble | None) -> None:
        # No more of an answer is read, and then the connection is ended.
        body = outcome.answer.body
        end = self._sent + len(self._out) - max(0, len(body) - ANSWER_BYTES)
        stream = self.connection.from_peer
        request.has_arrived = lambda: stream.delivered >= end
        request.meaning = _meaning(outcome)
        if trouble is not None and trouble.answer is not None:
            request.meaning, request.wait_s = trouble.meaning, trouble.wait_s
        self._pending.append(_Pending(request, end, outcome))

    def end(self) -> None:
        """Close in order, if it is still open."""
        self.close(in_order=True)

    def close(self, *, in_order: bool) -> None:
        """Close; what was sent arrives first if it is in order."""
        if not self.is_open:
            return
        self._over = True
        if in_order and not self._out:
            self.connection.peer_closes()
        else:
            self.connection.reset()

    def _send(self, data: bytes) -> None:
        self._out += data
        self._flush()

    def _flush(self) -> None:
        if self._out and self.connection.open:
            count = self.connection.from_peer.write(self._out)
            self._sent += count
            self._out = self._out[count:]

    def look(self) -> None:
        """Take note of the answers that have been read."""
        stream = self.connection.from_peer
        while self._pending and stream.delivered >= self._pending[0].end:
            pending = self._pending.popleft()
            # One that ends amid the turn may not have counted yet.
            self._reader.known(pending, is_counted=stream.handled >= pending.end)


def _meaning(outcome: Outcome) -> Meaning:
    status = outcome.answer.status
    if status == 204 or (status in _PARTLY and (outcome.stored or outcome.left_out)):
        return Meaning.STORED
    return Meaning.REJECTED


def retry_after(clock: SimClock, seconds: int, *, as_date: bool, ahead_s: float) -> dict[str, str]:
    """Return the header Retry-After; a date is by the server's own clock, which may be ahead."""
    if not as_date:
        return {"Retry-After": str(seconds)}
    now_s = clock.wall_ns() / 1e9 + ahead_s
    return {
        "Date": formatdate(now_s, usegmt=True),
        "Retry-After": formatdate(now_s + seconds, usegmt=True),
    }
