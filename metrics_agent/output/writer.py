"""The seam between the sink and what writes: a writer pulls from its source when it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

__all__ = ["MakeWriter", "Source", "Writer"]


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


MakeWriter = Callable[[Source], Writer]
