"""A stand-in for InfluxDB 2 and 3: it answers to writes as their documentation and sources say.

It stores lines that an independent parser takes. Nothing else of a database is in it.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.integration.case import is_line

__all__ = ["DatabaseStandIn"]


class DatabaseStandIn(Resource):
    """One server; ends with the test.

    Args:
        case: whose cleanup ends it.
        version: 2 or 3.
        token: what it lets in.
        tls: files of its certificate and key; None for a server without TLS.

    Attributes:
        stored: the lines.
        answers: status, headers and body to give instead, one for each next request.
        url: where lines are written.
    """

    isLeaf = True

    def __init__(
        self, case: TestCase, version: int, token: str, tls: tuple[Any, Any] | None = None
    ) -> None:
        super().__init__()
        self._version = version
        self._token = token
        self.stored: list[bytes] = []
        self.requests = 0
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        site = Site(self)
        site.noisy = False
        listen: Any = reactor
        if tls is None:
            port = listen.listenTCP(0, site, interface="127.0.0.1")
        else:
            certificate, key = tls
            context = DefaultOpenSSLContextFactory(str(key), str(certificate))
            port = listen.listenSSL(0, site, context, interface="127.0.0.1")
        case.addCleanup(port.stopListening)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://localhost:{port.getHost().port}/api/v2/write?org=o&bucket=b"

    def render_POST(self, request: Any) -> bytes:
        self.requests += 1
        if self.answers:
            status, headers, body = self.answers.pop(0)
            request.setResponseCode(status)
            for name, value in headers.items():
                request.setHeader(name, value)
            return body
        if request.getHeader("authorization") != f"Token {self._token}":
            return self._say(request, 401, {"code": "unauthorized", "message": "unauthorized"})
        good, bad = [], []
        for line in request.content.read().splitlines(keepends=True):
            if is_line(line):
                good.append(line)
            else:
                bad.append(line.decode())
        if bad and self._version == 2:
            message = f"unable to parse '{bad[0].strip()}': invalid field format"
            return self._say(request, 400, {"code": "invalid", "message": message})
        self.stored += good
        if bad:
            data = [{"original_line": line, "error_message": "bad"} for line in bad]
            error = "partial write of line protocol occurred"
            return self._say(request, 400, {"error": error, "data": data})
        request.setResponseCode(204)
        return b""

    def _say(self, request: Any, status: int, document: dict[str, Any]) -> bytes:
        request.setResponseCode(status)
        return json.dumps(document).encode()
