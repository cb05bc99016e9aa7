"""Reads the status page's data as a browser with the page open does.

A script: ``python -m benchmarks.clients.page_reader PORT``. It asks again 3 s after each answer,
takes gzip and keeps its connection; a count of answers goes to stderr when it is terminated.
"""

from __future__ import annotations

import contextlib
import http.client
import signal
import sys
import time
from typing import Final

PAUSE_S: Final = 3.0
_RETRY_S: Final = 0.1
_LIMIT_S: Final = 10.0
_HEADERS: Final = {"Accept-Encoding": "gzip, deflate, br", "Sec-Fetch-Site": "same-origin"}


def main() -> None:
    """Ask until terminated."""
    port = int(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    answers = 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LIMIT_S)
    try:
        while True:
            pause_s = _RETRY_S
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/status.json", headers=_HEADERS)
                answer = connection.getresponse()
                answer.read()
                if answer.status == http.HTTPStatus.OK:
                    answers += 1
                    pause_s = PAUSE_S
            if pause_s == _RETRY_S:
                connection.close()
            time.sleep(pause_s)
    finally:
        print(f"answers={answers}", file=sys.stderr)


if __name__ == "__main__":
    main()
