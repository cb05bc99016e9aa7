"""The seam between the sink and what writes: a writer pulls from its source when it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

__all__ = ["BatchSource", "MakeWriter", "Source", "Writer"]


class Source(Protocol):
    """What a writer sees of the sink. All of it is called in the reactor's thread."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait to be written; `peek` may hold them back."""
        ...

    @property
    def in_line(self) -> bool:
        """Whether the writer has accepted a part of a line, of which the rest comes next."""
        ...

    def peek(self, limit: int) -> bytes:
        """Return the next whole lines, at most so many bytes but one line at least.

        Empty when nothing is queued. How many may be written at once is what
        `whole_lines.next_chunk` knows.
        """
        ...

    def advance(self, count: int) -> None:
        """Say that the first `count` bytes were accepted; the writer is responsible for them."""
        ...

    def rewind(self, untaken: int | None = None) -> None:
        """Say that what was accepted and not taken is to be written again, from a line's start.

        Args:
            untaken: how many of the last accepted bytes were not taken; None where the writer
                does not know any more: then all that was not seen to be taken.
        """
        ...

    def trouble(self, reason: str) -> None:
        """Say that writing fails and is tried again; may be repeated."""
        ...

    def recovered(self) -> None:
        """Say that writing works (again); costs nothing when there was no trouble."""
        ...

    def lost(self, reason: str) -> None:
        """Say that the reader is gone for good; the writer does nothing more."""
        ...


class BatchSource(Source, Protocol):
    """The same for a writer that takes whole batches, lets them wait, and knows their fate."""

    @property
    def urgent(self) -> bool:
        """Whether what waits is to leave now, for writers that let lines wait for others."""
        ...

    @property
    def draining(self) -> bool:
        """Whether the process is about to end: what waits for a better time is tried now."""
        ...

    def peek_batches(self, limit: int) -> bytes:
        """Return the next whole batches, at most so many bytes but one batch at least.

        Nothing may be partly passed on. A writer that uses this reports by `taken`.
        """
        ...

    def trouble(self, reason: str, kind: str = "") -> None:
        """Say that writing fails and is tried again; may be repeated.

        Args:
            reason: a clause.
            kind: the same for the same trouble, where the reason may differ.
        """
        ...

    def taken(self) -> None:
        """Say that the reader has taken more, so that `Writer.untaken` is less now."""
        ...

    def rejected(self, count: int, reason: str, example: bytes) -> None:
        """Say that the reader will never take some lines of what was accepted.

        Args:
            count: how many.
            reason: what it says about one of them.
            example: one of them, empty where the writer does not know which they are.
        """
        ...


class Writer(Protocol):
    """Brings the bytes of a source to their reader, never blocking the reactor."""

    def wake(self) -> None:
        """Write what the source has, now if possible; called once a turn of the reactor."""
        ...

    def untaken(self) -> int | None:
        """Return how many accepted bytes the reader has not taken; None: not known just now.

        May be more than the truth, never less. 0 where the kind of output has no answer: there
        written counts as taken.
        """
        ...

    def close(self) -> Deferred[None] | None:
        """Stop writing and close; harmless when called again."""
        ...


MakeWriter = Callable[[BatchSource], Writer]
