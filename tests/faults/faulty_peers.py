"""Places of a fault where an answer of someone else is handled, see `faulty`.

The real transports are used as the modules use them: the HTTP client within a tick, the WebSocket
with a handler that the context watches. What is taken is a number, of which a metric is made.

The module is known by this file where it has such a place: the transports are imported when the
configuration is read, so that the time which that takes is not taken for a gap of the fault.
"""

from __future__ import annotations

import time
from typing import Any, Final

from metrics_agent.interfaces import Closable
from metrics_agent.metric import Metric, Series
from metrics_agent.transports.websocket.settings import WebSocketSettings
from tests.faults.faulty import FAULTY

__all__ = ["FAULTY", "body", "frame"]

ASK_EVERY_S: Final = 0.1
TIMEOUT_S: Final = 5.0
BODY_LIMIT: Final = 1024


def body(faulty: Any) -> None:
    """Ask a server for numbers; break on the first one."""
    client = faulty.context.http(timeout_s=TIMEOUT_S, body_limit=BODY_LIMIT)

    async def ask() -> list[Metric]:
        reply = await client.get(faulty.settings.peer)
        faulty.strike()
        return [_taken("body", reply.body)]

    faulty.context.every(ASK_EVERY_S, ask, now=False, place="body")


def frame(faulty: Any) -> Closable:
    """Take numbers from a WebSocket; break on the first one; give what is to be stopped."""

    def handle(data: bytes) -> None:
        faulty.strike()
        faulty.context.emit([_taken("frame", data)])

    settings = WebSocketSettings(url=faulty.settings.peer)
    return faulty.context.websocket(settings, handle, place="frame")


def _taken(measurement: str, number: bytes) -> Metric:
    return Metric(Series(measurement, {}), {"number": int(number)}, time.monotonic_ns())
