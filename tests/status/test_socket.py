"""What a client of the socket gets, and what it cannot do to the agent."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.batch import Batch
from metrics_agent.process.socket_path import PathTooLong
from metrics_agent.state.local_socket import InUse
from metrics_agent.status.socket import (
    ATTEMPT_S,
    CLIENTS,
    PATIENCE_S,
    PIECE_BYTES,
    QUESTION_BYTES,
    TAP_BYTES,
    StatusSocket,
)
from metrics_agent.status.tapping import Tap
from tests.status.fakes import FakeClient, FakeSockets

WHOLE = {"problems": [], "agent": {"uptime": 3.0}, "modules": [{"module": "demo"}]}
LARGE = [{"device": f"{number:0{PIECE_BYTES // 10}}"} for number in range(100)]
"""Ten of them are a piece."""


class SocketCase(SynchronousTestCase):
    """A socket that listens, with a tap that writes to a list."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sockets = FakeSockets()
        self.events: list[dict[str, Any]] = []
        self.failures: list[Any] = []
        self.names: list[dict[str, Any]] = [{"device": "a"}]
        self.asked: list[Any] = []
        self.taken = 0
        self.written: list[Batch] = []
        self.tap = Tap(self.failures.append)
        self.write = self.tap.through("demo", self.written.append)
        self.socket = StatusSocket(
            self.clock,
            path=Path("/state/status.sock"),
            listen=lambda *what: self.sockets.listen(None, *what),
            whole=lambda: WHOLE,
            devices=self.devices,
            tap=self.tap,
            log=Logger(observer=self.events.append),  # type: ignore[arg-type]  # a list's method
            faults=self,
            caught=self.failures.append,
        )
        self.addCleanup(self.end)

    def failed(self, path: Path, error: OSError) -> None:
        self.failures.append((path, error))

    def worked(self, path: Path) -> None:
        self.failures.append((path, None))

    def end(self) -> None:
        self.socket.stopService()
        self.socket.stopService()
        self.assertEqual((self.clock.getDelayedCalls(), self.tap.watchers), ([], []))

    def devices(self, module: str | None, name: str | None) -> Iterator[dict[str, Any]]:
        self.asked.append((module, name))
        for each in self.names:
            self.taken += 1
            yield each

    def connect(self) -> FakeClient:
        if not self.socket.running:
            self.socket.startService()
        return self.sockets.connect()


class StatusTests(SocketCase):
    """The question for the state."""

    def test_answer(self) -> None:
        """All but devices, then the devices, then the end; then it is closed."""
        client = self.connect()
        client.ask(ask="status")
        self.assertEqual(client.objects(), [WHOLE, {"device": "a"}, {"end": True}])
        self.assertTrue(client.closed)
        self.assertEqual(self.asked, [(None, None)])

    def test_names(self) -> None:
        """Those of a module and a device are handed on."""
        client = self.connect()
        client.ask(ask="status", module="tasmota", device="a")
        client.objects()
        self.assertEqual(self.asked, [("tasmota", "a")])

    def test_no_devices(self) -> None:
        """Where there are none the end comes all the same."""
        self.names = []
        client = self.connect()
        client.ask(ask="status")
        self.assertEqual(client.objects(), [WHOLE, {"end": True}])

    def test_in_pieces(self) -> None:
        """A question may come byte by byte."""
        client = self.connect()
        for byte in b'{"ask": "status"}\n':
            client.send(bytes([byte]))
        self.assertEqual(len(client.objects()), 3)

    def test_made_as_it_is_read(self) -> None:
        """Devices that the client has not room for are not even looked at."""
        self.names = LARGE
        client = self.connect()
        client.ask(ask="status")
        producer = client.transport.producer
        producer.resumeProducing()
        producer.resumeProducing()
        self.assertEqual(self.taken, 10)
        self.assertEqual(len(client.objects()), 2 + len(self.names))

    def test_a_fault(self) -> None:
        """It is reported as any other, and the client gets to know."""
        self.devices = lambda *_names: iter([{"device": object()}])  # type: ignore[method-assign]
        socket = self.socket
        socket._devices = self.devices
        client = self.connect()
        client.ask(ask="status")
        self.assertIn("failed", client.objects()[-1]["error"])
        self.assertIsInstance(self.failures[-1], TypeError)


