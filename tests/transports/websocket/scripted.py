"""A WebSocket connection with everything around it faked; the test plays the server."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel, formatEvent
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Event, RejectConnection, TextMessage

from metrics_agent.transports.reconnecting import Dial
from metrics_agent.transports.websocket.connection import WebSocketConnection
from metrics_agent.transports.websocket.settings import WebSocketSettings
from tests.transports.mqtt.scripted import FakeEndpoint, FakeTransport

SETTINGS = WebSocketSettings(url="http://dtu/live", reconnect_min=1, reconnect_max=60)
NOW_NS = 1_700_000_000_000_000_000


class Scripted:
    """A `WebSocketConnection` and its server.

    Attributes:
        attempts: what was dialled, in order.
        messages: what was received.
        changes: open (True) and not any more (False).
    """

    def __init__(self, *, random: float = 1.0, hints: dict[str, str] | None = None, **changes):
        self.clock = Clock()
        self.events: list[dict[str, Any]] = []
        self.attempts: list[FakeEndpoint] = []
        self.messages: list[bytes] = []
        self.changes: list[bool] = []
        self.oversized = 0
        self.dial_error: Exception | None = None
        self.noted: list[tuple[str, str | None]] = []
        self.explain = lambda cause: cause
        self.connection = WebSocketConnection(
            self.clock,
            evolve(SETTINGS, **changes),
            log=Logger(observer=self.events.append),
            received=self.messages.append,
            random=lambda: random,
            now_ns=lambda: NOW_NS,
            changed=self.changes.append,
            oversized=self._count_oversized,
            noted=lambda address, problem: self.noted.append((address, problem)),
            hints=hints or {},
            dialer=self._dial,
        )

    def _count_oversized(self) -> None:
        self.oversized += 1

    def _dial(self, _reactor: object, settings: WebSocketSettings) -> Dial:
        if self.dial_error is not None:
            raise self.dial_error
        self.attempts.append(FakeEndpoint(settings.address))
        return Dial(self.attempts[-1], self.explain)

    # The server's part.

    def accept_socket(self) -> FakeTransport:
        """Give the last attempt its transport; the request that comes is in ``request``."""
        self.transport = self.attempts[-1].open()
        self.server = WSConnection(ConnectionType.SERVER)
        [self.request] = self.heard()
        return self.transport

    def accept(self) -> FakeTransport:
        """Give the last attempt its transport and its WebSocket."""
        self.accept_socket()
        self.say(AcceptConnection())
        return self.transport

    def start(self) -> FakeTransport:
        """Start the service and let it in."""
        self.connection.startService()
        return self.accept()

    def say(self, *events: Event) -> None:
        """Let the server send frames."""
        self.feed(b"".join(map(self.server.send, events)))

    def send(self, text: str) -> None:
        """Let the server send a message."""
        self.say(TextMessage(data=text))

    def feed(self, data: bytes) -> None:
        """Let the server send bytes."""
        self.transport.protocol.dataReceived(data)

    def refuse(self, status: int, **headers: str) -> None:
        """Give the last attempt a transport and an HTTP answer."""
        self.accept_socket()
        pairs = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        self.say(RejectConnection(status_code=status, headers=pairs))

    def heard(self) -> list[Event]:
        """Return (and forget) what the client has sent."""
        self.server.receive_data(self.transport.value())
        self.transport.clear()
        return list(self.server.events())

    def authorization(self) -> str:
        """Return what the last request said about who we are."""
        found = dict(self.request.extra_headers).get(b"authorization", b"")
        return found.decode()

    # What is to be seen.

    def wait(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass, a little at a time."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def until_next_attempt(self, limit: float = 3700) -> float:
        """Let time pass until it tries again; return how long that took."""
        before, start = len(self.attempts), self.clock.seconds()
        while len(self.attempts) == before:
            assert self.clock.seconds() - start < limit, "no further attempt"
            self.clock.advance(0.25)
        return self.clock.seconds() - start

    def logged(self, *levels: LogLevel) -> list[str]:
        """Return the log lines of some levels (info and up), as text."""
        wanted = levels or (LogLevel.info, LogLevel.warn, LogLevel.error, LogLevel.critical)
        return [formatEvent(event) for event in self.events if event["log_level"] in wanted]
