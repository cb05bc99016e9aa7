"""Targets: what servers send on a WebSocket and as an answer, cut and bent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import hypothesis.strategies as st
from attrs import frozen
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from wsproto.events import AcceptConnection

from metrics_agent.cause import CauseError
from metrics_agent.config.secret import Secret
from metrics_agent.http_interface import HttpReply
from metrics_agent.transports.http import HttpClient
from tests.fuzz.frames import FRAMES, REFUSALS, SMALL, SPOILS, spoilt
from tests.fuzz.mutations import Draw, bytes_bent, cut_up
from tests.fuzz.oracle import Target, check_events
from tests.transports.web import Connection, WebReactor
from tests.transports.websocket import scripted as websocket

__all__ = ["WEB_STREAMS"]

# WebSocket.


@frozen
class SocketCase:
    """What a server sends after the request.

    Attributes:
        pieces: in which it arrives.
        accepts: after the answer that opens a WebSocket, which is made by the run: its key is new
            each time.
        spoil: where to put which bytes into that answer.
        ends: the server closes.
    """

    pieces: Sequence[bytes]
    accepts: bool
    spoil: tuple[int, bytes] | None
    ends: bool


@st.composite
def _socket_cases(draw: Draw) -> SocketCase:
    refusal = draw(st.sampled_from((None, None, None, None, *REFUSALS)))
    if refusal is not None:
        pieces = draw(cut_up(draw(bytes_bent(refusal, often=2))))
        return SocketCase(pieces, accepts=False, spoil=None, ends=draw(st.booleans()))
    data = draw(bytes_bent(b"".join(draw(st.lists(FRAMES, max_size=5))), often=2))
    pieces = draw(cut_up(data)) if len(data) < SMALL else [data]
    return SocketCase(pieces, accepts=True, spoil=draw(SPOILS), ends=draw(st.booleans()))


def run_websocket(case: SocketCase) -> None:
    """Feed a handshake and the pieces to a connection, let time pass, and stop it."""
    peer = websocket.Scripted(max_message=SMALL, password=Secret("s3cr3t"))
    peer.connection.startService()
    transport = peer.accept_socket()
    if case.accepts:
        peer.feed(spoilt(peer.server.send(AcceptConnection()), case.spoil))
    for piece in case.pieces:
        if not transport.gone:
            peer.feed(piece)
    if case.ends and not transport.gone:
        transport.lost(ConnectionDone())
    peer.clock.pump([1.0] * 20)
    alive = peer.connection.connected or len(peer.attempts) > 1
    assert alive or not transport.gone or peer.clock.getDelayedCalls(), "it gave up"
    assert all(len(message) <= SMALL for message in peer.messages)
    stopped = peer.connection.stopService()
    peer.clock.pump([0.2] * 5)
    assert stopped.called, "it does not stop"
    check_events(peer.events)
    assert "s3cr3t" not in "".join(peer.logged()), peer.logged()
    left = peer.clock.getDelayedCalls()
    assert not left, left


# HTTP.

_ANSWERS: Final = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nold",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
    b"HTTP/1.1 429 Too Many\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 3000\r\n\r\n" + b"z" * 3_000,
    b"HTTP/1.1 200 OK\r\n\r\n" + b"z" * 3_000,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + (b"400\r\n" + b"z" * 1_024 + b"\r\n") * 3
    + b"0\r\n\r\n",
    b"\x15\x03\x03\x00\x02\x02\x46",
    b"220 mail.example ESMTP\r\n",
)


@st.composite
def _http_cases(draw: Draw) -> tuple[list[bytes], str, bool]:
    data = draw(bytes_bent(draw(st.sampled_from(_ANSWERS)), often=1))
    if draw(st.integers(0, 4)) == 0:
        data += draw(st.sampled_from(_ANSWERS))
    pieces = draw(cut_up(data)) if len(data) < SMALL else [data[:SMALL], data[SMALL:]]
    return pieces, draw(st.sampled_from(("done", "lost", "silent"))), draw(st.booleans())


def run_http(case: tuple[list[bytes], str, bool]) -> None:
    """Answer a request with the pieces: it ends in a reply or a documented fault."""
    pieces, end, post = case
    reactor = WebReactor()
    client = HttpClient(reactor, timeout_s=30.0, body_limit=SMALL)
    headers = {"Authorization": "Bearer s3cr3t"}
    url = "http://api.example/data"
    request = (
        client.post(url, b"a=b", headers=headers) if post else client.get(url, headers=headers)
    )
    results: list[Any] = []
    ensureDeferred(request).addBoth(results.append)
    connection: Connection = reactor.accept()
    for piece in pieces:
        connection.send(piece)
    if end != "silent":
        connection.end(ConnectionDone() if end == "done" else ConnectionLost())
    reactor.pump([1.0] * 32)
    (result,) = results
    if isinstance(result, HttpReply):
        assert len(result.body) <= SMALL
    else:
        assert result.check(CauseError), result.getTraceback()
        assert not result.check(CancelledError)
        assert "s3cr3t" not in str(result.value), result.value
    left = reactor.getDelayedCalls()
    assert not left, left


WEB_STREAMS: Final = (
    Target("websocket", "what a server sends on a socket", _socket_cases(), run_websocket, 60),
    Target("http", "answers to a request", _http_cases(), run_http, 50),
)
