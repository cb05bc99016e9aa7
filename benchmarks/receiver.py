"""Stands for a database that takes every write at once, so that only the subject is measured.

    python -m benchmarks.receiver PORT

It answers 204 to each POST and writes the lines to its stdout, for the collector.
"""

from __future__ import annotations

import gzip
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

__all__ = ["main"]

_LINE_BYTES: Final = 1 << 16


class _Handler(BaseHTTPRequestHandler):
    """Takes the requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Take lines."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        _write(body if body.endswith(b"\n") else body + b"\n")
        self.send_response_only(204)
        self.end_headers()

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline(_LINE_BYTES).partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline(_LINE_BYTES)
        self.rfile.readline(_LINE_BYTES)
        return b"".join(parts)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def main(port: int) -> None:
    """Serve until the process is ended."""
    ThreadingHTTPServer(("127.0.0.1", port), _Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
