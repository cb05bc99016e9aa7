"""Fakes for the output: a reactor, a writer, a source."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import Clock
from zope.interface import implementer

from metrics_agent.batch import Batch
from metrics_agent.output.queue import BatchQueue


@implementer(IReactorFDSet)
class FakeReactor(Clock):
    """A clock with descriptor sets; the test decides when something is ready."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[object] = []
        self.writers: list[object] = []

    def addReader(self, reader: object) -> None:
        if reader not in self.readers:
            self.readers.append(reader)

    def addWriter(self, writer: object) -> None:
        if writer not in self.writers:
            self.writers.append(writer)

    def removeReader(self, reader: object) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def removeWriter(self, writer: object) -> None:
        if writer in self.writers:
            self.writers.remove(writer)

    def removeAll(self) -> list[object]:
        everything = [*self.readers, *self.writers]
        self.readers, self.writers = [], []
        return everything

    def getReaders(self) -> list[object]:
        return self.readers

    def getWriters(self) -> list[object]:
        return self.writers

    def callFromThread(self, call: Callable[..., object], *args: object) -> None:
        self.callLater(0, call, *args)

    def turn(self) -> None:
        """Run what is due now."""
        self.advance(0)


class FakeWriter:
    """A writer with a buffer of a given size; the reader is the test."""

    def __init__(self, source, room: int = 64 * 1024) -> None:
        self.source = source
        self.room = room
        self.written = b""
        self.read = 0
        self.writes = 0
        self.asked = 0
        self.closed = False
        self.can_tell = True

    def wake(self) -> None:
        while self.room and (chunk := self.source.peek(self.room)[: self.room]):
            self.room -= len(chunk)
            self.written += chunk
            self.writes += 1
            self.source.advance(len(chunk))

    def untaken(self) -> int | None:
        self.asked += 1
        return len(self.written) - self.read if self.can_tell else None

    def reader_takes(self, count: int | None = None) -> None:
        count = len(self.written) - self.read if count is None else count
        self.read += count
        self.room += count

    def close(self) -> None:
        self.closed = True


class FakeSource:
    """What a writer pulls from: a real queue, and a record of what the writer said."""

    def __init__(self, *lines: bytes) -> None:
        self.queue = BatchQueue(16 * 1024 * 1024)
        self.said: list[str] = []
        for line in lines:
            self.add(line)

    def add(self, line: bytes) -> None:
        self.queue.push(Batch(line, 1))

    @property
    def queued_bytes(self) -> int:
        return self.queue.queued_bytes

    @property
    def in_line(self) -> bool:
        return self.queue.in_line

    def peek(self, limit: int) -> bytes:
        return self.queue.peek(limit)

    def advance(self, count: int) -> None:
        self.queue.advance(count)

    def rewind(self, untaken: int | None = None) -> None:
        self.said.append("rewind")
        if untaken is not None:
            self.queue.take(untaken)
        self.queue.rewind()

    def trouble(self, reason: str) -> None:
        self.said.append(f"trouble: {reason}")

    def recovered(self) -> None:
        self.said.append("recovered")

    def lost(self, reason: str) -> None:
        self.said.append(f"lost: {reason}")
