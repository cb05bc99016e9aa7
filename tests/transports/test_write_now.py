"""Writing without waiting for the reactor."""

from __future__ import annotations

from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.transports.write_now import write_now


class Descriptor(FileDescriptor):
    """A connection whose kernel takes some bytes at a time."""

    connected = 1

    def __init__(self, reactor: MemoryReactorClock, room: int | Exception) -> None:
        super().__init__(reactor)
        self.room = room
        self.sent = b""

    def writeSomeData(self, data: bytes) -> int | Exception:
        if isinstance(self.room, Exception):
            return self.room
        taken = data[: self.room]
        self.sent += taken
        return len(taken)


class WriteNowTests(SynchronousTestCase):
    """What goes at once, and what is left to the reactor."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()

    def write(self, descriptor: Descriptor, *pieces: bytes) -> tuple[bytes, bool]:
        """Write; return what has been sent and whether the reactor shall go on."""
        for data in pieces:
            write_now(self.reactor, descriptor, data)
        return descriptor.sent, descriptor in self.reactor.getWriters()

    def test_at_once(self) -> None:
        """With room in the kernel's buffer the reactor is not asked for anything."""
        descriptor = Descriptor(self.reactor, 100)
        self.assertEqual(self.write(descriptor, b"ab", b"cd"), (b"abcd", False))

    def test_in_part(self) -> None:
        """What the kernel does not take waits; later data waits behind it."""
        descriptor = Descriptor(self.reactor, 3)
        self.assertEqual(self.write(descriptor, b"abcd", b"ef"), (b"abc", True))
        descriptor.room = 100
        descriptor.doWrite()
        self.assertEqual(self.write(descriptor), (b"abcdef", False))

    def test_nothing_taken_and_a_loss(self) -> None:
        """A full buffer or a broken socket is the reactor's affair."""
        for room in (0, ConnectionLost()):
            descriptor = Descriptor(self.reactor, room)
            self.assertEqual(self.write(descriptor, b"ab"), (b"", True))

    def test_closing(self) -> None:
        """A connection that closes is left alone, as `write` does."""
        descriptor = Descriptor(self.reactor, 100)
        descriptor.disconnecting = True
        self.write(descriptor, b"ab")
        self.assertEqual(descriptor.sent, b"")
        descriptor = Descriptor(self.reactor, 100)
        descriptor.connected = 0
        self.assertEqual(self.write(descriptor, b"ab"), (b"", False))

    def test_other_transports(self) -> None:
        """TLS and whatever else wraps a socket has a way of its own."""
        transport = StringTransport()
        write_now(self.reactor, transport, b"ab")
        self.assertEqual(transport.value(), b"ab")
