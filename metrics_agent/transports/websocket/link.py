"""One life of a WebSocket: from an open transport to its end.

A link is made for every connection and never used again. Its owner learns that it opened, of each
message, and of the end: exactly once, last, with the cause.

Signs of life. A server may have nothing to say for days, so what counts is not data but whole
frames: a ping goes out every `ping_interval`, and if until `ping_timeout` later neither its answer
nor any other whole frame has come, the server is dead. The bytes of a frame that never ends are no
sign of life.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast
from typing import Protocol as TypingProtocol

from attrs import frozen
from twisted.internet import error
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.cause import Cause
from metrics_agent.timer import Timer
from metrics_agent.transports.causes import of_error, of_unread
from metrics_agent.transports.websocket.conversation import (
    Broken,
    Closed,
    Conversation,
    Event,
    FrameReceived,
    HandshakeRefused,
    Opened,
    Reply,
    TooLarge,
)
from metrics_agent.transports.write_gate import STUCK_S, WriteGate

__all__ = ["Handshake", "WebSocketLink", "WebSocketLinkOwner"]

GOODBYE_S: Final = 0.25
"""How long the server has to close after our close frame before we do."""
_NO_STATUS: Final = 1005
_TOO_EARLY: Final = " before answering (is it the right port, with or without TLS?)"
_SHOWN: Final = 60


@frozen
class Handshake:
    """What a link asks for, and its limits.

    Attributes:
        authority, target: see `Conversation.open`.
        authorization: the header's value, empty to leave it out.
        ping_interval_s, ping_timeout_s: see above.
        max_message: in bytes.
    """

    authority: str
    target: str
    authorization: str
    ping_interval_s: float
    ping_timeout_s: float
    max_message: int

    def __repr__(self) -> str:
        return f"Handshake({self.authority}{self.target})"


class WebSocketLinkOwner(TypingProtocol):
    """Gets a link's events; none of it may raise."""

    def link_opened(self) -> None:
        """Take note that the server speaks WebSocket with us."""
        ...

    def link_received(self, data: bytes) -> None:
        """Take a whole message."""
        ...

    def link_oversized(self) -> None:
        """Take note that a message was too large and is gone."""
        ...

    def link_ended(
        self, link: WebSocketLink, cause: Cause, refused: HandshakeRefused | None
    ) -> None:
        """Take note that the link is over; called once, last.

        Args:
            link: which.
            cause: why; of a refusal its owner knows better.
            refused: the answer to the handshake, if it was none of WebSocket.
        """
        ...


