r"""Answers who asks a running agent over a Unix socket.

One question a connection: a line of JSON, and its answer is lines of JSON or of line protocol::

    {"ask": "status", "module": NAME, "device": NAME}
        -> one object with all but devices, one object a device, {"end": true}
    {"ask": "tap", "name": NAME}
        -> lines of line protocol as they go to the output, until one side closes;
           a line that begins with # is a remark, such as that the name is not known
    anything else -> {"error": TEXT}

The names are optional. Nothing here may slow the agent: devices are sent some at a time, as the
client reads; the lines of a tap that does not read are skipped and counted; a client that does not
ask, or does not read its answer, is cut.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from typing import Protocol as TypingProtocol

from twisted.application.service import Service
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from zope.interface import implementer

from metrics_agent.logs.events import AGENT
from metrics_agent.process.socket_path import PathTooLong
from metrics_agent.state.local_socket import InUse, Listening
from metrics_agent.status.encoding import encoded
from metrics_agent.status.tapping import Tap, matching
from metrics_agent.timer import Timer

__all__ = ["CLIENTS", "StatusSocket"]

CLIENTS: Final = 16
"""Connections at a time: more than people who look, and each may hold `TAP_BYTES`."""
QUESTION_BYTES: Final = 1024
PATIENCE_S: Final = 10.0
"""A client that neither asks nor reads for so long is cut."""
ATTEMPT_S: Final = 30.0
"""Where the socket cannot be made it is tried again: another agent is about to end, as a rule."""
PIECE_BYTES: Final = 32 * 1024
"""Devices are sent in pieces of this size, a millisecond of work each."""
TAP_BYTES: Final = 64 * 1024
"""Lines of one batch that a tap is sent at most."""

_Encoded = Iterator[bytes]


@implementer(IPullProducer)
class _Answer:
    """Hands out an answer piece by piece, as the client takes it."""

    def __init__(self, client: _Client, pieces: _Encoded) -> None:
        self._client = client
        self._pieces = pieces

    def resumeProducing(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            self._client.finish()
        else:
            self._client.send(piece)

    def stopProducing(self) -> None:
        self._pieces = iter(())


@implementer(IPushProducer)
class _Tapped:
    """Sends lines as long as the client reads them; a `Watcher`."""

    def __init__(self, client: _Client, tap: Tap, name: str | None) -> None:
        self._client = client
        self._tap = tap
        self._name = name
        self._pattern: Any = None
        self._paused = False
        self._skipped = 0
        if name is not None:
            from metrics_agent.status.lines import device_filter

            self._pattern = device_filter(name)
        tap.watchers.append(self)

    def lines(self, module: str, data: bytes) -> None:
        if self._pattern is not None and module != self._name:
            data = b"".join(matching(data, self._pattern))
        if self._paused:
            self._skipped += data.count(b"\n")
            return
        if len(data) > TAP_BYTES:
            kept = data[: data.rfind(b"\n", 0, TAP_BYTES) + 1]
            self._skipped += data.count(b"\n") - kept.count(b"\n")
            data = kept
        if data:
            self._client.send(data)
            self._report()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._report()

    def stopProducing(self) -> None:
        if self in self._tap.watchers:
            self._tap.watchers.remove(self)

    def _report(self) -> None:
        if self._skipped and not self._paused:
            skipped, self._skipped = self._skipped, 0
            self._client.send(b"# %d lines skipped: they were not read fast enough\n" % skipped)


class _Client(Protocol):
    """One connection; one question, one answer."""

    transport: Any

    def __init__(self, server: StatusSocket) -> None:
        self._server = server
        self._received = b""
        self._asked = False
        self._patience = Timer(server.clock, self.end)

    def connectionMade(self) -> None:
        self._patience.start(PATIENCE_S)
        if not self._server.admit(self):
            self._asked = True
            self.fail(f"{CLIENTS} clients are connected already")

    def dataReceived(self, data: bytes) -> None:
        if self._asked:
            return
        self._received += data
        line, newline, _rest = self._received.partition(b"\n")
        if newline or len(self._received) > QUESTION_BYTES:
            self._asked = True
            self._received = b""
            self._server.answer(self, line)

    def connectionLost(self, reason: Any = None) -> None:  # noqa: ARG002 - Twisted's
        self._patience.stop()
        self._server.gone(self)

    def send(self, data: bytes) -> None:
        """Write; whoever takes it has its time again."""
        self.transport.write(data)
        if self._patience.active:
            self._patience.start(PATIENCE_S)

    def hand_out(self, pieces: _Encoded) -> None:
        """Send an answer, then close."""
        self.transport.registerProducer(_Answer(self, pieces), False)

    def show(self, tap: Tap, name: str | None) -> None:
        """Send lines until one side closes."""
        self._patience.stop()
        self.transport.registerProducer(_Tapped(self, tap, name), True)

    def fail(self, text: str) -> None:
        """Say why there is no answer, and close."""
        self.transport.write(_encoded({"error": text}))
        self.transport.loseConnection()

    def finish(self) -> None:
        """Close once all is sent."""
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def end(self) -> None:
        """Close now."""
        self.transport.abortConnection()


class _Clients(Factory):
    """Makes clients."""

    noisy = False

    def __init__(self, server: StatusSocket) -> None:
        self._server = server

    def buildProtocol(self, addr: object) -> _Client:  # noqa: ARG002 - Twisted's
        return _Client(self._server)


class Faults(TypingProtocol):
    """What reports that something in the state directory cannot be made, and that it can again."""

    def failed(self, path: Path, error: OSError) -> None:
        """Report a fault, unless the same was reported."""

    def worked(self, path: Path) -> None:
        """Report the end of a fault, if there was one."""


class StatusSocket(Service):
    """Listens while the agent runs; that it cannot costs a log line.

    Args:
        clock: provides callLater.
        path: of the socket.
        listen: see `state.local_socket.listen`; without its reactor.
        whole: gives the state of all but devices.
        devices: gives the devices of a module, or of all, with a name, or all, one after the
            other.
        tap: of the lines.
        log: the agent's.
        faults: of the state directory, see there.
        caught: called with a fault of our own.
    """

    def __init__(
        self,
        clock: Any,
        *,
        path: Path,
        listen: Callable[[Path, Factory, Callable[[], object]], Listening],
        whole: Callable[[], dict[str, Any]],
        devices: Callable[[str | None, str | None], Iterator[dict[str, Any]]],
        tap: Tap,
        log: Logger,
        faults: Faults,
        caught: Callable[[BaseException], object],
    ) -> None:
        self.clock = clock
        self._path = path
        self._listen = listen
        self._whole = whole
        self._devices = devices
        self._tap = tap
        self._log = log
        self._faults = faults
        self._caught = caught
        self._clients: set[_Client] = set()
        self._listening: Listening | None = None
        self._reason = ""
        self._attempts = Timer(clock, self._attempt, caught)

    def startService(self) -> None:
        """Listen, now or as soon as it is possible."""
        super().startService()
        self._attempts.run()

    def _attempt(self) -> float | None:
        try:
            self._listening = self._listen(self._path, _Clients(self), self._removed)
        except InUse:
            self._refused("another agent that runs has the same state directory")
        except PathTooLong as error:
            self._refused(f"its path is too long for a socket ({error.strerror})")
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                self._refused("there is something else in its place, remove it")
            else:
                self._faults.failed(self._path, error)
        else:
            self._faults.worked(self._path)
            if self._reason:
                self._reason = ""
                self._log.info(
                    "This agent can be asked by `metrics-agent status` at {path} now.",
                    path=str(self._path),
                    fold=False,
                )
            return None
        return ATTEMPT_S

    def _removed(self) -> None:
        """Make the socket again, which someone has removed."""
        self._listening = None
        self._reason = "it was removed"
        self._attempts.run()

    def stopService(self) -> None:
        """Cut all clients and remove the socket; safe before start and twice."""
        super().stopService()
        self._attempts.stop()
        for client in list(self._clients):
            client.end()
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.stop()

    def admit(self, client: _Client) -> bool:
        """Take a client; say whether there is room for it."""
        self._clients.add(client)
        return len(self._clients) <= CLIENTS

    def gone(self, client: _Client) -> None:
        """Forget a client."""
        self._clients.discard(client)

    def answer(self, client: _Client, line: bytes) -> None:
        """Answer a question."""
        try:
            question = json.loads(line)
            ask = question["ask"]
            module, device, name = (_name(question, each) for each in ("module", "device", "name"))
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            client.fail('the question cannot be understood, expected {"ask": "status"}')
            return
        if ask == "status":
            client.hand_out(self._contained(self._status(module, device)))
        elif ask == "tap":
            client.show(self._tap, name)
            if name is not None and not self._knows(name):
                client.send(b"# nothing is known of this name yet: it may be misspelt\n")
        else:
            client.fail(f"got the question {str(ask)[:80]!r}, expected status or tap")

    def _status(self, module: str | None, device: str | None) -> _Encoded:
        yield _encoded(self._whole())
        piece = bytearray()
        for each in self._devices(module, device):
            piece += _encoded(each)
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        yield bytes(piece) + _encoded({"end": True})

    def _knows(self, name: str) -> bool:
        """Say whether there is a module or a device of a name; so too where that fails."""
        try:
            modules = {AGENT, *(each["module"] for each in self._whole()["modules"])}
            return name in modules or next(self._devices(None, name), None) is not None
        except Exception as error:
            self._caught(error)
            return True

    def _contained(self, pieces: _Encoded) -> _Encoded:
        try:
            yield from pieces
        except Exception as error:
            self._caught(error)
            yield _encoded({"error": "the agent failed to answer, see its log"})

    def _refused(self, reason: str) -> None:
        """Report why the socket cannot be made; each reason once."""
        if reason == self._reason:
            return
        self._reason = reason
        self._log.warn(
            "This agent cannot be asked by `metrics-agent status` at {path}: {reason}. Everything "
            "else works; set state_dir to a directory of its own.",
            path=str(self._path),
            reason=reason,
            fold=False,
        )


def _name(question: dict[str, Any], key: str) -> str | None:
    name = question.get(key)
    if name is None or isinstance(name, str):
        return name
    raise TypeError(f"{key} is not a text")


def _encoded(values: dict[str, Any]) -> bytes:
    return encoded(values) + b"\n"
