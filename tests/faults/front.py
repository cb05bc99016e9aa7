"""Something between the writers and a database that passes requests on, or answers itself."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet import reactor
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.integration.broker import free_port

__all__ = ["Front", "answer", "bad_lines", "garbage", "nothing", "spoilt_lines", "wrong_path"]

_PASSED_ON: Final = ("authorization", "content-encoding", "content-type", "user-agent")
_NUMBER: Final = re.compile(rb"^numbers,\S+ number=(\d+)i", re.MULTILINE)
_LINE: Final = re.compile(rb"^numbers,\S+ number=(\d+)i.*$", re.MULTILINE)

Act = Callable[["Front", Any], Any]
"""What is done with a request instead of passing it on; returns what a Resource renders."""


class Front(Resource):
    """One server; ends with the test.

    Args:
        case: whose cleanup ends it.
        port: of the database.

    Attributes:
        act: what is done with each request; None to pass it on.
        refused: how many were not passed on.
        port: of this server.
    """

    isLeaf = True

    def __init__(self, case: TestCase, port: int) -> None:
        super().__init__()
        self._database = port
        self._listening: Any = None
        self.act: Act | None = None
        self.refused = 0
        self.port = free_port()
        self._channels: set[Any] = set()
        case.addCleanup(self.close)

    def listen(self, tls: tuple[Path, Path] | None = None) -> None:
        """Listen, with TLS if there are files of a certificate and its key."""
        site = Site(self)
        site.noisy = False
        listen: Any = reactor
        if tls is None:
            self._listening = listen.listenTCP(self.port, site, interface="127.0.0.1")
        else:
            context = DefaultOpenSSLContextFactory(str(tls[1]), str(tls[0]))
            self._listening = listen.listenSSL(self.port, site, context, interface="127.0.0.1")

    async def close(self) -> None:
        """Listen no more, and end all connections."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.stopListening()
        channels, self._channels = self._channels, set()
        for channel in channels:
            with contextlib.suppress(AttributeError):  # one that has ended already
                channel.transport.abortConnection()

    def render(self, request: Any) -> Any:
        """Act, or pass it on."""
        self._channels.add(request.channel)
        if self.act is None:
            return self.pass_on(request, request.uri)
        return self.act(self, request)

    def pass_on(self, request: Any, uri: bytes) -> int:
        """Ask the database, at a path."""
        body = request.content.read()
        headers = {
            name: value for name in _PASSED_ON if (value := request.getHeader(name)) is not None
        }
        request.notifyFinish().addErrback(lambda _failure: None)

        def ask() -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", self._database, timeout=20)
            try:
                method = request.method.decode()
                connection.request(method, uri.decode(), body, headers)
                reply = connection.getresponse()
                return reply.status, reply.read()
            finally:
                connection.close()

        def answered(reply: tuple[int, bytes]) -> None:
            if not request._disconnected:
                request.setResponseCode(reply[0])
                request.write(reply[1])
                request.finish()

        asked = deferToThread(ask).addCallback(answered)
        asked.addErrback(lambda _failure: request.channel and request.channel.loseConnection())
        return NOT_DONE_YET


def answer(status: int, body: bytes = b"", **headers: str) -> Act:
    """Answer so, without a look at the request."""

    def act(front: Front, request: Any) -> bytes:
        front.refused += 1
        request.setResponseCode(status)
        for name, value in headers.items():
            request.setHeader(name.replace("_", "-"), value)
        return body

    return act


def nothing(front: Front, request: Any) -> int:
    """Take the request and never answer."""
    front.refused += 1
    request.notifyFinish().addErrback(lambda _failure: None)
    return NOT_DONE_YET


def garbage(front: Front, request: Any) -> int:
    """Answer with what is not HTTP."""
    front.refused += 1
    request.notifyFinish().addErrback(lambda _failure: None)
    request.channel.transport.write(b"\x00\xff garbage\r\n\r\n" * 20)
    request.channel.loseConnection()
    return NOT_DONE_YET


def wrong_path(front: Front, request: Any) -> int:
    """Ask the database at a path that it does not know, as a wrong `output` does."""
    front.refused += 1
    return front.pass_on(request, b"/writ?db=telegraf")


def bad_lines(every: int) -> Act:
    """Reject each request with a line whose number is a multiple, as InfluxDB 2 does: all of it."""

    def act(front: Front, request: Any) -> Any:
        body = _plain(request)
        bad = [found[0] for found in _NUMBER.finditer(body) if not int(found[1]) % every]
        if not bad:
            return front.pass_on(request, request.uri)
        front.refused += 1
        request.setResponseCode(400)
        request.setHeader("content-type", "application/json")
        said = bad[0].decode().replace('"', "")
        return b'{"error":"unable to parse \'%s\': bad"}' % said.encode()

    return act


def spoilt_lines(every: int) -> Act:
    """Make no line of each whose number is a multiple, and leave the answer to the database."""

    def spoil(found: re.Match[bytes]) -> bytes:
        return found[0] if int(found[1]) % every else b"this is no line"

    def act(front: Front, request: Any) -> Any:
        body = _LINE.sub(spoil, _plain(request))
        is_gzip = request.getHeader("content-encoding") == "gzip"
        request.content = io.BytesIO(gzip.compress(body) if is_gzip else body)
        return front.pass_on(request, request.uri)

    return act


def _plain(request: Any) -> bytes:
    """Return the body of a request, and leave it to be read."""
    body: bytes = request.content.read()
    request.content.seek(0)
    return gzip.decompress(body) if request.getHeader("content-encoding") == "gzip" else body
