"""The queue of batches, and where in the stream of bytes each of them is. Pure.

Theory of operation::

      taken by the reader | in flight                  | queued
      --------------------+----------------------------+----------------------
                          ^ position - untaken bytes   ^ position (+ offset)

Bytes leave the queue when a writer has passed them on (`advance`); a batch whose last byte has
left is *in flight* until the reader has taken it (`take`). How many bytes the reader has not
taken only the writer knows, from the kernel. A batch that is partly written is never dropped,
since a reader must not see half a line. At any time ::

    pushed = queued_metrics + in_flight_metrics + taken_metrics + dropped by the owner
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from metrics_agent.batch import Batch

__all__ = ["CHUNK_BYTES", "BatchQueue"]

CHUNK_BYTES = 64 * 1024
"""As much as an empty pipe takes: a burst up to this size is one write."""

_NEWLINE = b"\n"
_NOTHING: Sequence[Batch] = ()


class BatchQueue:
    """Batches in order, bounded in bytes; never calls anything: the owner settles and counts.

    Args:
        limit_bytes: what may wait here. In-flight batches are not counted: they are bounded by
            what the writer and the kernel accept.

    Attributes:
        queued_bytes: bytes not yet passed on.
        queued_metrics: metrics whose batch is not wholly passed on.
        in_flight_metrics: metrics passed on, not yet taken.
        taken_metrics: metrics the reader has taken.
        awaited: batches in flight that are waited for.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._queued: deque[Batch] = deque()
        self._offset = 0
        self._position = 0
        self._in_flight: deque[tuple[int, Batch]] = deque()
        self.queued_bytes = 0
        self.queued_metrics = 0
        self.in_flight_metrics = 0
        self.taken_metrics = 0
        self.awaited = 0

    def push(self, batch: Batch) -> Sequence[Batch]:
        """Append a batch.

        Returns:
            The batches dropped to keep within the limit, oldest first; the caller counts and
            settles them. A batch that alone is over the limit is dropped itself.
        """
        size = len(batch.data)
        if size > self._limit_bytes:
            return (batch,)
        self._queued.append(batch)
        self.queued_bytes += size
        self.queued_metrics += batch.count
        if self.queued_bytes <= self._limit_bytes:
            return _NOTHING
        return self._drop_oldest()

    def _drop_oldest(self) -> list[Batch]:
        queued = self._queued
        partly_written = queued.popleft() if self._offset else None
        dropped = []
        while queued and self.queued_bytes > self._limit_bytes:
            batch = queued.popleft()
            self.queued_bytes -= len(batch.data)
            self.queued_metrics -= batch.count
            dropped.append(batch)
        if partly_written is not None:
            queued.appendleft(partly_written)
        return dropped

    def kept_metrics(self) -> int:
        """Return how many of what is not taken their senders send again to the next process."""
        in_flight = sum(batch.kept for _end, batch in self._in_flight)
        return in_flight + sum(batch.kept for batch in self._queued)

    @property
    def oldest(self) -> Batch | None:
        """The oldest batch that the reader has not wholly taken, as far as that is known."""
        if self._in_flight:
            return self._in_flight[0][1]
        return self._queued[0] if self._queued else None

    @property
    def in_line(self) -> bool:
        """Whether what was passed on ends in mid-line."""
        return self._offset > 0 and self._queued[0].data[self._offset - 1] != _NEWLINE[0]

    def peek(self, limit: int = CHUNK_BYTES) -> bytes:
        """Return the next bytes to write, joined: whole lines as far as they fit.

        Returns:
            At most `limit` bytes, but at least one line, or the rest of one; empty when nothing is
            queued. They stay queued until `advance`.
        """
        queued = self._queued
        if not queued:
            return b""
        first = queued[0].data
        offset = self._offset
        size = len(first) - offset
        if size > limit:
            end = first.rfind(_NEWLINE, offset, offset + limit) + 1
            end = end or first.find(_NEWLINE, offset + limit) + 1 or len(first)
            return first[offset:end]
        if offset:
            first = first[offset:]
        if len(queued) == 1:
            return first
        parts = [first]
        for batch in islice(queued, 1, None):
            size += len(batch.data)
            if size > limit:
                break
            parts.append(batch.data)
        return b"".join(parts)

    def peek_batches(self, limit: int) -> bytes:
        """Return the next whole batches, joined; nothing may be partly written.

        Returns:
            At most `limit` bytes, but at least one batch; empty when nothing is queued. They stay
            queued until `advance`.
        """
        size = 0
        parts: list[bytes] = []
        for batch in self._queued:
            size += len(batch.data)
            if parts and size > limit:
                break
            parts.append(batch.data)
        return b"".join(parts)

    def advance(self, count: int) -> None:
        """Take the first `count` bytes as passed on.

        Raises:
            ValueError: that many are not queued.
        """
        if not 0 <= count <= self.queued_bytes:
            raise ValueError(f"advance by {count}, queued are {self.queued_bytes}")
        queued, in_flight = self._queued, self._in_flight
        end = self._position - self._offset
        self._position += count
        self.queued_bytes -= count
        while queued:
            batch = queued[0]
            end_of_batch = end + len(batch.data)
            if end_of_batch > self._position:
                break
            end = end_of_batch
            queued.popleft()
            in_flight.append((end, batch))
            self.queued_metrics -= batch.count
            self.in_flight_metrics += batch.count
            if batch.settle is not None:
                self.awaited += 1
        self._offset = self._position - end

    def take(self, untaken_bytes: int) -> list[Batch]:
        """Take as delivered all that was passed on but the last `untaken_bytes`.

        Returns:
            The batches that are now wholly taken, in order; the caller settles them.
        """
        in_flight = self._in_flight
        position = self._position - untaken_bytes
        taken = []
        while in_flight and in_flight[0][0] <= position:
            batch = in_flight.popleft()[1]
            self.in_flight_metrics -= batch.count
            self.taken_metrics += batch.count
            if batch.settle is not None:
                self.awaited -= 1
            taken.append(batch)
        return taken

    def rewrite(self, rewrite: Callable[[bytes], bytes]) -> None:
        """Put other data into the batches of which nothing was passed on."""
        for batch in islice(self._queued, 1 if self._offset else 0, None):
            data = rewrite(batch.data)
            self.queued_bytes += len(data) - len(batch.data)
            batch.data = data

    def rewind(self) -> None:
        """Queue again, whole, what is in flight or partly written: the connection was lost.

        The queue may be over its limit then; the next push trims it.
        """
        self.queued_bytes += self._offset
        while self._in_flight:
            batch = self._in_flight.pop()[1]
            self._queued.appendleft(batch)
            self.queued_bytes += len(batch.data)
            self.queued_metrics += batch.count
        self._offset = self._position = 0
        self.in_flight_metrics = self.awaited = 0
