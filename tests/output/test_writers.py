"""The writers for an open descriptor, on real pipes, sockets, terminals and files."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import threading
from pathlib import Path
from unittest import skipIf

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.output.descriptor import descriptor_writer
from metrics_agent.output.direct import RETRY_S, DirectWriter
from metrics_agent.output.hangup import IDLE_CHECK_S
from metrics_agent.output.pollable import PollWriter
from metrics_agent.output.threaded import ThreadWriter
from metrics_agent.output.whole_lines import EMPTY_CHECK_S, MAX_CHUNKS_PER_TURN
from metrics_agent.process.descriptors import Kind
from metrics_agent.process.kernel import Kernel
from tests.output.fakes import FakeReactor, FakeSource

GONE = Failure(ConnectionDone())
LONG = b"x" * 999 + b"\n"


class WriterTestCase(SynchronousTestCase):
    """Makes writers and closes what is left open."""

    def setUp(self) -> None:
        self.kernel = Kernel()
        self.reactor = FakeReactor()
        self.source = FakeSource()

    def close_later(self, *fds: int) -> None:
        for fd in fds:
            self.addCleanup(self.close, fd)

    @staticmethod
    def close(fd: int) -> None:
        try:
            os.close(fd)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise

    def writer_for(self, fd: int, *lines: bytes):
        for line in lines:
            self.source.add(line)
        writer = descriptor_writer(self.kernel, self.reactor, fd, self.source)
        self.addCleanup(self.check_closed, writer)
        return writer

    def check_closed(self, writer) -> None:
        writer.close()
        writer.close()
        self.assertEqual((self.reactor.readers, self.reactor.writers), ([], []))
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class PipeTests(WriterTestCase):
    """A pipe, opened again for ourselves."""

    def setUp(self) -> None:
        super().setUp()
        self.reader, self.fd = os.pipe()
        self.close_later(self.reader, self.fd)

    def test_burst_arrives(self) -> None:
        """Everything queued is there after one wake, and counted until it is read."""
        writer = self.writer_for(self.fd, b"a\n", b"b\n")
        writer.wake()
        self.assertEqual(writer.untaken(), 4)
        self.assertEqual(os.read(self.reader, 100), b"a\nb\n")
        self.assertEqual(writer.untaken(), 0)
        self.assertEqual(self.reactor.writers, [])

    def test_shared_description_stays_blocking(self) -> None:
        """Others who have the same pipe never see O_NONBLOCK."""
        other = os.dup(self.fd)
        self.close_later(other)
        writer = self.writer_for(self.fd)
        self.assertTrue(os.get_blocking(other))
        self.assertFalse(os.get_blocking(writer.fileno()))
        self.assertTrue(fcntl.fcntl(writer.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC)

    def test_full_pipe(self) -> None:
        """A full pipe makes the writer wait for the reactor; nothing is lost or written twice."""
        lines = [b"%03d " % number + LONG for number in range(200)]
        writer = self.writer_for(self.fd, *lines)
        writer.wake()
        writer.wake()
        self.assertEqual(self.reactor.writers, [writer])
        got = b""
        while self.reactor.writers:
            got += os.read(self.reader, 50_000)
            writer.doWrite()
        while writer.untaken():
            got += os.read(self.reader, 50_000)
        self.assertEqual(got, b"".join(lines))

    def test_pipe_full_of_others_bytes(self) -> None:
        """A pipe that takes nothing at all is waited for."""
        writer = self.writer_for(self.fd, b"a\n")
        os.write(writer.fileno(), b"x" * 65536)
        writer.wake()
        self.assertEqual((self.reactor.writers, self.source.queue.queued_bytes), ([writer], 2))

    def test_reader_gone_noticed_by_writing(self) -> None:
        """A write without a reader ends it, reported once."""
        writer = self.writer_for(self.fd, b"a\n")
        os.close(self.reader)
        writer.wake()
        writer.wake()
        writer.doRead()
        self.assertEqual(
            self.source.said, ["lost: the reader of the output has gone (Broken pipe)"]
        )
        self.assertEqual((writer.fileno(), writer.untaken()), (-1, None))

    def test_reader_gone_when_idle(self) -> None:
        """The reactor reports a dead reader when there is nothing to write."""
        writer = self.writer_for(self.fd)
        self.assertEqual(self.reactor.readers, [writer])
        writer.connectionLost(GONE)
        writer.connectionLost(GONE)
        self.assertEqual(self.source.said, ["lost: the reader of the output has gone"])

    def test_hang_up_reported_as_readable(self) -> None:
        """Reactors that report a hang-up as readable are understood; a live reader is kept."""
        writer = self.writer_for(self.fd)
        writer.doRead()
        self.assertEqual(self.source.said, [])
        os.close(self.reader)
        writer.doRead()
        self.assertEqual(self.source.said, ["lost: the reader of the output has gone"])

    def test_no_write_after_the_end(self) -> None:
        """A reactor that reports both at once calls twice; the number is another file's by then."""
        writer = self.writer_for(self.fd, b"a\n")
        number = writer.fileno()
        os.close(self.reader)
        writer.doRead()
        path = Path(self.mktemp())
        other = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(other, number)
        self.close_later(other, number)
        writer.doWrite()
        self.assertEqual(path.read_bytes(), b"")

    def test_a_long_line_waits_for_an_empty_pipe(self) -> None:
        """It is looked for again soon, and not after the end."""
        writer = self.writer_for(self.fd, b"a\n")
        writer.wake()
        self.source.add(5 * LONG.rstrip() + b"\n")
        writer.wake()
        self.assertEqual((self.reactor.writers, os.read(self.reader, 100)), ([], b"a\n"))
        self.reactor.advance(EMPTY_CHECK_S)
        self.assertEqual(len(os.read(self.reader, 10_000)), 5 * 999 + 1)
        self.source.add(b"a\n")
        writer.wake()
        self.source.add(5 * LONG.rstrip() + b"\n")
        writer.wake()

    def test_reactor_gets_its_turn(self) -> None:
        """However fast the reader, a wake writes a bounded amount."""
        fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, 1024 * 1024)
        lines = [LONG] * (66 * MAX_CHUNKS_PER_TURN + 100)
        stop = threading.Event()
        got = []

        def read() -> None:
            while not stop.is_set() and (data := os.read(self.reader, 1 << 20)):
                got.append(len(data))

        thread = threading.Thread(target=read)
        writer = self.writer_for(self.fd, *lines)
        thread.start()
        writer.wake()
        self.assertGreaterEqual(self.source.queue.queued_bytes, 100_000)
        self.assertEqual(self.reactor.writers, [writer])
        stop.set()
        writer.close()
        thread.join(5)
        self.assertEqual(writer.logPrefix(), "output")


