"""Connections in memory: two streams with limited buffers, which stall, slow down and break."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.simulation.clock import SimClock

__all__ = ["Connection", "SimTransport", "Stream"]

READ_BYTES = 64 * 1024
"""How much Twisted reads from a socket at once; less in some runs, see `small_limits`."""
TRANSPORT_BUFFER_BYTES: Final = 64 * 1024
"""Above this a Twisted transport pauses its producer."""


class Stream:
    """One direction of a connection: the kernels' buffers and the way between them.

    Args:
        clock: of the simulation.
        capacity: bytes that fit in.

    Attributes:
        reading: whether the reader reads.
        stalled: nothing arrives for now.
        slow: the longest delay of a segment and its size in bytes; None: not slow.
        freed_s: when it was stalled or slow last.
        piece_bytes: a read comes in pieces of so many bytes, all of them even if reading is paused
            meanwhile; 0: in one.
        delivered: bytes that the reader has read, except those that were held up for too long.
        handled: the same, without those that it is reading just now.
        is_frozen: says that the reader's process does not run.
        waits_until_s: says until when the reader waits for bytes that the network holds up.
    """

    def __init__(self, clock: SimClock, capacity: int) -> None:
        self._clock = clock
        self._capacity = capacity
        self._buffer = bytearray()
        self._ended: Callable[[], object] | None = None
        self._due = False
        self._dead = False
        self.reading = True
        self.stalled = False
        self.slow: tuple[float, int] | None = None
        self.piece_bytes = 0
        self.delivered = self.handled = 0
        self.receive: Callable[[bytes], object] = lambda _data: None
        self.on_room: Callable[[], object] = lambda: None
        self.is_frozen: Callable[[], bool] = lambda: False
        self.waits_until_s: Callable[[], float] = lambda: math.inf
        self.freed_s = -math.inf

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take as much as there is room for."""
        if self._dead:
            return len(data)
        count = min(len(data), self._capacity - len(self._buffer))
        if count:
            self._buffer += data[:count]
            self._pump_later()
        return count

    @property
    def is_empty(self) -> bool:
        """Whether all that was written has been read."""
        return not self._buffer

    def end(self, call: Callable[[], object]) -> None:
        """Call when everything written has been taken."""
        self._ended = call
        self._pump_later()

    def kill(self) -> None:
        """Lose the bytes on their way."""
        self._dead = True
        self._buffer.clear()
        self._ended = None

    def free(self) -> None:
        """End stalling and slowness."""
        self.stalled = False
        self.slow = None
        self.freed_s = self._clock.now_s
        self._pump_later()

    def resume(self) -> None:
        """Look again at what is there."""
        self._pump_later()

    def _pump_later(self) -> None:
        if self._due or self._dead:
            return
        self._due = True
        random = self._clock.random
        most_s = random.choice((0.0, 0.0001, 0.0003, 0.002)) if self.slow is None else self.slow[0]
        self._clock.later(most_s * random.random(), self._pump)

    def _is_too_late(self) -> bool:
        """Whether the reader has given up waiting for the bytes that come now."""
        until_s = self.waits_until_s()
        is_held_up = self.slow is not None or self.freed_s >= until_s
        return is_held_up and self._clock.now_s >= until_s

    def _pump(self) -> None:
        self._due = False
        if self._dead or not self.reading or self.stalled or self.is_frozen():
            return
        if self._buffer:
            most = min(len(self._buffer), READ_BYTES if self.slow is None else self.slow[1])
            random = self._clock.random
            size = most if random.random() < 0.8 else random.randint(1, most)
            data = bytes(self._buffer[:size])
            del self._buffer[:size]
            if not self._is_too_late():
                self.delivered += size
            piece = self.piece_bytes or size
            for start in range(0, size, piece):
                self.receive(data[start : start + piece])
            self.handled = self.delivered
            self.on_room()
        if self._buffer:
            self._pump_later()
        elif self._ended is not None and not self._dead:
            ended, self._ended = self._ended, None
            ended()


