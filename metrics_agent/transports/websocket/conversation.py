"""What is said on one WebSocket: bytes to whole messages; no I/O.

wsproto does the handshake and the framing. Of a message it gives piece after piece, so nothing of
one that is too large is kept: its pieces are counted and forgotten, and the messages behind it are
read as if nothing had been. In the handshake wsproto takes 16 KiB of headers at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from metrics_agent.errors import MissingDependency, how_to_install

try:
    from wsproto import ConnectionType, WSConnection
    from wsproto import events as ws
    from wsproto.connection import ConnectionState
    from wsproto.frame_protocol import CloseReason
    from wsproto.utilities import ProtocolError as WebSocketError
except ImportError as error:
    raise MissingDependency(
        f"WebSocket needs a package that is not installed ({error}): {how_to_install()}"
    ) from error

__all__ = [
    "Alive",
    "Broken",
    "Closed",
    "Conversation",
    "Event",
    "FrameReceived",
    "HandshakeRefused",
    "Opened",
    "Reply",
    "TooLarge",
]

Headers = Sequence[tuple[bytes, bytes]]

NORMAL_CLOSURE: Final = CloseReason.NORMAL_CLOSURE
_HTTP: Final = b"HTTP/"
_TLS_ALERT: Final = b"\x15\x03"
_SHOWN: Final = 24


@frozen
class Opened:
    """The server speaks WebSocket with us."""


@frozen
class HandshakeRefused:
    """The server answered the handshake with something else.

    Attributes:
        status: the HTTP status.
        headers: names in lower case.
    """

    status: int
    headers: Headers


@frozen
class FrameReceived:
    """A whole message, text as UTF-8."""

    data: bytes


@frozen
class TooLarge:
    """A message beyond the limit has ended; it was not kept."""


@frozen
class Alive:
    """The server answered a ping, or sent one."""


@frozen
class Reply:
    """Bytes that have to be sent to the server."""

    data: bytes


@frozen
class Closed:
    """The server ended the conversation in order.

    Attributes:
        code: of the close frame, 1005 if there was none.
        reason: the server's words.
    """

    code: int
    reason: str


@frozen
class Broken:
    """The server broke the protocol; nothing more can be read.

    Attributes:
        text: what is wrong.
        opened: the handshake had succeeded.
    """

    text: str
    opened: bool


Event = Opened | HandshakeRefused | FrameReceived | TooLarge | Alive | Reply | Closed | Broken


class Conversation:
    """One conversation from the handshake to the end.

    Args:
        max_message: bytes of a message that are kept.
    """

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._opened = False
        self._over = False
        self._begun = b""
        self._message = bytearray()
        self._too_large = False

    def open(self, authority: str, target: str, headers: Headers) -> bytes:
        """Return the handshake.

        Args:
            authority: host and port for the header ``Host``.
            target: path and query.
            headers: further ones.
        """
        request = ws.Request(host=authority, target=target, extra_headers=list(headers))
        return self._ws.send(request)

    def ping(self) -> bytes:
        """Return a ping, nothing once the conversation is over."""
        return b"" if self._over or not self._opened else self._ws.send(ws.Ping())

    def close(self, code: int = NORMAL_CLOSURE) -> bytes:
        """Return a close frame, nothing if there is nothing to close."""
        if self._over or not self._opened:
            return b""
        self._over = True
        return self._ws.send(ws.CloseConnection(code=code))

    def receive(self, data: bytes) -> Iterator[Event]:
        """Yield what the server says; what comes after its end is ignored."""
        if self._over:
            return
        if not self._begun.startswith(_HTTP):
            # Without this a server of another kind would be waited for until it says enough.
            self._begun += data[: len(_HTTP)]
            if not _HTTP.startswith(self._begun[: len(_HTTP)]):
                self._over = True
                yield Broken(_wrong_speech(self._begun + data[len(_HTTP) :]), opened=False)
                return
        try:
            self._ws.receive_data(data)
            for event in self._ws.events():
                yield from self._handle(event)
        except (WebSocketError, ValueError) as fault:
            # ValueError: header fields that are not ASCII where wsproto expects it.
            self._over = True
            yield Broken(str(fault), self._opened)

    def _handle(self, event: ws.Event) -> Iterator[Event]:
        if isinstance(event, (ws.TextMessage, ws.BytesMessage)):
            yield from self._piece(event)
        elif isinstance(event, ws.Ping):
            yield Reply(self._ws.send(event.response()))
            yield Alive()
        elif isinstance(event, ws.Pong):
            yield Alive()
        elif isinstance(event, ws.AcceptConnection):
            self._opened = True
            yield Opened()
        elif isinstance(event, ws.RejectConnection):
            self._over = True
            yield HandshakeRefused(event.status_code or 0, tuple(event.headers))
        elif isinstance(event, ws.CloseConnection):
            yield from self._end(event)

    def _piece(self, event: ws.TextMessage | ws.BytesMessage) -> Iterator[Event]:
        piece = event.data.encode() if isinstance(event, ws.TextMessage) else event.data
        if self._too_large or len(self._message) + len(piece) > self._max_message:
            self._too_large = True
            self._message.clear()
        else:
            self._message += piece
        if not event.message_finished:
            return
        yield TooLarge() if self._too_large else FrameReceived(bytes(self._message))
        self._too_large = False
        self._message.clear()

    def _end(self, event: ws.CloseConnection) -> Iterator[Event]:
        self._over = True
        # A frame that cannot be read comes as a close too, by wsproto in the server's name.
        by_server = self._ws.state is ConnectionState.REMOTE_CLOSING
        yield Reply(self._ws.send(event.response()))
        reason = event.reason or ""
        yield Closed(int(event.code), reason) if by_server else Broken(reason, opened=True)


def _wrong_speech(data: bytes) -> str:
    if data.startswith(_TLS_ALERT):
        return "it speaks TLS, use https:// or wss://"
    return f"it answered {data[:_SHOWN]!r}"