class SocketTests(WriterTestCase):
    """A socket, which cannot be opened again."""

    def setUp(self) -> None:
        super().setUp()
        ours, self.peer = socket.socketpair()
        self.addCleanup(self.peer.close)
        self.fd = ours.detach()
        self.close_later(self.fd)

    def test_arrives_without_touching_flags(self) -> None:
        """Sends do not block and the description stays as it was."""
        other = os.dup(self.fd)
        self.close_later(other)
        writer = self.writer_for(self.fd, *[LONG] * 2000)
        writer.wake()
        self.assertEqual(self.reactor.writers, [writer])
        self.assertTrue(os.get_blocking(other))
        got = 0
        while self.reactor.writers:
            got += len(self.peer.recv(1 << 20))
            writer.doWrite()
        self.assertGreater(writer.untaken(), 0)
        while got < 2_000_000:
            got += len(self.peer.recv(1 << 20))
        self.assertEqual(writer.untaken(), 0)

    def test_unread_bytes_of_a_closed_peer_are_not_taken(self) -> None:
        """A peer that closes discards what it has not read: that must not look like reading."""
        writer = self.writer_for(self.fd, b"a\n")
        writer.wake()
        self.peer.close()
        self.assertIsNone(writer.untaken())
        self.assertEqual(self.source.said, ["lost: the reader of the output has gone"])

    def test_peer_closes_when_idle(self) -> None:
        """A peer that goes is noticed by reading."""
        writer = self.writer_for(self.fd)
        self.peer.close()
        writer.doRead()
        self.assertEqual(self.source.said, ["lost: the reader of the output has gone"])

    def test_peer_resets(self) -> None:
        """An error while reading is a loss, with its reason."""
        writer = self.writer_for(self.fd)
        writer.wake()
        self.source.add(b"a\n")
        writer.wake()
        self.peer.close()  # with unread bytes: the kernel resets
        writer.doRead()
        self.assertEqual(len(self.source.said), 1)
        self.assertIn("lost: the reader of the output has gone", self.source.said[0])

    def test_peer_talks(self) -> None:
        """What the peer says is discarded; an early call of the reactor does no harm."""
        writer = self.writer_for(self.fd)
        writer.doRead()
        self.peer.send(b"hello")
        writer.doRead()
        writer.doRead()
        self.assertEqual(self.source.said, [])

    def test_half_closed_peer_still_reads(self) -> None:
        """A peer that has only stopped sending gets its metrics; its end is noticed within 1 s."""
        writer = self.writer_for(self.fd)
        self.peer.shutdown(socket.SHUT_WR)
        writer.doRead()
        self.assertEqual((self.source.said, self.reactor.readers), ([], []))
        self.source.add(b"a\n")
        writer.wake()
        self.assertEqual(self.peer.recv(10), b"a\n")
        self.reactor.advance(IDLE_CHECK_S)
        self.assertEqual(self.source.said, [])
        self.peer.close()
        self.reactor.advance(IDLE_CHECK_S)
        self.assertEqual(self.source.said, ["lost: the reader of the output has gone"])


