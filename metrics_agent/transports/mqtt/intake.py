"""From PUBLISH packets to batches of lines: the hot path.

All messages of one read share one batch and one time of receipt, which grows by a nanosecond a
message so that no two messages of a connection overwrite each other in the database.

Where a topic belongs to several filters, a broker may send a copy for each, one after the other, as
mosquitto does with MQTT 5. So as many equal messages that follow one at once count as its copies.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from metrics_agent.batch import Batch, Settle
from metrics_agent.interfaces import Message
from metrics_agent.transports.mqtt.acknowledge import AckWindow
from metrics_agent.transports.mqtt.packet_types import PUBLISH
from metrics_agent.transports.mqtt.packets import decode_publish
from metrics_agent.transports.mqtt.topics import SubscriptionTable

__all__ = ["Intake"]

SECOND_NS = 1_000_000_000
_TOPIC_AT = 2
"""A topic starts here, after its length."""
_new = tuple.__new__


class Intake:
    """Takes the messages of a connection, over all its lives.

    Args:
        table: who wants which topic.
        write: takes a batch of lines.
        now_ns: the wall clock.
        count: called with a reason and a number for what was dropped.
        log: for a fault in this class or in a delivery that broke its promise not to raise.
        max_payload_bytes: a longer payload is dropped.
        is_kept: the broker keeps what is not acknowledged for the next process.

    Attributes:
        acknowledges: the last read brought messages whose acknowledgement the broker waits for.
    """

    def __init__(
        self,
        table: SubscriptionTable,
        write: Callable[[Batch], None],
        now_ns: Callable[[], int],
        count: Callable[[str, int], None],
        log: Logger,
        max_payload_bytes: int,
        *,
        is_kept: bool = True,
    ) -> None:
        self._table = table
        self._write = write
        self._now_ns = now_ns
        self._count = count
        self._log = log
        self._max_payload_bytes = max_payload_bytes
        self._is_kept = is_kept
        self._kept = 0
        self._time_ns = 0
        self._lines: list[bytes] = []
        self._packet_ids: list[int] = []
        self._original = (b"", b"")
        self._original_ns = 0
        self._copies = 0
        self._copy_number = 0
        self._number = 0
        self.acknowledges = False

    def begin(self) -> None:
        """Start with the messages of one read."""
        now_ns = self._now_ns()
        # The clock may have been set back: by more than bursts account for, so follow it.
        if now_ns > self._time_ns or self._time_ns - now_ns > SECOND_NS:
            self._time_ns = now_ns
        self._lines = []
        self._packet_ids = []
        self._kept = 0

    def take(self, first: int, body: bytes, *, v5: bool) -> None:
        """Take one PUBLISH at QoS 0 or 1.

        Args:
            first: the first byte of the packet.
            body: what follows the packet's length.
            v5: the packet is of MQTT 5.

        Raises:
            ProtocolError: the packet is malformed.
        """
        # Nearly all are at QoS 0, not retained and without properties: these take a short way.
        # decode_publish gives the same result, and handles truncated packets.
        if first == PUBLISH and len(body) > _TOPIC_AT:
            topic_end = (body[0] << 8) + body[1] + _TOPIC_AT
            if _TOPIC_AT < topic_end <= len(body) - v5 and not (v5 and body[topic_end]):
                self.deliver(body[2:topic_end], body[topic_end + v5 :], 0, retain=False)
                return
        publish = decode_publish(first, body, v5)
        before = len(self._lines)
        if publish.qos:
            self._packet_ids.append(publish.packet_id)
        self.deliver(publish.topic, publish.payload, publish.qos, retain=publish.retain)
        if publish.qos:
            self._kept += len(self._lines) - before

    def deliver(self, topic: bytes, payload: bytes, qos: int, *, retain: bool) -> None:
        """Hand one message to everyone who wants it; contained, a fault drops this message."""
        self._number += 1
        if len(payload) > self._max_payload_bytes:
            self._drop_oversized()
            return
        # A retained message comes once for each subscription, and of each device.
        match = self._table.match_once if retain else self._table.match
        text, receivers, copies = match(topic)
        if text is None:
            self._count("undecodable", 1)
            return
        if not receivers:
            self._count("unrouted", 1)
            return
        if copies and not retain and self._is_copy(topic, payload, copies):
            self._count("copy", 1)
            return
        self._time_ns += 1
        # A named tuple's own constructor is a Python function: half of what making one costs.
        message = _new(Message, (text, payload, qos, retain, self._time_ns))
        for deliver in receivers:
            try:
                deliver(message, self._lines)
            except Exception:  # noqa: PERF203 - one receiver must not take the next one's message
                self._count("undecodable", 1)
                self._log.failure("while delivering a message of topic {topic!r}", topic=text)

    def skip(self, packet_id: int | None) -> None:
        """Note a message that was too large to be read at all.

        Args:
            packet_id: to acknowledge it by, None at QoS 0.
        """
        self._number += 1
        if packet_id is not None:
            self._packet_ids.append(packet_id)
        self._drop_oversized()

    def end(self, acknowledgements: AckWindow) -> None:
        """Hand on the lines of this read in one batch."""
        lines, packet_ids = self._lines, self._packet_ids
        self._lines, self._packet_ids = [], []
        self.acknowledges = bool(packet_ids)
        if not lines:
            if packet_ids:
                acknowledgements.release(packet_ids)
            return
        settle: Settle | None = acknowledgements.hold(packet_ids) if packet_ids else None
        urgent = settle is not None and acknowledgements.pressing
        kept = self._kept if self._is_kept else 0
        self._write(Batch(b"".join(lines), len(lines), settle, kept=kept, urgent=urgent))

    def _is_copy(self, topic: bytes, payload: bytes, copies: int) -> bool:
        """Say whether a message is another copy of the one before."""
        number = self._number
        if (
            self._copies
            and number == self._copy_number
            and self._time_ns - self._original_ns < SECOND_NS
            and (topic, payload) == self._original
        ):
            self._copies -= 1
        else:
            self._original, self._original_ns = (topic, payload), self._time_ns
            self._copies = copies
        self._copy_number = number + 1
        return self._copies < copies

    def _drop_oversized(self) -> None:
        self._count("oversized", 1)
