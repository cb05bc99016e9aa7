"""The simulated pipes and sockets: what holds for the kernel's holds for them."""

from __future__ import annotations

import fcntl
import os
import random
import termios
from collections.abc import Callable
from random import Random
from select import POLLOUT, poll
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.output.buffers import PipeBuffer, SocketBuffer
from metrics_agent.process.descriptors import ask_kernel
from tests.output import test_whole_lines
from tests.simulation.clock import SimClock
from tests.simulation.descriptors import Pipe, TcpStream, UnixStream
from tests.simulation.kernel import SimKernel
from tests.simulation.reactor import ProcessReactor

_F_SETPIPE_SZ = 1031


class PipeTests(SynchronousTestCase):
    """A simulated pipe beside a real one."""

    def test_the_same(self) -> None:
        """Whatever is written and read, both take as much and say the same."""
        for seed in range(60):
            self.check(random.Random(seed))

    def check(self, chance: Random) -> None:
        pages = chance.choice((1, 2, 16))
        model = Pipe(pages)
        reader, writer = os.pipe()
        fcntl.fcntl(writer, _F_SETPIPE_SZ, pages * 4096)
        os.set_blocking(writer, False)
        poller = poll()
        poller.register(writer, POLLOUT)
        try:
            for _ in range(100):
                if chance.random() < 0.6:
                    data = bytes([chance.randrange(256)]) * chance.choice(
                        (1, 100, 4095, 4096, 4097, chance.randrange(1, 70_000))
                    )
                    self.assertEqual(
                        _taken(model.write, data), _taken(lambda data: os.write(writer, data), data)
                    )
                elif model.unread:
                    count = chance.choice((1, 4096, chance.randrange(1, 70_000)))
                    self.assertEqual(model.take(count), os.read(reader, count))
                self.assertEqual(model.unread, ask_kernel(writer, termios.FIONREAD))
                self.assertEqual(bool(model.events() & POLLOUT), bool(poller.poll(0)))
        finally:
            os.close(reader)
            os.close(writer)


def _taken(write: Callable[[bytes], int], data: bytes) -> int:
    try:
        return write(data)
    except BlockingIOError:
        return 0


class SimulatedBuffers(test_whole_lines.BufferTestCase):
    """Makes simulated pipes and sockets, for the tests of real ones."""

    total_bytes = 5_000_000

    def setUp(self) -> None:
        super().setUp()
        self.clock = SimClock(Random(1))
        reactor = ProcessReactor(self.clock, {}, self.fail)
        no_reader: Any = None
        self.kernel = reactor.kernel = SimKernel(reactor, no_reader, self.fail)

    def pipe(self, size: int = 65536) -> tuple[PipeBuffer, Callable[[int], bytes]]:
        pipe = Pipe(size // 4096)
        return PipeBuffer(self.kernel, self.kernel.add(pipe)), pipe.take

    def unix(self) -> tuple[SocketBuffer, Callable[[int], bytes]]:
        return self.socket(stream := UnixStream(212_992)), stream.take

    def tcp(self) -> tuple[SocketBuffer, Callable[[int], bytes]]:
        arrived = bytearray()

        def arrive(data: bytes) -> int:
            taken = data[: max(0, 65536 - len(arrived))]
            arrived.extend(taken)
            return len(taken)

        def read(count: int) -> bytes:
            data = bytes(arrived[:count])
            del arrived[:count]
            stream.pump_later()
            self.clock.run(0.01)
            return data

        stream = TcpStream(self.clock, 87_040, 1.6, arrive)
        return self.socket(stream), read

    def socket(self, stream: Any) -> SocketBuffer:
        return SocketBuffer(self.kernel, self.kernel.socket_of(self.kernel.add(stream)))


class SimulatedNextChunkTests(SimulatedBuffers, test_whole_lines.NextChunkTests):
    """How much of the queue may be written."""


class SimulatedWholeTests(SimulatedBuffers, test_whole_lines.WholeTests):
    """What the reader finds."""
