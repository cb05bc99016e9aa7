"""What is handed to the kernel at once, on real pipes and sockets."""

from __future__ import annotations

import fcntl
import os
import random
import socket
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.output.buffers import ATOMIC_BYTES, Buffer, PipeBuffer, SocketBuffer
from metrics_agent.output.queue import CHUNK_BYTES
from metrics_agent.output.whole_lines import Outcome, hand_over, next_chunk
from metrics_agent.process.kernel import Kernel
from tests.output.fakes import FakeSource

_F_SETPIPE_SZ = 1031


def line(length: int) -> bytes:
    """A line that is so long, with its end."""
    return b"x" * (length - 1) + b"\n"


class BufferTestCase(SynchronousTestCase):
    """Makes pipes and sockets."""

    def setUp(self) -> None:
        self.source = FakeSource()

    def pipe(self, size: int = 65536) -> tuple[PipeBuffer, Callable[[int], bytes]]:
        reader, fd = os.pipe()
        fcntl.fcntl(fd, _F_SETPIPE_SZ, size)
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, fd)
        os.set_blocking(fd, False)
        os.set_blocking(reader, False)
        return PipeBuffer(Kernel(), fd), lambda count: os.read(reader, count)

    def unix(self) -> tuple[SocketBuffer, Callable[[int], bytes]]:
        ours, theirs = socket.socketpair()
        return self.over(ours, theirs)

    def tcp(self) -> tuple[SocketBuffer, Callable[[int], bytes]]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            return self.over(ours, server.accept()[0])

    def over(
        self, ours: socket.socket, theirs: socket.socket
    ) -> tuple[SocketBuffer, Callable[[int], bytes]]:
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        theirs.setblocking(False)
        return SocketBuffer(Kernel(), ours), theirs.recv


class NextChunkTests(BufferTestCase):
    """How much of the queue may be written."""

    def test_an_empty_pipe_gets_a_burst_at_once(self) -> None:
        """64 KiB of lines are one write."""
        buffer, _read = self.pipe()
        for _ in range(66):
            self.source.add(line(1000))
        self.assertEqual(len(next_chunk(self.source, buffer) or b""), 65_000)

    def test_a_pipe_that_holds_something_gets_what_fits_whole(self) -> None:
        """It gets whole lines of 4,096 bytes at most."""
        buffer, _read = self.pipe()
        buffer.send(b"a\n")
        self.source.add(line(1000) * 60)
        self.assertEqual(len(next_chunk(self.source, buffer) or b""), 4000)

    def test_a_small_pipe_gets_what_it_holds(self) -> None:
        """The kernel gives a user with many pipes small ones."""
        buffer, _read = self.pipe(8192)
        self.source.add(line(1000) * 60)
        self.assertEqual(len(next_chunk(self.source, buffer) or b""), 8000)

    def test_a_long_line_waits_until_all_is_read(self) -> None:
        """It goes whole then; TCP calls read what the peer's kernel has."""
        for buffer, read in (self.pipe(), self.unix()):
            self.source = FakeSource(line(ATOMIC_BYTES + 1))
            buffer.send(b"a\n")
            self.assertIsNone(next_chunk(self.source, buffer))
            self.assertIs(hand_over(self.source, buffer), Outcome.LONG)
            self.assertEqual(read(10), b"a\n")
            self.assertIs(hand_over(self.source, buffer), Outcome.DONE)
            self.assertEqual(read(CHUNK_BYTES), line(ATOMIC_BYTES + 1))

    def test_lines_before_a_long_one_do_not_wait(self) -> None:
        """What fits goes."""
        buffer, read = self.pipe()
        buffer.send(b"a\n")
        self.source.add(b"b\n")
        self.source.add(line(5000))
        self.assertIs(hand_over(self.source, buffer), Outcome.LONG)
        self.assertEqual(read(10), b"a\nb\n")

    def test_a_line_longer_than_the_pipe_goes_in_parts(self) -> None:
        """It begins when all is read; its rest goes whenever there is room, then what follows."""
        buffer, read = self.pipe()
        self.source.add(line(150_000))
        self.source.add(b"b\n")
        self.assertIs(hand_over(self.source, buffer), Outcome.FULL)
        self.assertTrue(self.source.in_line)
        got = read(5000)
        while not got.endswith(b"b\n"):
            hand_over(self.source, buffer)
            got += read(5000)
        self.assertEqual(got, line(150_000) + b"b\n")
        self.assertFalse(self.source.in_line)

    def test_tcp_without_room(self) -> None:
        """TCP is not written while poll does not say that there is room."""
        buffer, _read = self.tcp()
        self.source.add(line(1000))
        while buffer.ready():
            buffer.send(line(4096))
        self.assertIs(hand_over(self.source, buffer), Outcome.FULL)
        self.assertEqual(self.source.queue.queued_bytes, 1000)


class WholeTests(BufferTestCase):
    """What the reader finds, whenever it reads and whatever the lines are."""

    total_bytes = 20_000_000

    def test_no_write_ends_in_mid_line(self) -> None:
        """In thousands of writes to readers that stand still and go on."""
        for make in (self.pipe, self.unix, self.tcp):
            with self.subTest(make.__name__):
                self.check(*make())

    def check(self, buffer: Buffer, read: Callable[[int], bytes]) -> None:
        chance = random.Random(3)
        sent = received = 0
        while sent < self.total_bytes:
            while self.source.queued_bytes < 100_000:
                longest = 20_000 if chance.random() < 0.01 else 1000
                self.source.add(line(chance.randrange(2, longest)) * chance.randrange(1, 20))
            before = self.source.queued_bytes
            hand_over(self.source, buffer)
            sent += before - self.source.queued_bytes
            self.assertFalse(self.source.in_line)
            if chance.random() < 0.5:
                try:
                    received += len(read(chance.randrange(1, 50_000)))
                except BlockingIOError:
                    continue
        self.assertGreater(received, self.total_bytes // 2)
