"""Sockets that are not there, and their clients."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport

__all__ = ["FakeClient", "FakeListening", "FakeSockets"]


class FakeListening:
    """A socket that is not there.

    Attributes:
        stopped: it takes no more connections.
        removed: to be called when its name is gone.
    """

    stopped = False
    removed: Callable[[], object] = staticmethod(lambda: None)

    def stop(self) -> None:
        """Take no more connections."""
        self.stopped = True


class FakeSockets:
    """What listens, by path.

    Attributes:
        factories: of those that listen, by path.
        error: what to raise instead; None to listen.
        modes: of those that were asked for with one.
    """

    def __init__(self) -> None:
        self.factories: dict[Path, Factory] = {}
        self.modes: dict[Path, int] = {}
        self.listening = FakeListening()
        self.error: OSError | None = None

    def listen(
        self, _reactor: object, path: Path, factory: Factory, removed: Callable[[], object]
    ) -> FakeListening:
        """Listen, as `Platform.listen` does."""
        if self.error is not None:
            raise self.error
        self.factories[path] = factory
        self.listening.removed = removed
        return self.listening

    def listen_unix(
        self, path: Path, factory: Factory, removed: Callable[[], object], mode: int
    ) -> FakeListening:
        """Listen with a mode."""
        self.modes[path] = mode
        return self.listen(None, path, factory, removed)

    def connect(self) -> FakeClient:
        """Connect to the only one."""
        [factory] = self.factories.values()
        return FakeClient(factory)


class _Transport(StringTransport):
    """Closes at once, as a socket does whose buffer is empty."""

    def loseConnection(self) -> None:
        super().loseConnection()
        self.closed()  # type: ignore[attr-defined]  # set by FakeClient

    def abortConnection(self) -> None:
        super().abortConnection()
        self.closed()  # type: ignore[attr-defined]  # set by FakeClient


class FakeClient:
    """The other side of a connection.

    Attributes:
        closed: the connection was closed.
    """

    def __init__(self, factory: Factory) -> None:
        self.closed = False
        self.protocol: Any = factory.buildProtocol(None)  # type: ignore[arg-type]  # no address
        self.transport = _Transport()
        self.transport.closed = self.close  # type: ignore[attr-defined]
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.protocol.dataReceived(data)

    def ask(self, **question: object) -> None:
        """Ask."""
        self.send(json.dumps(question).encode() + b"\n")

    def read(self) -> bytes:
        """Read what was sent, and all that comes after it from a pull producer."""
        found = b""
        while True:
            data = self.transport.value()
            self.transport.clear()
            found += data
            producer = self.transport.producer
            if producer is None or self.transport.streaming or self.closed:
                return found
            producer.resumeProducing()

    def objects(self) -> list[dict[str, Any]]:
        """Read lines of JSON."""
        return [json.loads(line) for line in self.read().splitlines()]

    def close(self) -> None:
        """Close, from whichever side."""
        if not self.closed:
            self.closed = True
            if self.transport.producer is not None:
                self.transport.producer.stopProducing()
            self.protocol.connectionLost(None)
