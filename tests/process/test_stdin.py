"""Standard input: drained, and its end."""

from __future__ import annotations

import os
import socket

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.process.kernel import Kernel
from metrics_agent.process.stdin import StdinService, watch_stdin
from tests.output.fakes import FakeReactor


class StdinTests(SynchronousTestCase):
    """Watching a descriptor in place of fd 0."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.ends: list[str] = []

    def watch(self, fd: int):
        return watch_stdin(Kernel(), self.reactor, lambda: self.ends.append("end"), fd)

    def pipe(self) -> tuple[int, int]:
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        return reader, writer

    def test_drained_until_the_end(self) -> None:
        """What comes is discarded; the end of the pipe is reported once and the watch is over."""
        reader, writer = self.pipe()
        watch = self.watch(reader)
        self.assertEqual((self.reactor.readers, watch.fileno()), ([watch], reader))
        os.write(writer, b"\n" * 65536)
        watch.doRead()
        os.write(writer, b"\n" * 65536)
        watch.doRead()
        self.assertEqual(self.ends, [])
        os.close(writer)
        watch.doRead()
        watch.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((self.ends, self.reactor.readers), (["end"], []))
        self.assertTrue(os.get_blocking(reader))

    def test_hang_up(self) -> None:
        """A hang-up reported without reading is the end too."""
        reader, writer = self.pipe()
        os.close(writer)
        self.watch(reader).connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.ends, ["end"])

    def test_socket(self) -> None:
        """A socket ends when its peer stops sending."""
        ours, peer = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(peer.close)
        watch = self.watch(ours.fileno())
        peer.shutdown(socket.SHUT_WR)
        watch.doRead()
        self.assertEqual(self.ends, ["end"])

    def test_stopped(self) -> None:
        """After stop nothing is reported any more; stopping twice is harmless."""
        reader, writer = self.pipe()
        watch = self.watch(reader)
        watch.stop()
        watch.stop()
        os.close(writer)
        watch.doRead()
        self.assertEqual((self.ends, self.reactor.readers), ([], []))

    def test_not_ready_after_all(self) -> None:
        """With someone else's O_NONBLOCK an early call does no harm."""
        reader, writer = self.pipe()
        self.addCleanup(os.close, writer)
        os.set_blocking(reader, False)
        self.watch(reader).doRead()
        self.assertEqual(self.ends, [])

    def test_unreadable(self) -> None:
        """A descriptor that cannot be read has ended."""
        reader, writer = self.pipe()
        self.addCleanup(os.close, writer)
        watch = self.watch(writer)
        watch.doRead()
        self.assertEqual((self.ends, watch.logPrefix()), (["end"], "stdin"))
        self.assertNotEqual(reader, writer)

    def test_means_nothing(self) -> None:
        """/dev/null, a file and a terminal are not watched, and a terminal stays blocking."""
        null = os.open(os.devnull, os.O_RDONLY)
        file = os.open(self.mktemp(), os.O_CREAT)
        screen, terminal = os.openpty()
        for fd in (null, file, screen, terminal):
            self.addCleanup(os.close, fd)
        for fd in (null, file, terminal):
            self.watch(fd).stop()
            self.assertEqual(self.reactor.readers, [])
        self.assertTrue(os.get_blocking(terminal))


class ServiceTests(SynchronousTestCase):
    """The service, in place of fd 0."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.ends: list[str] = []
        self.reader, self.writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        self.service = StdinService(
            Kernel(), self.reactor, lambda: self.ends.append("end"), self.reader
        )

    def test_from_start_to_stop(self) -> None:
        """It watches while it runs, and the end of stdin is reported."""
        self.assertEqual(self.reactor.readers, [])
        self.service.startService()
        (watch,) = self.reactor.readers
        os.close(self.writer)
        watch.doRead()  # type: ignore[attr-defined]
        self.assertEqual((self.ends, self.reactor.readers), (["end"], []))
        self.service.stopService()

    def test_stop(self) -> None:
        """Safe before start and twice; the end is not reported afterwards."""
        self.addCleanup(os.close, self.writer)
        self.service.stopService()
        self.service.startService()
        self.service.stopService()
        self.service.stopService()
        self.assertEqual((self.reactor.readers, self.ends), ([], []))