class TerminalTests(WriterTestCase):
    """A terminal, opened again for ourselves."""

    def setUp(self) -> None:
        super().setUp()
        self.screen, self.fd = os.openpty()
        self.close_later(self.screen, self.fd)

    def test_written_without_touching_the_shells_flags(self) -> None:
        """The shell's terminal stays blocking, its keys stay the shell's."""
        shell = os.dup(self.fd)
        self.close_later(shell)
        writer = self.writer_for(self.fd, b"a\n")
        writer.wake()
        self.assertEqual(os.read(self.screen, 10), b"a\r\n")
        self.assertEqual((writer.untaken(), self.reactor.readers), (0, []))
        self.assertTrue(os.get_blocking(shell))

    def test_window_closed(self) -> None:
        """A closed window is noticed within a second."""
        writer = self.writer_for(self.fd)
        self.reactor.advance(IDLE_CHECK_S)
        self.assertEqual(self.source.said, [])
        os.close(self.screen)
        self.reactor.advance(IDLE_CHECK_S)
        self.assertEqual(self.source.said, ["lost: the reader of the output has gone"])
        self.assertEqual(writer.fileno(), -1)


class FullDisk(Kernel):
    """A disk that is full for a while."""

    full = True

    def write(self, fd: int, data: bytes) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(fd, data)


class DirectTests(WriterTestCase):
    """Files and /dev/null."""

    def test_file(self) -> None:
        """A file gets everything at once, at the position that it shares with others."""
        path = Path(self.mktemp())
        fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"before\n")
        other = os.dup(fd)
        self.close_later(other)
        writer = self.writer_for(fd, b"a\n", b"b\n")
        writer.wake()
        os.write(other, b"after\n")
        self.assertEqual(path.read_bytes(), b"before\na\nb\nafter\n")
        self.assertEqual(writer.untaken(), 0)

    def test_null(self) -> None:
        """/dev/null takes everything."""
        self.writer_for(os.open(os.devnull, os.O_WRONLY), b"a\n").wake()
        self.assertEqual(self.source.queue.queued_metrics, 0)

    def test_long_queue(self) -> None:
        """A long queue is written in several turns."""
        fd = os.open(os.devnull, os.O_WRONLY)
        writer = self.writer_for(fd, *[b"x" * 65536] * (MAX_CHUNKS_PER_TURN + 2))
        writer.wake()
        writer.wake()
        self.assertEqual(self.source.queue.queued_metrics, 2)
        self.reactor.turn()
        self.assertEqual(self.source.queue.queued_metrics, 0)

    def test_disk_full(self) -> None:
        """A full disk is named, nothing is lost, and writing goes on when there is room."""
        self.kernel = FullDisk()
        writer = self.writer_for(os.open(os.devnull, os.O_WRONLY), b"a\n")
        writer.wake()
        writer.wake()
        self.assertEqual(self.source.said, ["trouble: No space left on device (ENOSPC)"])
        self.reactor.advance(RETRY_S)
        self.assertEqual(len(self.source.said), 2)
        self.kernel.full = False
        self.reactor.advance(RETRY_S)
        self.assertEqual(self.source.said[2:], ["recovered"])
        self.assertEqual(self.source.queue.queued_metrics, 0)

    def test_not_writable(self) -> None:
        """A descriptor that is not open for writing is a loss: trying again cannot help."""
        self.writer_for(os.open(os.devnull, os.O_RDONLY), b"a\n").wake()
        self.assertEqual(self.source.said, ["lost: Bad file descriptor (EBADF)"])


class FakeThread:
    """A thread that does its work when the test says so."""

    def __init__(self, fd: int, written) -> None:
        self.fd = fd
        self.written = written
        self.chunks: list[bytes] = []
        self.closed = False

    def write(self, chunk: bytes) -> None:
        self.chunks.append(chunk)

    def close(self) -> None:
        self.closed = True
        os.close(self.fd)

    def work(self) -> None:
        try:
            os.write(self.fd, self.chunks.pop(0))
        except OSError as error:
            self.written(error)
        else:
            self.written(None)


