"""A browser that is not there, for web servers on a reactor that is not there either."""

from __future__ import annotations

from typing import Any

from attrs import define
from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

__all__ = ["HOST", "Answer", "Browser"]

HOST = "127.0.0.1:9127"


@define
class Answer:
    """What a browser got.

    Attributes:
        parts: of the body, as they were sent.
    """

    status: int
    headers: dict[str, str]
    parts: list[bytes]

    @property
    def data(self) -> bytes:
        """The body."""
        return b"".join(self.parts)

    @property
    def body(self) -> str:
        """The body as text."""
        return self.data.decode()


@define(eq=False)
class Browser:
    """Speaks HTTP with the server that was started last, and keeps its cookie.

    Attributes:
        token: of the form that it sends.
    """

    reactor: MemoryReactorClock
    host: str = HOST
    token: str = ""
    cookie: str = ""
    transport: Any = None

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> Answer | None:
        """Send a request on a new connection; None without an answer."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        if method == "POST":
            lines.append("Content-Type: application/x-www-form-urlencoded")
            body = body or f"token={self.token}"
            headers = {"Origin": f"http://{self.host}", **headers}
        if self.cookie:
            lines.append(f"Cookie: {self.cookie}")
        if body and not {"Content_Length", "Transfer_Encoding"} & {*headers}:
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if value]
        return self.send("\r\n".join([*lines, "", body]).encode())

    def send(self, data: bytes, peer: str = "127.0.0.1") -> Answer | None:
        """Send bytes on a new connection; None without an answer."""
        factory = self.reactor.tcpServers[-1][1]
        protocol = factory.buildProtocol(IPv4Address("TCP", peer, 4711))
        if protocol is None:
            self.transport = None
            return None
        self.transport = _Transport()
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)
        protocol.dataReceived(data)
        return self.answer()

    def answer(self) -> Answer | None:
        """Return the answer on the last connection, if there is one."""
        head, found, body = self.transport.value().partition(b"\r\n\r\n")
        if not found:
            return None
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if "set-cookie" in headers:
            self.cookie = headers["set-cookie"].partition(";")[0]
        parts = _chunks(body) if headers.get("transfer-encoding") == "chunked" else [body]
        return Answer(int(first.split()[1]), headers, parts)


def _chunks(body: bytes) -> list[bytes]:
    found = []
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        found.append(body[:length])
        body = body[length + 2 :]
    return found


class _Transport(StringTransport):
    """One that can be aborted."""

    protocol: Any = None
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()

    def loseConnection(self) -> None:
        if not self.disconnecting:
            super().loseConnection()
            self.protocol.connectionLost(Failure(ConnectionError()))