class QuestionTests(SocketCase):
    """Questions that are none."""

    def test_wrong(self) -> None:
        """Each gets a sentence, and the connection is closed."""
        wrong = (
            *(b"", b"status", b"[]", b"1", b"null", b"{}", b"\xff", b'{"ask": {}}'),
            *(b'{"ask": "sing"}', b'{"ask": "status", "device": 3}', b"[" * 1000),
        )
        for line in wrong:
            client = self.connect()
            client.send(line + b"\n")
            [answer] = client.objects()
            self.assertIn("error", answer, line)
            self.assertTrue(client.closed)

    def test_too_long(self) -> None:
        """A question without end is not kept."""
        client = self.connect()
        client.send(b"x" * (QUESTION_BYTES + 1))
        self.assertIn("error", client.objects()[0])
        client.send(b"x" * 10_000)
        self.assertEqual(client.protocol._received, b"")

    def test_never_asks(self) -> None:
        """It is cut."""
        client = self.connect()
        client.send(b'{"ask"')
        self.clock.advance(PATIENCE_S - 0.1)
        self.assertFalse(client.closed)
        self.clock.advance(0.1)
        self.assertTrue(client.closed)

    def test_never_reads(self) -> None:
        """Likewise, while it reads it has all the time it needs."""
        self.names = LARGE
        client = self.connect()
        client.ask(ask="status")
        for _ in range(5):
            self.clock.advance(PATIENCE_S - 1)
            client.transport.producer.resumeProducing()
        self.assertFalse(client.closed)
        self.clock.advance(PATIENCE_S)
        self.assertTrue(client.closed)

    def test_many(self) -> None:
        """Those beyond the limit are refused at once, and there is room again when one goes."""
        clients = [self.connect() for _ in range(CLIENTS)]
        for _ in range(200):
            extra = self.connect()
            self.assertIn("connected already", extra.objects()[0]["error"])
            self.assertTrue(extra.closed)
        clients[3].close()
        client = self.connect()
        client.ask(ask="status")
        self.assertEqual(len(client.objects()), 3)


class TapTests(SocketCase):
    """Lines as they go."""

    def tapped(self, name: str | None = None) -> FakeClient:
        client = self.connect()
        client.ask(ask="tap", name=name)
        return client

    def emit(self, data: bytes, write: Any = None) -> None:
        (write or self.write)(Batch(data, data.count(b"\n")))

    def test_all(self) -> None:
        """Every batch, as it is; it goes to the output untouched."""
        client = self.tapped()
        self.emit(b"a f=1 1\nb f=1 1\n")
        self.emit(b"c f=1 1\n")
        self.assertEqual(client.read(), b"a f=1 1\nb f=1 1\nc f=1 1\n")
        self.assertEqual(len(self.written), 2)

    def test_of_a_module(self) -> None:
        """All of its lines, none of another's."""
        other = self.tap.through("other", self.written.append)
        client = self.tapped("demo")
        self.emit(b"a f=1 1\n")
        self.emit(b"b f=1 1\n", other)
        self.assertEqual(client.read(), b"a f=1 1\n")

    def test_of_a_device(self) -> None:
        """By its tags, in whatever module."""
        client = self.tapped("my plug")
        self.emit(b"a,device=x f=1 1\na,device=my\\ plug f=2 1\nb,friendly=my\\ plug f=3 1\n")
        self.assertEqual(client.read(), b"a,device=my\\ plug f=2 1\nb,friendly=my\\ plug f=3 1\n")

    def test_unknown(self) -> None:
        """A name that no module or device has may be misspelt; it may also send later."""
        self.names = []
        client = self.tapped("dmeo")
        self.emit(b"a,device=dmeo f=1 1\n")
        remark = b"# nothing is known of this name yet: it may be misspelt\n"
        self.assertEqual(client.read(), remark + b"a,device=dmeo f=1 1\n")
        for name in ("demo", "agent"):
            self.assertEqual(self.tapped(name).read(), b"")
        self.socket._devices = lambda *_names: 1 / 0  # type: ignore[assignment,return-value]
        self.assertEqual(self.tapped("x").read(), b"")
        self.assertIsInstance(self.failures[-1], ZeroDivisionError)

    def test_no_one(self) -> None:
        """Nothing is done for those that are gone."""
        client = self.tapped()
        client.close()
        self.assertEqual(self.tap.watchers, [])

    def test_does_not_read(self) -> None:
        """Lines are skipped, and counted; the output gets them all, and the client stays."""
        client = self.tapped()
        client.transport.producer.pauseProducing()
        for _ in range(1000):
            self.emit(b"a f=1 1\nb f=1 1\n")
        self.assertEqual((client.read(), len(self.written)), (b"", 1000))
        self.clock.advance(100 * PATIENCE_S)
        client.transport.producer.resumeProducing()
        self.emit(b"c f=1 1\n")
        skipped = b"# 2000 lines skipped: they were not read fast enough\n"
        self.assertEqual(client.read(), skipped + b"c f=1 1\n")

    def test_a_flood(self) -> None:
        """Of one batch no more than a bound is sent, whole lines."""
        client = self.tapped()
        line = b"a f=1 1" + b"0" * 100 + b"\n"
        self.emit(line * 10_000)
        lines = client.read().splitlines(keepends=True)
        self.assertLessEqual(len(line) * (len(lines) - 1), TAP_BYTES)
        self.assertEqual(set(lines[:-1]), {line})
        self.assertEqual(lines[-1].split()[:2], [b"#", b"%d" % (10_001 - len(lines))])

    def test_a_fault(self) -> None:
        """A watcher that raises is gone; the batch goes on, and so does the next watcher."""
        client = self.tapped()
        other = self.tapped()
        client.transport.write = None  # type: ignore[method-assign,assignment]
        self.emit(b"a f=1 1\n")
        self.assertEqual((len(self.written), other.read()), (1, b"a f=1 1\n"))
        self.assertIsInstance(self.failures[-1], TypeError)
        failures = len(self.failures)
        self.emit(b"a f=1 1\n")
        self.assertEqual(len(self.failures), failures)

    def test_stop(self) -> None:
        """The stop of the agent ends it."""
        client = self.tapped()
        self.socket.stopService()
        self.assertTrue(client.closed)
        self.assertTrue(self.sockets.listening.stopped)


