"""The output setting, paths and endpoints."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis.strategies import text
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.interfaces import IReactorPluggableNameResolver, IStreamClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from metrics_agent.cause import Cause
from metrics_agent.config.output import Target, needs_tls, read_output
from metrics_agent.errors import OutputError
from metrics_agent.output.dial import make_dial
from metrics_agent.output.direct import RETRY_S, DirectWriter
from metrics_agent.output.endpoint import EndpointWriter
from metrics_agent.output.path import PathWriter
from metrics_agent.output.target import file_trouble, make_output
from metrics_agent.output.whole_lines import EMPTY_CHECK_S
from metrics_agent.platform import Platform
from metrics_agent.process.kernel import Kernel
from metrics_agent.transports import tls
from metrics_agent.transports.outage import PROVEN_S
from metrics_agent.transports.reconnecting import Dial
from tests.output.fakes import FakeReactor, FakeSource


def no_stdout() -> int:
    """Stand in where stdout must not be touched."""
    raise AssertionError("stdout is not asked for")


@implementer(IReactorPluggableNameResolver)
class FullReactor(FakeReactor):
    """A reactor that could look names up."""

    nameResolver = None


class SettingTests(SynchronousTestCase):
    """What the output setting may be."""

    def test_stdout(self) -> None:
        """``stdout`` takes fd 1, at the start and not before."""
        make_writer = make_output(
            Platform(), FakeReactor(), "stdout", lambda: os.open(os.devnull, os.O_WRONLY)
        )
        writer = make_writer(FakeSource())
        self.assertIsInstance(writer, DirectWriter)
        writer.close()

    def test_path(self) -> None:
        """An absolute path is a file."""
        path = Path(self.mktemp()).absolute()
        writer = make_output(Platform(), FakeReactor(), str(path), no_stdout)(FakeSource())
        self.assertIsInstance(writer, PathWriter)
        writer.close()
        self.assertTrue(path.exists())

    def test_endpoint(self) -> None:
        """An endpoint description is connected to at the start."""
        reactor = MemoryReactorClock()
        make_writer = make_output(Platform(), reactor, "unix:path=/run/agent-test.sock", no_stdout)
        self.assertEqual(reactor.unixClients, [])
        writer = make_writer(FakeSource())
        self.assertIsInstance(writer, EndpointWriter)
        self.assertEqual(reactor.unixClients[0][0], "/run/agent-test.sock")
        writer.close()

    def test_every_spelling_of_a_tcp_socket_connects(self) -> None:
        """Telegraf's URLs and Twisted's descriptions mean the same."""
        for setting in (
            "tcp://127.0.0.1:8094",
            "TCP://127.0.0.1:8094/",
            "tcp:127.0.0.1:8094",
            "tcp:host=127.0.0.1:port=8094",
        ):
            reactor = MemoryReactorClock()
            writer = make_output(Platform(), reactor, setting, no_stdout)(FakeSource())
            self.assertEqual(
                [call[:2] for call in reactor.tcpClients], [("127.0.0.1", 8094)], setting
            )
            writer.close()

    def test_both_spellings_are_one_target(self) -> None:
        """A URL and a description of the same socket are read to the same target."""
        tcp = Target("tcp", host="localhost", port=8094)
        unix = Target("unix", path="/run/t.sock")
        tls = Target("tls", host="localhost", port=8094)
        for setting, target in (
            ("tcp://localhost:8094", tcp),
            ("tcp4://localhost:8094", tcp),
            ("tcp:localhost:8094", tcp),
            ("unix:///run/t.sock", unix),
            ("unix:/run/t.sock", unix),
            ("unix:path=/run/t.sock", unix),
            ("tls://localhost:8094", tls),
            ("ssl://localhost:8094", tls),
            ("tls:localhost:8094", tls),
            ("ssl:localhost:8094", tls),
            ("tls://[::1]:8094", Target("tls", host="::1", port=8094)),
            ("/tmp/a:b", Target("file", path="/tmp/a:b")),
            (
                "tcp:localhost:8094:timeout=5",
                Target("endpoint", description="tcp:localhost:8094:timeout=5"),
            ),
        ):
            self.assertEqual(read_output(setting), target, setting)
            self.assertEqual(needs_tls(setting), target == tls or "tls" in setting, setting)

    def test_tls_can_be_made(self) -> None:
        """An address and a name are verified by Twisted, each in its way."""
        for setting in ("tls://[::1]:8094", "tls://localhost:8094", "tls:localhost:8094"):
            self.assertTrue(
                callable(make_output(Platform(), FullReactor(), setting, no_stdout)), setting
            )

    def test_untrusted(self) -> None:
        """What the verification noted is the reason; there is no setting to name in it."""
        made: list[Any] = []
        creator = tls.VerifyingCreator

        def note(*args: Any, **more: Any) -> Any:
            made.append(creator(*args, **more))
            return made[-1]

        self.patch(tls, "VerifyingCreator", note)
        setting = "tls://localhost:8094"
        way = make_dial(FullReactor(), read_output(setting), setting)()
        made[-1]._verify(None, None, 20, 0, 0)
        self.assertEqual(
            way.explain(Cause("closed", "cut")).text,
            "its certificate comes from an authority that we do not trust "
            "(see output_settings.tls_ca); it is not trusted",
        )

    def test_wrong(self) -> None:
        """A wrong setting says what was got and what is expected."""
        for setting, expected in (
            ("", "tcp://host:port"),
            ("carrier:pigeon", "Unknown endpoint type: 'carrier'"),
            ("tcp:onlyhost", "expected tcp://host:port"),
            ("tcp://onlyhost", "expected tcp://host:port"),
            ("tcp://:8094", "expected tcp://host:port"),
            ("tcp:port=8094", "expected tcp://host:port"),
            ("tcp:localhost:port=x", "expected tcp://host:port"),
            ("tcp://host:8094/path", "expected tcp://host:port"),
            ("tcp://host:99999", "got the port 99999"),
            ("tcp:host=h:port=99999", "got the port 99999"),
            ("ssl:host=h:port=8094", "expected tls:host=...:port=..."),
            ("tcp://[::g]:1", "expected tcp://host:port"),
            ("tcp://$HOST:8094", "got the host '$HOST', expected a name or an IP address"),
            ("localhost:8094", "expected tcp://localhost:8094"),
            ("telegraf.example:8094", "expected tcp://telegraf.example:8094"),
            ("[::1]:8094", "expected tcp://[::1]:8094"),
            ("udp://localhost:8094", "datagrams"),
            ("udp:localhost:8094", "datagrams"),
            ("unixgram:///run/t.sock", "datagrams"),
            ("gopher://localhost:8094", "got the scheme 'gopher'"),
            ("unix:", "an absolute path"),
            ("unix://run/t.sock", "an absolute path"),
            ("unix:path=t.sock", "an absolute path"),
            ("unix:path=/t.sock:timeout=soon", "soon"),
            ("stderr", "for the log"),
            ("lines.lp", "the absolute path of a file"),
            ("./lines.lp", "the absolute path of a file"),
            ("/tmp/a\0b", "an absolute path"),
        ):
            error = self.assertRaises(
                OutputError, make_output, Platform(), MemoryReactorClock(), setting, no_stdout
            )
            self.assertIn(expected, str(error), setting)

    def test_a_login_is_not_shown(self) -> None:
        """A password in an address is refused without repeating it."""
        error = self.assertRaises(OutputError, read_output, "tcp://me:hunter2@host:1")
        self.assertNotIn("hunter2", str(error))

    @given(text())
    @example("tcp:")
    @example("unix:=")
    def test_any_text_is_a_target_or_an_output_error(self, setting: str) -> None:
        with contextlib.suppress(OutputError):
            read_output(setting)


class FileTroubleTests(SynchronousTestCase):
    """Whether a file could be written, without writing it."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def test_nothing_is_created(self) -> None:
        """A file that can be written is not made by looking."""
        path = self.directory / "lines.lp"
        self.assertIsNone(file_trouble(str(path)))
        self.assertFalse(path.exists())
        path.touch()
        self.assertIsNone(file_trouble(str(path)))
        self.assertIsNone(file_trouble("/dev/null"))

    def test_what_keeps_a_file_from_being_written(self) -> None:
        """A missing directory, a directory in the file's place, a file in the directory's."""
        self.assertEqual(
            file_trouble(str(self.directory / "none" / "lines.lp")),
            f"there is no directory {self.directory}/none",
        )
        self.assertEqual(file_trouble(str(self.directory)), "it is a directory")
        (self.directory / "file").touch()
        self.assertIn("there is no directory", file_trouble(f"{self.directory}/file/x") or "")
        self.assertIsNotNone(file_trouble(f"{self.directory}/{'n' * 300}/x"))

    def test_links(self) -> None:
        """What a link names counts: it may be missing, as long as its directory is there."""
        link = self.directory / "link"
        link.symlink_to("lines.lp")
        self.assertIsNone(file_trouble(str(link)))
        link.unlink()
        link.symlink_to(self.directory / "none" / "lines.lp")
        self.assertEqual(file_trouble(str(link)), f"there is no directory {self.directory}/none")
        link.unlink()
        link.symlink_to(link)
        self.assertEqual(file_trouble(str(link)), "Too many levels of symbolic links")

    def test_permissions(self) -> None:
        """The rights of the effective user decide; root is asked through os.access alone."""
        self.patch(os, "access", lambda *_args, **_named: False)
        path = self.directory / "lines.lp"
        self.assertIn("may not create a file", file_trouble(str(path)) or "")
        path.touch()
        self.assertEqual(file_trouble(str(path)), "this user may not write it")


