"""A fake Netatmo: a real HTTPS server in a process of its own; run as a program.

``python -m tests.integration.netatmo_peer CERTIFICATE KEY PORT REDIRECT_URI [WISH]``

It says its port on stdout. ``/oauth2/authorize``, ``/oauth2/token`` and the two data addresses are
as at Netatmo. ``/_control`` takes a JSON object: what to do wrong from now on, and gives what
happened so far; see `netatmo.NetatmoPeer`.
"""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import sys
import time
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from oauthlib.oauth2 import OAuth2Error

from tests.integration.netatmo_brain import Brain

CONSENT = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Fake Netatmo</title>
<meta name="viewport" content="width=device-width"></head><body><h1>Fake Netatmo</h1>
<p>An app asks for: {scopes}</p><form method="post" action="/oauth2/decide?{query}">
<button name="decision" value="yes" id="accept">Yes, I accept</button>
<button name="decision" value="no" id="refuse">No</button></form></body></html>"""

HTML = b"<!doctype html><html><body><h1>502 Bad Gateway</h1><script>alert(1)</script></body></html>"
MEGABYTE = b"x" * (1 << 20)


class Peer(ThreadingHTTPServer):
    """The server and what it is to do wrong."""

    daemon_threads = True

    def __init__(self, port: int, context: ssl.SSLContext, redirect_uri: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.context = context
        self.brain = Brain(redirect_uri)
        self.faults: dict[str, str] = {}
        self.documents: dict[str, Any] = {}
        self.raw = ""
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        # The handshake is the thread's affair: a client that says nothing blocks no one.
        return (
            self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False),
            address,
        )

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that break off are part of the tests."""

    def control(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Do what a test wants, and report what happened."""
        brain = self.brain
        with brain.lock:
            self.faults.update(wish.get("faults", {}))
            self.documents.update(wish.get("documents", {}))
            for name in ("pkce", "lifetime_s", "expired"):
                if name in wish:
                    setattr(brain, name, wish[name])
            self.raw = wish.get("raw", self.raw)
            brain.pairs += wish.get("pairs", [])
            if wish.get("give_pair"):
                brain.give_pair()
            return {
                "pairs": brain.pairs,
                "asked": self.asked,
                "agents": [headers.get("User-Agent", "") for headers in self.headers],
            }


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Peer

    def setup(self) -> None:
        self.request.settimeout(600)
        self.request.do_handshake()
        super().setup()

    def log_message(self, *_args: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/oauth2/authorize":
            self._authorise()
        elif path.startswith("/api/"):
            self._data(path.removeprefix("/api/"))
        else:
            self._answer(204 if path == "/favicon.ico" else 404, b"")

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if path == "/_control":
            self._json(200, self.server.control(json.loads(body)))
        elif path == "/oauth2/decide":
            self._decide(parse_qs(body)["decision"][0] == "yes")
        elif path == "/oauth2/token":
            self._token(body)
        else:
            self._answer(404, b"{}")

    # Pages.

    def _authorise(self) -> None:
        self.server.asked.append("authorize")
        try:
            scopes = self.server.brain.consent_wanted(self._uri())
        except OAuth2Error as error:
            self._answer(400, f"<h1>{escape(error.error)}</h1>".encode(), "text/html")
            return
        query = escape(urlsplit(self.path).query)
        page = CONSENT.format(scopes=escape(" ".join(scopes)), query=query)
        self._answer(200, page.encode(), "text/html; charset=utf-8")

    def _decide(self, accepted: bool) -> None:
        uri = self._uri()
        scopes = self.server.brain.consent_wanted(uri)
        if accepted:
            location = self.server.brain.consent(uri, scopes)
        else:
            state = parse_qs(urlsplit(uri).query)["state"][0]
            location = f"{self.server.brain.redirect_uri}?error=access_denied&state={state}"
        self.send_response(302)
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _uri(self) -> str:
        return f"https://{self.headers['Host']}{self.path}"

    # The API.

    def _token(self, body: str) -> None:
        self.server.asked.append(parse_qs(body).get("grant_type", ["?"])[0])
        self.server.headers.append(dict(self.headers))
        fault = self.server.faults.get("token", "")
        if fault and not fault.startswith("served_"):
            self._fault(fault)
            return
        headers = {"Content-Type": self.headers.get("Content-Type", "")}
        status, document = self.server.brain.token(self._uri(), body, headers)
        if fault == "served_late":
            time.sleep(1.5)
        elif fault.startswith("served_"):
            # The tokens have rotated, and the answer goes astray.
            self._fault(fault.removeprefix("served_"))
            return
        self._json(status, document)

    def _data(self, name: str) -> None:
        self.server.asked.append(name)
        self.server.headers.append(dict(self.headers))
        fault = self.server.faults.get("data", "")
        if fault:
            self._fault(fault)
            return
        refusal = self.server.brain.refusal(self.headers.get("Authorization", ""))
        if refusal is not None:
            self._json(*refusal)
            return
        document = self.server.documents.get(name, {"body": {"devices": []}, "status": "ok"})
        self._json(200, document)

    # What goes wrong.

    def _fault(self, name: str) -> None:
        self.close_connection = True
        if name.isdigit():
            self._answer(int(name), HTML, "text/html")
        elif name.startswith("code_"):
            code = int(name.removeprefix("code_"))
            self._json(429 if code == 11 else 403, {"error": {"code": code, "message": "no"}})
        else:
            getattr(self, f"_fault_{name}")()

    def _fault_cut(self) -> None:
        """Half an answer."""
        self._send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b'{"body":{"dev')
        self.connection.shutdown(socket.SHUT_RDWR)

    def _fault_gone(self) -> None:
        """No answer, the connection is reset."""
        self.connection.shutdown(socket.SHUT_RDWR)

    def _fault_silent(self) -> None:
        """No answer without end."""
        time.sleep(600)

    def _fault_slow(self) -> None:
        """A byte now and then, without end."""
        self._send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(6000):
            self._send(b" ")
            time.sleep(0.1)

    def _fault_slow_head(self) -> None:
        """The same within the headers."""
        self._send(b"HTTP/1.1 200 OK\r\nX-Filling: ")
        for _ in range(6000):
            self._send(b"x")
            time.sleep(0.1)

    def _fault_huge(self) -> None:
        """A body of 100 MB, announced."""
        self._send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * len(MEGABYTE)))
        for _ in range(100):
            self._send(MEGABYTE)

    def _fault_endless(self) -> None:
        """A body of 100 MB in chunks, not announced."""
        self._send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            self._send(b"%x\r\n%s\r\n" % (len(MEGABYTE), MEGABYTE))

    def _fault_bomb(self) -> None:
        """100 MB in 100 kB."""
        body = gzip.compress(MEGABYTE * 100)
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._send(body)

    def _fault_raw(self) -> None:
        """Whatever the test has made up."""
        self._send(self.server.raw.encode("latin-1"))

    def _fault_redirect(self) -> None:
        self.send_response(302)
        self.send_header("Location", "http://evil.example/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _fault_not_http(self) -> None:
        self._send(b"220 mail.example ESMTP\r\n")

    # Answers.

    def _send(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def _json(self, status: int, document: Any) -> None:
        self._answer(status, json.dumps(document).encode(), "application/json; charset=utf-8")

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._send(body)


def main(certificate: str, key: str, port: str, redirect_uri: str, wish: str = "{}") -> None:
    """Serve until killed; the wish is as that of ``/_control``, before the first connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Peer(int(port), context, redirect_uri)
    server.control(json.loads(wish))
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