class RemovedTests(SocketCase):
    """Someone has removed the socket."""

    def remove(self, error: OSError | None = None) -> list[str]:
        self.socket.startService()
        self.sockets.factories.clear()
        self.sockets.error = error
        self.sockets.listening.removed()
        return [str(event["log_format"].format_map(event)) for event in self.events]

    def test_made_again(self) -> None:
        """At once, and one line says so."""
        [text] = self.remove()
        self.assertIn("can be asked by `metrics-agent status` at /state/status.sock now", text)
        self.assertEqual(list(self.sockets.factories), [Path("/state/status.sock")])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_at_once(self) -> None:
        """It is tried as at the start where that fails, for instance for lack of space."""
        self.assertEqual(self.remove(OSError(errno.ENOSPC, "full")), [])
        self.sockets.error = None
        self.clock.advance(ATTEMPT_S)
        self.assertEqual(list(self.sockets.factories), [Path("/state/status.sock")])
        self.assertEqual(len(self.events), 1)


class StartTests(SocketCase):
    """A socket that cannot be made; one line says why, and the agent runs."""

    def refused(self, error: OSError) -> str:
        self.sockets.error = error
        self.socket.startService()
        [event] = self.events
        self.clock.advance(ATTEMPT_S)
        self.assertEqual(len(self.events), 1)
        return str(event["log_format"].format_map(event))

    def test_another_agent(self) -> None:
        """Two with one state directory."""
        self.assertIn(
            "at /state/status.sock: another agent that runs has the same state directory. ",
            self.refused(InUse()),
        )

    def test_too_long(self) -> None:
        """What has no room in an address."""
        text = self.refused(PathTooLong(errno.ENAMETOOLONG, "200 bytes, at most 107"))
        self.assertIn("its path is too long for a socket (200 bytes, at most 107)", text)

    def test_in_its_place(self) -> None:
        """A file or a link that is not ours to remove."""
        self.assertIn("something else in its place", self.refused(OSError(errno.EADDRINUSE, "x")))

    def test_directory(self) -> None:
        """What is wrong with the directory is reported as for any file in it."""
        error = self.sockets.error = OSError(errno.EROFS, "Read-only file system")
        self.socket.startService()
        self.assertEqual(self.failures, [(Path("/state/status.sock"), error)])
        self.assertEqual(self.events, [])

    def test_again(self) -> None:
        """What cannot be made is tried again; that it can be made is reported."""
        self.refused(InUse())
        self.sockets.error = None
        self.clock.advance(ATTEMPT_S)
        self.assertEqual(len(self.sockets.factories), 1)
        self.assertIn("can be asked", self.events[-1]["log_format"])
        self.assertEqual(self.failures, [(Path("/state/status.sock"), None)])
        self.assertEqual(self.clock.getDelayedCalls(), [])