class WebSocketLink(Protocol):
    """The Twisted protocol of one connection.

    Args:
        reactor: the clock.
        handshake: what to ask for.
        owner: gets the events.
        log: for faults of our own.

    Attributes:
        opened: the handshake succeeded; stays True at the end.
        ended: the link is over.
    """

    def __init__(
        self, reactor: Any, handshake: Handshake, owner: WebSocketLinkOwner, log: Logger
    ) -> None:
        self._reactor = reactor
        self._handshake = handshake
        self._owner = owner
        self._log = log
        self._conversation = Conversation(handshake.max_message)
        self._cause: Cause | None = None
        self._refused: HandshakeRefused | None = None
        self._timer: IDelayedCall | None = None
        self._ticks = Timer(reactor, self._tick)
        self._pinged_at_frames: int | None = None
        self._frames = 0
        self._gate = WriteGate(reactor, self._gate_changed, self._gate_stuck)
        self._leaving = False
        self.opened = False
        self.ended = False

    # What the owner asks for.

    @property
    def alive(self) -> bool:
        """Whether the WebSocket is open."""
        return self.opened and not self.ended

    def disconnect(self) -> None:
        """Say goodbye: a close frame, then the server closes, or we do."""
        if self._leaving or self.ended:
            return
        self._leaving = True
        self._stop_timer()
        goodbye = self._conversation.close()
        if not goodbye:
            self._abort_transport()
            return
        self._write(goodbye)
        self._timer = self._reactor.callLater(GOODBYE_S, self._abort_transport)

    def accept_timed_out(self, timeout_s: float) -> None:
        """End, since the server has not opened the WebSocket in time."""
        self.abort(Cause("silent", f"no answer to the handshake within {timeout_s:g} s"))

    def abort(self, cause: Cause) -> None:
        """Cut the connection because of what is wrong with it."""
        if self._cause is None:
            self._cause = cause
            self._abort_transport()

    # Called by the transport.

    def connectionMade(self) -> None:
        """Ask for the WebSocket."""
        handshake = self._handshake
        transport = cast("Any", self.transport)
        transport.registerProducer(self._gate, streaming=True)
        headers = [(b"Authorization", handshake.authorization.encode())]
        self._contained(self._open, headers if handshake.authorization else [])

    def dataReceived(self, data: bytes) -> None:
        """Take what the server sent; whatever is in it, nothing is raised."""
        if self._cause is None and not self._leaving:
            self._contained(self._read, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Clean up and notify the owner."""
        self._stop_timer()
        self._gate.stopProducing()
        self.ended = True
        self._owner.link_ended(self, self._cause or self._of_loss(reason), self._refused)

    # Inside.

    def _open(self, headers: list[tuple[bytes, bytes]]) -> None:
        handshake = self._handshake
        self._write(self._conversation.open(handshake.authority, handshake.target, headers))

    def _read(self, data: bytes) -> None:
        for event in self._conversation.receive(data):
            self._handle(event)
            if self._cause is not None or self._leaving:
                return

    def _handle(self, event: Event) -> None:
        if isinstance(event, Reply):
            self._write(event.data)
            return
        self._frames += 1
        if isinstance(event, FrameReceived):
            self._owner.link_received(event.data)
        elif isinstance(event, TooLarge):
            self._owner.link_oversized()
        elif isinstance(event, Opened):
            self.opened = True
            self._ticks.start(self._handshake.ping_interval_s)
            self._owner.link_opened()
        elif isinstance(event, HandshakeRefused):
            self._refused = event
            self.abort(Cause(f"http_{event.status}", f"HTTP {event.status}"))
        elif isinstance(event, Closed):
            self._closed(event)
        elif isinstance(event, Broken):
            self.abort(_of_breach(event))

    def _closed(self, event: Closed) -> None:
        code = "" if event.code == _NO_STATUS else f" with code {event.code}"
        reason = f" ({event.reason[:_SHOWN]!r})" if event.reason else ""
        self._cause = Cause("closed", f"the server closed the connection{code}{reason}")
        self._stop_timer()
        # It closes now that it has our answer (RFC 6455, 7.1.1); we do if it does not.
        self._timer = self._reactor.callLater(GOODBYE_S, self._abort_transport)

    def _of_loss(self, reason: Failure) -> Cause:
        when = "" if self.opened else _TOO_EARLY
        if reason.check(error.ConnectionDone):
            return Cause("closed", f"the server closed the connection{when}")
        if reason.check(error.ConnectionLost, error.ConnectionAborted):
            return Cause("closed", f"the connection was cut{when}")
        return of_error(reason)

    # Signs of life.

    def _tick(self) -> float | None:
        """Ping, and look whether anything came when the time for an answer has passed."""
        timeout_s = self._handshake.ping_timeout_s
        before, self._pinged_at_frames = self._pinged_at_frames, None
        if before is None:
            self._pinged_at_frames = self._frames
            self._write(self._conversation.ping())
            return timeout_s
        if self._frames == before:
            self.abort(Cause("silent", f"no answer to a ping within {timeout_s:g} s"))
            return None
        return self._handshake.ping_interval_s

    # The transport.

    def _contained(self, call: Callable[..., None], *args: Any) -> None:
        try:
            call(*args)
        except Exception:
            self._log.failure("while talking WebSocket")
            self.abort(Cause("internal", "a fault of our own, see the line above"))

    def _gate_changed(self, full: bool) -> None:
        # TLS cannot write before it has read its handshake, and says "full" until then.
        full = full and self.opened
        call = getattr(self.transport, "pauseProducing" if full else "resumeProducing", None)
        if call is not None:
            call()

    def _gate_stuck(self) -> None:
        self.abort(of_unread(STUCK_S))

    def _write(self, data: bytes) -> None:
        # What was asked in one read with the last ping that had room is not answered any more.
        if data and not self._gate.full and self.transport is not None:
            self.transport.write(data)

    def _abort_transport(self) -> None:
        abort: Callable[[], object] | None = getattr(self.transport, "abortConnection", None)
        if abort is not None:
            abort()

    def _stop_timer(self) -> None:
        self._ticks.stop()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def _of_breach(event: Broken) -> Cause:
    text = event.text[:_SHOWN]
    if event.opened:
        return Cause("protocol", f"the server broke the protocol ({text})")
    return Cause(
        "not_websocket", f"the port does not speak WebSocket ({text})", needs_user_action=True
    )