@implementer(ITCPTransport, IConsumer)
class SimTransport:
    """The agent's end of a connection, as Twisted's TCP transports behave.

    Attributes:
        on_write: called with all that the agent writes, also where the peer never gets it.
    """

    disconnecting = False
    disconnected = False
    connected = True
    producer: Any = None

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._out = bytearray()
        self._flushing = False
        self._producer_paused = False
        self.protocol: Any = None
        self.on_write: Callable[[bytes], object] = lambda _data: None

    def write(self, data: bytes) -> None:
        if self.disconnected or not data:
            return
        self.on_write(data)
        self._out += data
        if self.producer is not None and len(self._out) > TRANSPORT_BUFFER_BYTES:
            self._pause_producer()
        self._flush_later()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def _pause_producer(self) -> None:
        if not self._producer_paused:
            self._producer_paused = True
            self.producer.pauseProducing()

    def _flush_later(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._connection.clock.later(0, self._connection.guarded, self.flush)

    def flush(self) -> None:
        """Hand over as much as the kernel takes; called again when it has room."""
        self._flushing = False
        if self.disconnected:
            return
        if self._out:
            sent = self._connection.to_peer.write(self._out)
            del self._out[:sent]
            self._connection.clock.boundary("sending")
        if not self._out:
            if self.producer is not None and self._producer_paused:
                self._producer_paused = False
                self.producer.resumeProducing()
            elif self.disconnecting:
                self._connection.close(Failure(ConnectionDone()), reset=False)

    def loseConnection(self, _connDone: Any = None) -> None:
        if not self.disconnected and not self.disconnecting:
            self.disconnecting = True
            self._flush_later()

    def abortConnection(self) -> None:
        if not self.disconnected:
            self.disconnecting = True
            clock, connection = self._connection.clock, self._connection
            clock.later(0, connection.close, Failure(ConnectionLost()))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self.disconnected:
            producer.stopProducing()
            return
        self.producer = producer
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None
        self._producer_paused = False
        if self.disconnecting:
            self._flush_later()

    def pauseProducing(self) -> None:
        self._connection.from_peer.reading = False

    def resumeProducing(self) -> None:
        if not self.disconnected and not self.disconnecting:
            self._connection.from_peer.reading = True
            self._connection.from_peer.resume()

    def stopProducing(self) -> None:
        self.loseConnection()

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 1883)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.2", 40000)

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass

    def getTcpKeepAlive(self) -> bool:
        return True

    def loseWriteConnection(self) -> None:
        self.loseConnection()


class Connection:
    """Both ends of a connection between the agent and a peer.

    Args:
        clock: of the simulation.
        capacity: bytes that fit into each direction.
        guarded: runs a call in the agent's process, if that is alive.
        protocol: of the agent.

    Attributes:
        to_peer: what the agent sends.
        from_peer: what the agent receives.
        outlives: what a process has sent may arrive when it has ended.
        on_closed: called when the agent's end is gone.
    """

    def __init__(
        self, clock: SimClock, capacity: int, guarded: Callable[..., None], protocol: Any
    ) -> None:
        self.clock = clock
        self.guarded = guarded
        self.to_peer = Stream(clock, capacity)
        self.from_peer = Stream(clock, capacity)
        self.transport = SimTransport(self)
        self.protocol = protocol
        self.open = True
        self.vanished = False
        self.outlives = False
        self.on_closed: Callable[[], object] = lambda: None
        self.to_peer.on_room = lambda: guarded(self.transport.flush)
        self.from_peer.receive = self._receive

    def _receive(self, data: bytes) -> None:
        if self.open:
            self.guarded(self.protocol.dataReceived, data)

    def vanish(self) -> None:
        """Lose the network between the two: neither gets anything from the other, nor its end."""
        self.vanished = True
        self.to_peer.kill()
        self.from_peer.kill()

    def peer_closes(self) -> None:
        """Close in order from the peer's side: what it has sent arrives first."""
        self.from_peer.end(lambda: self.close(Failure(ConnectionDone())))

    def reset(self) -> None:
        """Reset the connection; bytes on their way are lost."""
        if not self.vanished:
            self.close(Failure(ConnectionLost()))

    def process_ends(self) -> None:
        """Close as the kernel does: what is unread resets the connection, else all arrives."""
        if self.outlives and self.from_peer.is_empty and not self.vanished:
            self.close(Failure(ConnectionDone()), reset=False)
        else:
            self.close(Failure(ConnectionLost()))

    def close(self, reason: Failure, *, reset: bool = True) -> None:
        """End the connection; what the agent had sent arrives first unless it is reset."""
        if not self.open:
            return
        self.open = False
        self.transport.disconnected = True
        self.transport.connected = False
        self.from_peer.kill()
        if reset:
            self.to_peer.kill()
            if not self.vanished:
                self.on_closed()
        else:
            self.to_peer.end(self.on_closed)
        producer = self.transport.producer
        if producer is not None:
            self.guarded(producer.stopProducing)
        self.guarded(self.protocol.connectionLost, reason)
