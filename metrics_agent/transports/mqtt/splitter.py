"""A stream of bytes to whole MQTT packets, without any I/O.

Theory of operation. A chunk from the network usually holds many small packets and at its end a
piece of one. `PacketSplitter.feed` walks over the chunk once and copies each body once; only the
piece at the end is kept. While a packet is incomplete its bytes are collected in one buffer and
not looked at again before the packet is whole, so that a large packet in small chunks costs time
in proportion to its size.

A packet larger than the limit is never buffered: its length is announced in its first bytes, so
the rest is counted down and forgotten. Of a PUBLISH the topic and the packet id are read in
passing, since an unwanted message at QoS 1 must be acknowledged all the same: a broker
stops delivering when its window of unacknowledged messages is full. What was discarded is in
the list in its place among the packets, because acknowledgements go out in order of arrival.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from attrs import frozen

from metrics_agent.errors import ProtocolError
from metrics_agent.transports.mqtt.packet_types import PUBLISH, TYPE_MASK

__all__ = ["Frame", "MalformedLength", "PacketSplitter", "Skipped"]

Frame: TypeAlias = tuple[int, bytes]
"""First byte of the fixed header (type and flags), and all that follows the length."""

_LENGTH_BYTES: Final = 4


@frozen
class Skipped:
    """A packet that was larger than the limit and is gone.

    Attributes:
        packet_id: of a PUBLISH at QoS 1 or 2, for its acknowledgement; otherwise None.
    """

    packet_id: int | None


class MalformedLength(ProtocolError):  # noqa: N818 - names what is wrong
    """A length of more than four bytes: nothing after it can be read.

    Attributes:
        before: the packets in the same chunk before it, which are good.
    """

    def __init__(self, before: list[Frame | Skipped]) -> None:
        self.before = before
        super().__init__("malformed_length", "a packet's length takes more than 4 bytes")


class PacketSplitter:
    """Cuts what a broker sends into packets; one for each connection, thrown away with it.

    Args:
        max_packet_bytes: the largest packet to be handed out, counted with its fixed header.
    """

    __slots__ = ("_discard", "_limit", "_needed", "_pending")

    def __init__(self, max_packet_bytes: int) -> None:
        self._limit = max_packet_bytes
        self._pending = bytearray()
        self._needed = 0
        self._discard: _Discard | None = None

    @property
    def buffered(self) -> int:
        """The bytes held of a packet that is not complete."""
        held = len(self._pending)
        return held if self._discard is None else held + len(self._discard.head)

    def feed(self, data: bytes) -> list[Frame | Skipped]:
        """Take the next bytes and return the packets that they complete, in order.

        Args:
            data: what was received; its size does not matter.

        Returns:
            Frames, which are plain tuples, and `Skipped` in the place of each packet over the
            limit once all its bytes have passed.

        Raises:
            MalformedLength: the stream cannot be read any further; it carries the packets
                before. Close the connection, this splitter is of no use any more.
        """
        frames: list[Frame | Skipped] = []
        if self._discard is not None:
            skipped, data = self._discard.feed(data)
            if skipped is None:
                return frames
            self._discard = None
            frames.append(skipped)
        elif self._pending:
            self._pending += data
            if len(self._pending) < self._needed:
                return frames
            data = bytes(self._pending)
            self._pending.clear()
        self._split(data, frames)
        return frames

    def _split(self, data: bytes, frames: list[Frame | Skipped]) -> None:
        append = frames.append
        limit = self._limit
        size = len(data)
        position = 0
        while size - position >= 2:  # noqa: PLR2004 - the smallest packet
            length = data[position + 1]
            start = position + 2
            if length > 0x7F:  # noqa: PLR2004 - more bytes of length follow
                if start < size and data[start] <= 0x7F:  # noqa: PLR2004 - nearly all end here
                    length += (data[start] << 7) - 0x80
                    start += 1
                else:
                    length, start = _long_length(data, position + 1, frames)
                    if not start:
                        break
            end = start + length
            if end - position > limit:
                self._discard = _Discard(data[position], length)
                skipped, data = self._discard.feed(data[start:])
                if skipped is None:
                    return
                self._discard = None
                append(skipped)
                position, size = 0, len(data)
                continue
            if end > size:
                self._keep(data[position:], end - position)
                return
            append((data[position], data[start:end]))
            position = end
        if position < size:
            self._keep(data[position:], size - position + 1)

    def _keep(self, tail: bytes, needed: int) -> None:
        """Hold the beginning of a packet until there are so many bytes of it."""
        self._pending += tail
        self._needed = needed


def _long_length(data: bytes, position: int, frames: list[Frame | Skipped]) -> tuple[int, int]:
    """Read a length of three or four bytes.

    Returns:
        The length and where the body starts; (0, 0) if there are bytes missing.
    """
    length = 0
    digits = data[position : position + _LENGTH_BYTES]
    for index, digit in enumerate(digits):
        length |= (digit & 0x7F) << (7 * index)
        if digit <= 0x7F:  # noqa: PLR2004 - the last one
            return length, position + index + 1
    if len(digits) == _LENGTH_BYTES:
        raise MalformedLength(frames)
    return 0, 0


class _Discard:
    """A packet on its way to nowhere: counts down, and keeps the head of a PUBLISH."""

    __slots__ = ("_first_byte", "_remaining", "_wanted", "head")

    def __init__(self, first: int, length: int) -> None:
        self._first_byte = first
        self._remaining = length
        self._wanted = 2 if first & TYPE_MASK == PUBLISH else 0
        self.head = bytearray()

    def feed(self, data: bytes) -> tuple[Skipped | None, bytes]:
        """Take bytes; return what was skipped once it has passed, and the bytes after it."""
        taken = data[: self._remaining]
        self._remaining -= len(taken)
        if len(self.head) < self._wanted:
            self._keep_head(taken)
        if self._remaining:
            return None, b""
        return self._skipped(), data[len(taken) :]

    def _keep_head(self, taken: bytes) -> None:
        head = self.head
        missing = 2 - len(head)
        if missing > 0:
            head += taken[:missing]
            if len(head) < 2:  # noqa: PLR2004 - the topic's length
                return
            taken = taken[missing:]
            self._wanted = 2 + int.from_bytes(head, "big") + 2
        head += taken[: self._wanted - len(head)]

    def _skipped(self) -> Skipped:
        at_least_once = (self._first_byte >> 1 & 3) in {1, 2}
        if self._wanted and at_least_once and len(self.head) == self._wanted:
            return Skipped(int.from_bytes(self.head[-2:], "big"))
        return Skipped(None)
