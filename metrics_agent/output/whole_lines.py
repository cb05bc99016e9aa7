"""The rule that keeps a stream from ending in mid-line: what the kernel takes in one piece.

A process can be ended between any two writes, and a reader may take what it has got for a line:
Telegraf stores a point of 1970 for a line that lost its time. So each write is of whole lines, and
of no more than the kernel surely takes as a whole:

- a pipe: its capacity when it is empty, else 4,096 bytes, which POSIX has it take whole or not;
- a Unix stream socket: a quarter of its buffer when that is empty, else 4,096 bytes;
- TCP: the same, and only while poll says that there is room;
- TLS: 16 KiB, which is one record. The reader cannot decrypt a part of a record.

To guess the free space from what is unread does not work: pages and buffers are partly filled. A
longer line waits until the reader has taken everything before it. Only a line that is longer than
all the kernel holds, 64 KiB in a pipe, is written in parts. A terminal, a device and a file on a
full disk may take a part as well. The rest of a line that was cut goes first, as soon as it can.
"""

from __future__ import annotations

import enum
from typing import Final

from metrics_agent.output.buffers import Buffer
from metrics_agent.output.queue import CHUNK_BYTES
from metrics_agent.output.writer import Source

__all__ = [
    "EMPTY_CHECK_S",
    "MAX_CHUNKS_PER_TURN",
    "Outcome",
    "hand_over",
    "next_chunk",
]

EMPTY_CHECK_S: Final = 0.005
"""How often to look whether the buffer is empty, while a long line waits for that."""

MAX_CHUNKS_PER_TURN: Final = 16
"""A writer gives the reactor its turn after this many writes, however fast the reader is."""


class Outcome(enum.Enum):
    """Why `hand_over` has ended."""

    DONE = enum.auto()
    """Nothing is queued."""
    FULL = enum.auto()
    """The rest goes when there is room."""
    TURN = enum.auto()
    """The reactor gets its turn, however fast the reader is."""
    LONG = enum.auto()
    """A line waits until nothing is unread: look again after `EMPTY_CHECK_S`."""


def next_chunk(source: Source, buffer: Buffer, *, may_be_empty: bool = True) -> bytes | None:
    """Return what may be written now: whole lines that are taken as a whole.

    Args:
        source: where the lines come from.
        buffer: where they go.
        may_be_empty: whether it is worth to ask that; not just after something was written.

    Returns:
        None if a line has to wait until nothing is unread; no bytes if none are queued.
    """
    if source.in_line:
        return source.peek(1)
    limit = buffer.atomic_bytes
    if source.queued_bytes <= limit:  # the usual case costs no question
        return source.peek(limit)
    empty = may_be_empty and not buffer.unread()
    if empty:
        limit = min(CHUNK_BYTES, max(limit, buffer.capacity()))
    chunk = source.peek(limit)
    return chunk if empty or len(chunk) <= limit else None


def hand_over(source: Source, buffer: Buffer) -> Outcome:
    """Write until nothing is queued or the buffer takes no more.

    Raises:
        OSError: the reader is gone.
    """
    for writes in range(MAX_CHUNKS_PER_TURN):
        if not source.queued_bytes:
            return Outcome.DONE
        if not buffer.ready():
            return Outcome.FULL
        chunk = next_chunk(source, buffer, may_be_empty=not writes)
        if not chunk:
            return Outcome.LONG if chunk is None else Outcome.DONE
        try:
            sent = buffer.send(chunk)
        except BlockingIOError:
            return Outcome.FULL
        source.advance(sent)
        if sent < len(chunk):
            return Outcome.FULL
    return Outcome.TURN if source.queued_bytes else Outcome.DONE
