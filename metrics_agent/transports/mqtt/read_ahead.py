"""Reads that wait to be taken apart: the socket is emptied first.

A broker drops messages at QoS 0 for a client that does not read as fast as it writes. It writes
ten thousand retained announcements in some 20 ms, faster than they can be decoded. So when a read
is full, which means that there is more, what is in the socket is read up to a limit before anything
is decoded; when it begins with a retained message, of which there are seldom few, what comes until
the broker pauses is, or for 50 ms, since live messages may follow without a pause. Then as much as
one full read is decoded in each turn of the reactor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from metrics_agent.looping import GuardedLoop

__all__ = ["FULL_READ_BYTES", "READ_AHEAD_BYTES", "ReadAhead"]

FULL_READ_BYTES: Final = 64 * 1024
"""What Twisted reads from a socket at once."""
BURST_PAUSE_S: Final = 0.004
"""A burst of retained messages is over when nothing came for this time, twice that at most."""
BURST_S: Final = 0.05
"""How long a burst is read at most before what came of it is decoded."""
READ_AHEAD_BYTES: Final = 4 * 1024 * 1024
"""How much may wait; half a second's work at most."""


class ReadAhead:
    """The reads of one connection in order, taken a full read's worth a turn unless held.

    Args:
        reactor: its clock and callLater.
        take: takes what was read; must not raise.
        failed: called with what a turn raised all the same; what was read is not whole any more.

    Attributes:
        full: no more should be read from the socket.
    """

    def __init__(
        self,
        reactor: Any,
        take: Callable[[bytes], None],
        failed: Callable[[BaseException], object],
    ) -> None:
        self._reactor = reactor
        self._take = take
        self._reads: deque[bytes] = deque()
        self._bytes = 0
        self._loop = GuardedLoop(reactor, self._turn, failed)
        self._held = False
        self._burst = False
        self._burst_end_s = 0.0
        self._more_at_hand = False

    def __bool__(self) -> bool:
        return bool(self._reads)

    @property
    def full(self) -> bool:
        """Whether so much waits that no more is to be read."""
        return self._bytes >= READ_AHEAD_BYTES

    def wants(self, data: bytes) -> bool:
        """Whether a read has to wait: for those before it, for `release`, or for those after it."""
        return self._held or bool(self._reads) or len(data) >= FULL_READ_BYTES

    def put(self, data: bytes, *, burst: bool = False) -> None:
        """Add a read.

        Args:
            data: the read.
            burst: it is the beginning of many; wait until nothing came for a while.
        """
        if burst:
            self._burst = True
            self._burst_end_s = self._reactor.seconds() + BURST_S
        self._reads.append(data)
        self._bytes += len(data)
        if self.full:
            self._burst = self._more_at_hand = False
            self._loop.stop()
        else:
            self._more_at_hand = self._burst or len(data) >= FULL_READ_BYTES
        self._set()

    def hold(self) -> None:
        """Take nothing until `release`."""
        self._held = True
        self._loop.stop()

    def release(self) -> None:
        """Take what waits, from the next turn on."""
        self._held = False
        self._set()

    def clear(self) -> None:
        """Forget what waits."""
        self._loop.stop()
        self._reads.clear()
        self._bytes = 0
        self._burst = False

    def _set(self) -> None:
        if not self._loop.active and (delay_s := self._next_turn_s()) is not None:
            self._loop.start(delay_s)

    def _next_turn_s(self) -> float | None:
        if not self._reads or self._held:
            return None
        return BURST_PAUSE_S if self._burst else 0

    def _turn(self) -> float | None:
        if self._burst and self._reactor.seconds() >= self._burst_end_s:
            self._more_at_hand = False
        if self._more_at_hand:
            # Look at the socket once more before anything is decoded.
            self._more_at_hand = False
        else:
            self._burst = self._more_at_hand = False
            data = self._reads.popleft()
            if len(data) < FULL_READ_BYTES and self._reads:
                data = self._joined(data)
            self._bytes -= len(data)
            self._take(data)
        return self._next_turn_s()

    def _joined(self, data: bytes) -> bytes:
        # TLS and WebSocket bring small pieces: one a turn would be slower than they come.
        pieces, size = [data], len(data)
        while self._reads and size < FULL_READ_BYTES:
            pieces.append(self._reads.popleft())
            size += len(pieces[-1])
        return b"".join(pieces)