class KernelWithThread(Kernel):
    """Starts no thread."""

    def writing_thread(self, fd, written):
        self.thread = FakeThread(fd, written)
        return self.thread


class ThreadTests(WriterTestCase):
    """The fallback; its thread's work is done by the test, when it wants."""

    def setUp(self) -> None:
        super().setUp()
        self.reader, self.fd = os.pipe()
        self.close_later(self.reader)
        self.kernel = KernelWithThread()
        self.writer = ThreadWriter(self.kernel, self.reactor, self.fd, Kind.PIPE, self.source)
        self.thread = self.kernel.thread
        self.addCleanup(self.check_closed, self.writer)

    def run_thread(self) -> None:
        """Let the thread write a chunk, and the reactor's thread hear of it."""
        self.thread.work()
        self.reactor.turn()

    def test_one_chunk_at_a_time(self) -> None:
        """While the thread writes, what comes waits; it counts as untaken until read."""
        self.source.add(b"a\n")
        self.writer.wake()
        self.source.add(b"b\n")
        self.writer.wake()
        self.assertEqual((self.source.queue.queued_metrics, self.writer.untaken()), (1, 2))
        self.run_thread()
        self.assertEqual((self.source.queue.queued_metrics, self.writer.untaken()), (0, 4))
        self.run_thread()
        self.assertEqual(os.read(self.reader, 10), b"a\nb\n")
        self.assertEqual(self.writer.untaken(), 0)
        self.writer.close()
        self.assertEqual((os.read(self.reader, 10), self.writer.untaken()), (b"", None))

    def test_a_long_line_waits_for_an_empty_pipe(self) -> None:
        """A write of more than the pipe takes whole would end in mid-line."""
        os.write(self.fd, b"a\n")
        self.source.add(5 * LONG.rstrip() + b"\n")
        self.writer.wake()
        self.assertEqual(self.source.queue.queued_metrics, 1)
        os.read(self.reader, 10)
        self.reactor.advance(EMPTY_CHECK_S)
        self.assertEqual(self.source.queue.queued_metrics, 0)

    def test_bytes_in_the_pipe(self) -> None:
        """Beside the thread's chunk the pipe's content is untaken."""
        os.write(self.fd, b"abc")
        self.assertEqual(self.writer.untaken(), 3)

    def test_reader_gone_while_writing(self) -> None:
        """The thread's error ends it."""
        self.source.add(b"a\n")
        self.writer.wake()
        os.close(self.reader)
        self.run_thread()
        self.assertEqual(
            self.source.said, ["lost: the reader of the output has gone (Broken pipe)"]
        )
        self.assertTrue(self.thread.closed)

    def test_error_after_a_close(self) -> None:
        """It is not reported any more."""
        self.source.add(b"a\n")
        self.writer.wake()
        os.close(self.reader)
        self.writer.close()
        self.thread.written(OSError(errno.EPIPE, "Broken pipe"))
        self.writer.wake()
        self.reactor.turn()
        self.assertEqual(self.source.said, [])

    def test_reader_gone_when_idle(self) -> None:
        """A dead reader is noticed within a second without writing."""
        os.close(self.reader)
        self.reactor.advance(IDLE_CHECK_S)
        self.assertEqual(self.source.said, ["lost: the reader of the output has gone"])


class ChoiceTests(WriterTestCase):
    """Which writer a descriptor gets."""

    def test_kinds(self) -> None:
        """Each kind of descriptor has its writer."""
        reader, pipe = os.pipe()
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        screen, terminal = os.openpty()
        self.close_later(reader, screen)
        null = os.open(os.devnull, os.O_WRONLY)
        for fd, expected in (
            (pipe, PollWriter),
            (ours.detach(), PollWriter),
            (terminal, PollWriter),
            (null, DirectWriter),
        ):
            writer = self.writer_for(fd)
            self.assertIsInstance(writer, expected)
            writer.close()

    def test_what_cannot_be_opened_again(self) -> None:
        """A terminal's master side would be another terminal: a thread writes to this one."""
        screen, terminal = os.openpty()
        self.close_later(terminal)
        self.assertIsInstance(self.writer_for(screen), ThreadWriter)

    @skipIf(not hasattr(os, "eventfd"), "needs eventfd, Python 3.10 on Linux")
    def test_odd_device(self) -> None:
        """What we know nothing about is left to a thread."""
        self.assertIsInstance(self.writer_for(os.eventfd(0)), ThreadWriter)
