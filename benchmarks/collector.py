"""The reader at the other end of the pipe: counts, finds what is missing, measures latency.

Reading must cost next to nothing, since it shares the machine with what is measured. So what comes
is only counted and put away, each piece with the time at which it was read, and looked at
afterwards.
"""

from __future__ import annotations

import mmap
import os
import select
import struct
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Final, final

from attrs import define, field

from benchmarks import fleet
from benchmarks.child import Child

__all__ = [
    "Collector",
    "Count",
    "Piece",
    "Tally",
    "count_lines",
    "count_marks",
    "count_reports",
    "tally",
]

_READ_BYTES: Final = 1 << 20
_MARKS: Final = tuple({kind.mark for kind in fleet.KINDS})
_STAMPS: Final = (b"energy_today=", b"eco2=")
_DEVICE: Final = b"device=bench_"
REPORT: Final = b"received="
"""How the clients that only parse tell how many messages they have: ``received=500`` a line."""

Piece = tuple[int, bytes]
"""When it was read (monotonic clock, ns), and whole lines."""

Count = Callable[[bytes, int], int]
"""Whole lines and the messages counted before, to the messages counted now."""


def count_marks(data: bytes, before: int) -> int:
    """Count messages in line protocol: each has one line with a sequence number."""
    return before + sum(data.count(mark) for mark in _MARKS)


def count_lines(data: bytes, before: int) -> int:
    """Count messages of a program that writes one line for each."""
    return before + data.count(_DEVICE)


def count_reports(data: bytes, before: int) -> int:
    """Take the last number that a client has reported."""
    position = data.rfind(REPORT)
    return before if position < 0 else int(data[position + len(REPORT) :].split(None, 1)[0])


@final
class Collector:
    """Reads the outputs of some children; a context manager for its progress file.

    Args:
        children: whose stdout to read.
        count: how messages are counted.
        keep: put the pieces away for `tally`.

    Attributes:
        pieces: what was read, by child.
        arrived: messages so far, by child.
        last_ns: when the last message came.
    """

    def __init__(
        self, children: Sequence[Child], count: Count = count_marks, *, keep: bool = True
    ) -> None:
        self._count = count
        self._keep = keep
        self._by_descriptor: dict[int, int] = {}
        self._tails: list[bytes] = []
        self._poll = select.epoll()
        self.pieces: list[list[Piece]] = []
        self.arrived: list[int] = []
        self.last_ns = 0
        self._offset = 0
        self._file = tempfile.NamedTemporaryFile(prefix="bench-progress-")  # noqa: SIM115 - closed
        self._file.write(bytes(8))
        self._file.flush()
        self._map = mmap.mmap(self._file.fileno(), 8)
        for child in children:
            self.add(child)

    def __enter__(self) -> Collector:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._poll.close()
        self._map.close()
        self._file.close()

    @property
    def progress_path(self) -> str:
        """A file with the 64-bit count of messages since `begin`, for the load generator."""
        return self._file.name

    @property
    def total(self) -> int:
        """Messages since `begin`."""
        return sum(self.arrived) - self._offset

    def add(self, child: Child) -> None:
        """Read a further child."""
        os.set_blocking(child.stdout, False)
        self._poll.register(child.stdout, select.EPOLLIN)
        self._by_descriptor[child.stdout] = len(self.pieces)
        self._tails.append(b"")
        self.pieces.append([])
        self.arrived.append(0)

    def begin(self) -> None:
        """Forget what was read: from here on it counts."""
        self._offset = sum(self.arrived)
        for pieces in self.pieces:
            pieces.clear()
        self._tell()

    def read(self, timeout_s: float) -> int:
        """Read what is there, or wait for it; return the bytes that came."""
        size = 0
        for descriptor, _events in self._poll.poll(timeout_s):
            size += self._read_one(descriptor, self._by_descriptor[descriptor])
        if size:
            self._tell()
        return size

    def until(self, expected: int, *, idle_s: float, limit_s: float) -> bool:
        """Read until so many messages are there since `begin`.

        Args:
            expected: how many.
            idle_s: give up when nothing has come for this time,
            limit_s: and after this time anyway.

        Returns:
            Whether they are there.
        """
        now_s = time.monotonic()
        end_s, quiet_s = now_s + limit_s, now_s + idle_s
        while self.total < expected:
            got = self.read(0.05)
            now_s = time.monotonic()
            if got:
                quiet_s = now_s + idle_s
            if now_s > min(end_s, quiet_s):
                return False
        return True

    def drain(self, quiet_s: float) -> None:
        """Read until nothing has come for this time: stragglers must not count in what follows."""
        while self.read(quiet_s):
            pass

    def _read_one(self, descriptor: int, index: int) -> int:
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return 0
        now_ns = time.monotonic_ns()
        if not data:
            self._poll.unregister(descriptor)
            return 0
        data = self._tails[index] + data
        end = data.rfind(b"\n") + 1
        self._tails[index] = data[end:]
        lines = data[:end]
        before = self.arrived[index]
        self.arrived[index] = self._count(lines, before)
        if self.arrived[index] != before:
            self.last_ns = now_ns
        if self._keep:
            self.pieces[index].append((now_ns, lines))
        return len(data)

    def _tell(self) -> None:
        struct.pack_into("=q", self._map, 0, self.total)


@define
class Tally:
    """What arrived of a load, looked at message by message.

    Attributes:
        distinct: messages that arrived, each counted once.
        duplicates: messages that arrived again.
        misplaced: messages that came after a later one of the same device.
        foreign: messages that do not belong to the load.
        lines: all lines.
        latencies_us: of each message, in order of arrival, where stamps are there.
    """

    distinct: int = 0
    duplicates: int = 0
    misplaced: int = 0
    foreign: int = 0
    lines: int = 0
    latencies_us: list[float] = field(factory=list)


def tally(
    pieces: Iterable[Piece],
    *,
    devices: int,
    rounds: int,
    first_round: int = 0,
    origin_us: int = 0,
) -> Tally:
    """Look at every line of a load.

    Args:
        pieces: what was read; of several subjects that share a load one after the other.
        devices: of the load.
        rounds: of the load.
        first_round: of the load.
        origin_us: of the load.
    """
    found = Tally()
    seen = bytearray(devices * rounds)
    last = [-1] * devices
    for read_ns, data in pieces:
        for line in data.splitlines():
            found.lines += 1
            sequence = _number(line, _MARKS)
            if sequence is None:
                continue
            device = _device(line)
            number = int(sequence) - fleet.FIRST_SEQUENCE - first_round
            if device is None or not (0 <= device < devices and 0 <= number < rounds):
                found.foreign += 1
                continue
            place = device * rounds + number
            if seen[place]:
                found.duplicates += 1
                continue
            seen[place] = 1
            found.distinct += 1
            if number < last[device]:
                found.misplaced += 1
            last[device] = max(last[device], number)
            stamp = _number(line, _STAMPS)
            if stamp is not None:
                sent_us = stamp - fleet.FIRST_STAMP + origin_us
                found.latencies_us.append(read_ns / 1000 - sent_us)
    return found


def _device(line: bytes) -> int | None:
    start = line.find(_DEVICE) + len(_DEVICE)
    digits = line[start : start + 5]
    return int(digits) if start >= len(_DEVICE) and digits.isdigit() else None


def _number(line: bytes, names: Iterable[bytes]) -> float | None:
    for name in names:
        start = line.find(name)
        if start >= 0:
            end = start + len(name)
            stop = end
            while stop < len(line) and line[stop] in b"0123456789.e+-":
                stop += 1
            return float(line[end:stop])
    return None