class FullKernel(Kernel):
    """The real one, with a disk that may be full.

    Attributes:
        room: bytes until it is full; None: it is not.
    """

    room: int | None = None

    def write(self, fd: int, data: bytes) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = super().write(fd, data[: self.room])
        if self.room is not None:
            self.room -= count
        return count


class PathTests(SynchronousTestCase):
    """Files by path."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.source = FakeSource()
        self.kernel = FullKernel()
        self.path = Path(self.mktemp())

    def open(self) -> PathWriter:
        writer = PathWriter(
            self.kernel, self.reactor, str(self.path), self.source, lambda _fd: None
        )
        self.addCleanup(self.assertEqual, [], self.reactor.getDelayedCalls())
        self.addCleanup(writer.close)
        return writer

    def write(self, writer: PathWriter, line: bytes) -> None:
        self.source.add(line)
        writer.wake()

    def test_appends(self) -> None:
        """An existing file is added to."""
        writer = self.open()
        self.write(writer, b"a\n")
        self.assertEqual(writer.untaken(), 0)
        writer.close()
        self.write(self.open(), b"b\n")
        self.write(writer, b"")
        self.assertEqual(self.path.read_bytes(), b"a\nb\n")

    def test_mode(self) -> None:
        """A new file has its documented mode under any umask; that of an old one is left alone."""
        for mask in (0o077, 0o022, 0):
            self.addCleanup(os.umask, os.umask(mask))
            self.open().close()
            self.assertEqual(self.path.stat().st_mode & 0o777, 0o640)
            self.path.chmod(0o604)
            self.open().close()
            self.assertEqual(self.path.stat().st_mode & 0o777, 0o604)
            self.path.unlink()

    def test_a_line_that_was_cut(self) -> None:
        """What a process left of a line, on a full disk, costs no line of the next one."""
        for before, expected in (
            (b"", b"c\n"),
            (b"a\n", b"a\nc\n"),
            (b"a\nb 17", b"a\nb 17#\nc\n"),
        ):
            self.path.write_bytes(before)
            writer = self.open()
            self.write(writer, b"c\n")
            writer.close()
            self.assertEqual(self.path.read_bytes(), expected)

    def test_a_line_that_was_cut_and_cannot_be_read(self) -> None:
        """In a file that may only be written, a comment keeps the first line apart."""
        real_open = os.open

        def may_only_write(path, flags, *mode):
            if not flags & os.O_WRONLY:
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return real_open(path, flags, *mode)

        for before, expected in (
            (b"", b"c\n"),
            (b"a\n", b"a\n#\nc\n"),
            (b"a\nb 17", b"a\nb 17#\nc\n"),
        ):
            self.path.write_bytes(before)
            patched = self.patch(os, "open", may_only_write)
            writer = self.open()
            patched.restore()
            self.write(writer, b"c\n")
            writer.close()
            self.assertEqual(self.path.read_bytes(), expected)

    def test_unwritable(self) -> None:
        """A path that cannot be opened is named and tried again, nothing is lost."""
        self.path = self.path / "sub" / "file"
        writer = self.open()
        self.write(writer, b"a\n")
        self.assertEqual(self.source.said, [f"trouble: {self.path}: No such file or directory"])
        self.assertIsNone(writer.untaken())
        self.path.parent.mkdir(parents=True)
        self.reactor.advance(RETRY_S)
        self.assertEqual(self.path.read_bytes(), b"a\n")
        self.assertIn("recovered", self.source.said)

    def test_stop_while_unwritable(self) -> None:
        """A stop ends the attempts."""
        self.path = self.path / "sub" / "file"
        self.assertIsNone(self.open().close())

    def test_rotated(self) -> None:
        """A file that was renamed or removed gets no line more, it is made again."""
        writer = self.open()
        self.write(writer, b"a\n")
        rotated = self.path.rename(self.path.with_suffix(".1"))
        self.write(writer, b"b\n")
        self.assertEqual((rotated.read_bytes(), self.path.read_bytes()), (b"a\n", b"b\n"))
        rotated.rename(self.path)
        self.write(writer, b"c\n")
        self.assertEqual(self.path.read_bytes(), b"a\nc\n")
        self.path.unlink()
        self.write(writer, b"d\n")
        self.assertEqual(self.path.read_bytes(), b"d\n")

    def test_rotated_in_a_burst(self) -> None:
        """It is noticed between the turns of a long burst too."""
        writer = self.open()
        lines = [b"%06d" % number + b"x" * 993 + b"\n" for number in range(3000)]
        for line in lines:
            self.source.add(line)
        writer.wake()
        rotated = self.path.rename(self.path.with_suffix(".1"))
        written = rotated.stat().st_size
        self.assertLess(written, 2_000_000)
        for _ in range(5):
            self.reactor.turn()
        self.assertEqual(rotated.stat().st_size, written)
        self.assertEqual(rotated.read_bytes() + self.path.read_bytes(), b"".join(lines))

    def test_rotated_while_the_disk_is_full(self) -> None:
        """What is tried again goes to the file that is there then, cut lines as a whole."""
        writer = self.open()
        self.kernel.room = 3
        self.write(writer, b"a\nb 17\n")
        rotated = self.path.rename(self.path.with_suffix(".1"))
        self.reactor.advance(RETRY_S)
        self.assertEqual((rotated.read_bytes(), self.path.read_bytes()), (b"a\nb", b""))
        self.kernel.room = None
        self.reactor.advance(RETRY_S)
        self.assertEqual((rotated.read_bytes(), self.path.read_bytes()), (b"a\nb", b"a\nb 17\n"))

    def test_changed_while_a_line_is_cut(self) -> None:
        """The rest of a line is written only behind its beginning."""
        for change, expected in (
            (lambda: None, b"a\nb 17\nc 18\n"),
            (lambda: os.truncate(self.path, 0), b"b 17\nc 18\n"),
            (lambda: os.truncate(self.path, 3), b"a\nb#\nb 17\nc 18\n"),
            (lambda: self.path.write_bytes(b"a\nb other\n"), b"a\nb other\nb 17\nc 18\n"),
        ):
            self.path.unlink(missing_ok=True)
            writer = self.open()
            self.write(writer, b"a\n")
            self.kernel.room = 4
            self.write(writer, b"b 17\n")
            self.assertEqual(self.path.read_bytes(), b"a\nb 17")
            self.reactor.advance(RETRY_S)
            change()
            self.kernel.room = None
            self.reactor.advance(RETRY_S)
            self.write(writer, b"c 18\n")
            self.assertEqual(self.path.read_bytes(), expected)
            writer.close()

    def test_directory_that_may_not_be_searched(self) -> None:
        """A path that cannot be looked at, for whatever reason, leaves the open file in use."""
        writer = self.open()
        self.write(writer, b"a\n")

        def identity(_file):
            raise PermissionError(errno.EACCES, "Permission denied")

        self.patch(self.kernel, "identity", identity)
        self.write(writer, b"b\n")
        self.assertEqual(self.path.read_bytes(), b"a\nb\n")

    def test_identity_that_changes(self) -> None:
        """A file system without lasting identities costs time, no lines."""
        numbers = count()
        self.patch(self.kernel, "identity", lambda _file: next(numbers))
        writer = self.open()
        for number in range(5):
            self.write(writer, b"%d\n" % number)
        self.assertEqual(self.path.read_bytes(), b"0\n1\n2\n3\n4\n")

    def test_rotated_before_it_was_read(self) -> None:
        """What is unread in a named pipe that is replaced comes again, in what replaces it."""
        os.mkfifo(self.path)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        writer = self.open()
        self.write(writer, b"a\n")
        self.path.rename(self.path.with_suffix(".1"))
        self.write(writer, b"b\n")
        self.assertEqual(self.path.read_bytes(), b"a\nb\n")

    def test_disk_full(self) -> None:
        """Trouble below is passed on with the path."""
        self.path = Path("/dev/full")
        self.write(self.open(), b"a\n")
        self.assertEqual(
            self.source.said, ["recovered", "trouble: /dev/full: No space left on device (ENOSPC)"]
        )

    def test_named_pipe(self) -> None:
        """A named pipe may lose its reader and get another; what was not read comes again."""
        os.mkfifo(self.path)
        writer = self.open()
        self.assertIn("trouble", self.source.said[0])
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.reactor.advance(RETRY_S)
        self.write(writer, b"a\n")
        os.close(reader)
        self.write(writer, b"b\n")
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.reactor.advance(RETRY_S)
        self.assertEqual(os.read(reader, 100), b"a\nb\n")


@implementer(IStreamClientEndpoint)
class FakeEndpoint:
    """Connects when the test says so."""

    def __init__(self) -> None:
        self.attempts: list = []
        self.refuse = False

    def connect(self, factory):
        self.attempts.append(factory)
        if self.refuse:
            return fail(RefusedError())
        self.protocol = factory.buildProtocol(None)
        return succeed(self.protocol)


class Transport:
    """A transport over a real socket; its reactor is the test."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.producer = None
        self.writing = False
        self.ended = ""

    def getHandle(self) -> socket.socket:
        return self.sock

    def registerProducer(self, producer, streaming) -> None:
        assert not streaming
        self.producer = producer
        producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None

    def startWriting(self) -> None:
        self.writing = True

    def has_room(self) -> None:
        """Do what the reactor has it do when the socket has room."""
        if self.writing:
            self.writing = False
            self.producer.resumeProducing()

    def loseConnection(self) -> None:
        self.ended = "lose"

    def abortConnection(self) -> None:
        self.ended = "abort"


