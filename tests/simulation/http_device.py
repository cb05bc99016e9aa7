"""A device that is polled by HTTP: it numbers its answers, and gives many that it should not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

from twisted.internet import error

if TYPE_CHECKING:
    from tests.simulation.clock import SimClock
    from tests.simulation.network import Connection

__all__ = ["BODY_LIMIT", "DEVICE_PORT", "WAYS", "HttpDevice"]

DEVICE_PORT: Final = 8080
BODY_LIMIT: Final = 1000
"""Bytes that the module takes."""
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_SPACES: Final = 9
"""Behind a number that an answer may lack."""
_LARGE: Final = 200_000
"""More than the limit and what headers may take."""


class HttpDevice:
    """See the module.

    Args:
        clock: of the simulation.
        random: chooses how it answers.
        violate: called with what must not happen.

    Attributes:
        ways: what it may do wrong for now, of `WAYS`; it chooses one for each connection.
        quiet: it takes no connection for now.
        asked: how many requests it got.
        whole: the numbers in answers that a module may be given.
    """

    def __init__(self, clock: SimClock, random: Random, violate: Callable[[str], object]) -> None:
        self._clock = clock
        self._random = random
        self._violate = violate
        self._connections: list[Connection] = []
        self.quiet = False
        self.ways: Sequence[str] = ()
        self._wrong = ""
        self.asked = 0
        self.whole: set[int] = set()

    def open_connections(self) -> list[Connection]:
        """Return those that the agent has not closed."""
        self._connections = [each for each in self._connections if each.open]
        return list(self._connections)

    def accept(self, connection: Connection) -> None:
        """Take a connection, or refuse it."""
        self._wrong = self._random.choice(self.ways) if self.ways else ""
        if self.quiet or self._wrong == "refuses":
            raise error.ConnectionRefusedError
        if self.open_connections():
            self._violate("a device has two connections at once")
        self._connections.append(connection)
        got = bytearray()

        def receive(data: bytes) -> None:
            got.extend(data)
            if got.endswith(b"\r\n\r\n"):
                self._answer(connection)

        connection.to_peer.receive = receive
        if self._wrong == "pieces":
            connection.from_peer.piece_bytes = 1

    def _answer(self, connection: Connection) -> None:
        self.asked += 1
        body = b'{"n": %d}' % self.asked
        answer, closes = _WAYS.get(self._wrong, _usual)(body, self._random)
        if self._wrong not in _WAYS:
            self.whole.add(self.asked)
        delay_s = 0.0
        if self._wrong == "late":
            delay_s = self._random.choice((0.5, 2.0, 2.999, 3.0, 3.001, 4.0, 1e6))
        self._clock.later(delay_s, self._send, connection, bytearray(answer), closes)

    def _send(self, connection: Connection, answer: bytearray, closes: str) -> None:
        """Write as much as there is room for, then the rest."""

        def go_on() -> None:
            del answer[: connection.from_peer.write(answer)]
            if answer or not connection.open:
                return
            connection.from_peer.on_room = lambda: None
            if closes == "reset":
                connection.reset()
            elif closes:
                connection.peer_closes()

        connection.from_peer.on_room = go_on
        go_on()


def _usual(body: bytes, random: Random) -> tuple[bytes, str]:
    """Return an answer, and how the connection ends then, if the device ends it."""
    if random.random() < 0.3:
        return _HEAD + b"\r\n" + body, "in order"
    if random.random() < 0.3:
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
        return _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n", ""
    answer = _HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return answer, random.choice(("", "in order"))


def _cut(body: bytes, random: Random) -> tuple[bytes, str]:
    # With a length, since without one what came would be all; often the number has come.
    head = _HEAD + b"Content-Length: %d\r\n\r\n" % (len(body) + _SPACES)
    answer = head + body + b" " * _SPACES
    at = random.randrange(random.choice((0, len(answer) - _SPACES)), len(answer))
    return answer[:at], random.choice(("reset", "in order"))


def _status(body: bytes, random: Random) -> tuple[bytes, str]:
    answer, closes = _usual(body, random)
    status = random.choice((b"500 Oh", b"404 Not Found", b"204 No Content", b"302 Found"))
    return answer.replace(b"200 OK", status, 1), closes or "in order"


def _garbage(body: bytes, random: Random) -> tuple[bytes, str]:
    garbage = random.choice(
        (
            random.randbytes(random.randrange(500)),
            _HEAD + b"Content-Length: x\r\n\r\n" + body,
            _HEAD + b"Content-Length: 5\r\n\r\n" + random.randbytes(5),
            _HEAD + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n" + body,
            _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body,
            _HEAD + b"Content-Length: 2\r\n\r\n[]",
        )
    )
    return garbage, random.choice(("", "reset", "in order"))


def _large(body: bytes, random: Random) -> tuple[bytes, str]:
    size = random.choice((BODY_LIMIT + 1, _LARGE))
    body = body.ljust(size)
    head = random.choice((b"Content-Length: %d\r\n" % size, b"", b"X: " + body + b"\r\n"))
    return _HEAD + head + b"\r\n" + body, random.choice(("", "in order"))


_WAYS: Final[dict[str, Callable[[bytes, Random], tuple[bytes, str]]]] = {
    "cuts": _cut,
    "status": _status,
    "garbage": _garbage,
    "large": _large,
}
WAYS: Final = ("refuses", "late", "pieces", *_WAYS)