class EndpointTests(SynchronousTestCase):
    """Connections."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.source = FakeSource()
        self.endpoint = FakeEndpoint()

    def open(self) -> EndpointWriter:
        self.writer = EndpointWriter(
            Platform(), self.reactor, lambda: Dial(self.endpoint), "tcp:there:1", self.source
        )
        return self.writer

    def connect(self) -> Transport:
        ours, self.peer = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.peer.close)
        transport = Transport(ours)
        self.endpoint.protocol.makeConnection(transport)
        return transport

    def drop(self) -> None:
        self.endpoint.protocol.connectionLost(Failure(ConnectionDone()))

    def test_writes_when_connected(self) -> None:
        """What was queued before the connection is sent when it is there, then what follows."""
        self.source.add(b"a\n")
        writer = self.open()
        writer.wake()
        self.assertIsNone(writer.untaken())
        transport = self.connect()
        self.source.add(b"b\n")
        writer.wake()
        self.assertGreater(writer.untaken(), 0)
        self.assertEqual(self.peer.recv(10), b"a\nb\n")
        self.assertEqual((writer.untaken(), transport.writing), (0, False))

    def test_waits_for_room(self) -> None:
        """A full socket is waited for, and nothing is lost, repeated or cut."""
        lines = [b"%03d " % number + b"x" * 999 + b"\n" for number in range(2000)]
        for line in lines:
            self.source.add(line)
        self.open()
        transport = self.connect()
        self.assertTrue(transport.writing)
        got = b""
        while self.source.queue.queued_bytes:
            self.writer.wake()
            self.assertFalse(self.source.in_line)
            got += self.peer.recv(50_000)
            transport.has_room()
        while self.writer.untaken():
            got += self.peer.recv(1 << 20)
        self.assertEqual(got, b"".join(lines))

    def test_a_long_line_waits_for_an_empty_socket(self) -> None:
        """It is looked for again soon."""
        self.source.add(b"a\n")
        self.open()
        self.connect()
        self.source.add(b"x" * 5000 + b"\n")
        self.writer.wake()
        self.assertEqual(self.peer.recv(10_000), b"a\n")
        self.reactor.advance(EMPTY_CHECK_S)
        self.assertEqual(self.peer.recv(10_000), b"x" * 5000 + b"\n")

    def test_a_write_that_fails_ends_the_connection(self) -> None:
        """The connection is ended, and its end has the lines written again."""
        self.open()
        transport = self.connect()
        self.peer.close()
        self.source.add(b"a\n")
        self.writer.wake()
        self.writer.wake()
        self.assertEqual((transport.ended, self.source.queue.queued_metrics), ("abort", 1))
        self.drop()
        self.writer.close()

    def test_lost_connection(self) -> None:
        """What the other side had not taken is sent again on the next connection."""
        writer = self.open()
        self.source.add(b"a\n")
        self.connect()
        self.drop()
        self.assertEqual(self.source.said[:2], ["recovered", "rewind"])
        self.assertEqual(
            self.source.said[2], "trouble: tcp:there:1: the other side closed the connection"
        )
        self.assertIsNone(writer.untaken())
        self.reactor.advance(1)
        self.connect()
        self.assertEqual(self.peer.recv(10), b"a\n")

    def test_reader_that_closes_again_and_again(self) -> None:
        """It is not reported as well each time, and tried ever more slowly."""
        self.open()
        for _ in range(8):
            self.connect()
            self.drop()
            attempts = len(self.endpoint.attempts)
            while len(self.endpoint.attempts) == attempts:
                self.reactor.advance(0.25)
        said = [each for each in self.source.said if each != "rewind"]
        self.assertEqual(said.count("recovered"), 2)
        self.assertIn("keeps closing the connection soon after accepting it", said[-1])
        self.assertGreater(self.reactor.seconds(), 30)
        self.connect()
        self.reactor.advance(PROVEN_S)
        self.assertEqual(self.source.said[-1], "recovered")
        self.writer.close()

    def test_peer_that_closed_has_taken_nothing(self) -> None:
        """A peer that closes discards what it has not read: that must not look like reading."""
        writer = self.open()
        self.source.add(b"a\n")
        self.connect()
        self.peer.close()
        self.assertIsNone(writer.untaken())

    def test_refused(self) -> None:
        """A refused connection is tried again without end, ever more slowly."""
        self.endpoint.refuse = True
        writer = self.open()
        self.assertEqual(
            self.source.said[0],
            "trouble: tcp:there:1: connection refused, nothing listens there",
        )
        self.reactor.pump([1] * 3600)
        self.assertGreater(len(self.endpoint.attempts), 3600 / 40)
        self.assertLess(len(self.endpoint.attempts), 3600 / 20)
        self.assertIsNone(writer.close())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_close(self) -> None:
        """Closing waits until the connection has ended, and no one connects again."""
        writer = self.open()
        transport = self.connect()
        closed = writer.close()
        self.assertNoResult(closed)
        self.drop()
        self.successResultOf(closed)
        self.assertEqual((transport.ended, self.reactor.getDelayedCalls()), ("lose", []))

    def test_close_with_a_stalled_peer(self) -> None:
        """What a peer does not take is not waited for, and not cut off by a reset."""
        writer = self.open()
        transport = self.connect()
        self.source.add(b"a\n" * 500_000)
        writer.wake()
        self.assertIsNone(writer.close())
        self.assertEqual(transport.ended, "lose")

    def test_close_while_connecting(self) -> None:
        """An attempt on its way is given up."""
        attempt: Deferred = Deferred()
        self.endpoint.connect = lambda _factory: attempt
        writer = self.open()
        self.assertIsNone(writer.close())
        self.assertTrue(attempt.called)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_producing(self) -> None:
        """The transport's word that it ends needs no answer."""
        self.open()
        self.connect()
        self.assertIsNone(self.endpoint.protocol.stopProducing())
