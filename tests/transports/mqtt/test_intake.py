"""The short way of an Intake, held against the decoder that it leaves out."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.batch import Batch
from metrics_agent.errors import ProtocolError
from metrics_agent.interfaces import Message
from metrics_agent.transports.mqtt.acknowledge import AckWindow
from metrics_agent.transports.mqtt.intake import Intake
from metrics_agent.transports.mqtt.packets import decode_publish
from metrics_agent.transports.mqtt.topics import SubscriptionTable

MALFORMED = "malformed"


def taken(first: int, body: bytes, *, v5: bool) -> object:
    """Return topic, payload, QoS and retain as a receiver gets them; or that it is refused."""
    table = SubscriptionTable()
    messages: list[Message] = []
    table.add("#", 1, lambda message, _lines: messages.append(message))
    intake = Intake(table, lambda _batch: None, int, lambda _why, _n: None, Logger(), 1 << 20)
    intake.begin()
    try:
        intake.take(first, body, v5=v5)
    except ProtocolError:
        return MALFORMED
    if not messages:
        return None
    (message,) = messages
    return (message.topic, message.payload, message.qos, message.retain)


def decoded(first: int, body: bytes, *, v5: bool) -> object:
    """Return the same by the decoder."""
    try:
        publish = decode_publish(first, body, v5)
    except ProtocolError:
        return MALFORMED
    try:
        text = publish.topic.decode()
    except UnicodeDecodeError:
        return None
    if text[0] == "$" or any(bad in text for bad in "\0+#"):
        return None
    return (text, publish.payload, publish.qos, publish.retain)


bodies = st.builds(
    lambda length, rest: length.to_bytes(2, "big") + rest, st.integers(0, 8), st.binary(max_size=12)
)


class UrgencyTests(SynchronousTestCase):
    """What the output learns of a broker that waits."""

    def test_urgent_when_half_the_window_waits(self) -> None:
        """A batch says that its sender waits; one at QoS 0 never does."""
        table = SubscriptionTable()
        batches: list[Batch] = []
        table.add("#", 1, lambda message, lines: lines.append(message.payload))
        intake = Intake(table, batches.append, int, lambda _why, _n: None, Logger(), 99)
        acknowledgements = AckWindow(lambda _data: None, window=4)
        for packet_id in (1, 2, 3, 0):
            intake.begin()
            first = 0x32 if packet_id else 0x30
            number = packet_id.to_bytes(2, "big") if packet_id else b""
            intake.take(first, b"\x00\x01a" + number + b"x", v5=False)
            intake.end(acknowledgements)
        self.assertEqual([batch.urgent for batch in batches], [False, True, True, False])

    def test_kept(self) -> None:
        """How many lines of a read come again, if they are not settled: those of QoS 1."""
        for is_kept, expected in ((True, 2), (False, 0)):
            table = SubscriptionTable()
            batches: list[Batch] = []
            table.add("#", 1, lambda message, lines: lines.append(message.payload))
            log = Logger()
            intake = Intake(
                table, batches.append, int, lambda _why, _n: None, log, 99, is_kept=is_kept
            )
            acknowledgements = AckWindow(lambda _data: None, lambda _call: None)
            intake.begin()
            intake.take(0x32, b"\x00\x01a\x00\x01x", v5=False)
            intake.take(0x30, b"\x00\x01ax", v5=False)
            intake.take(0x32, b"\x00\x01a\x00\x02x", v5=False)
            intake.end(acknowledgements)
            intake.begin()
            intake.take(0x30, b"\x00\x01ax", v5=False)
            intake.end(acknowledgements)
            self.assertEqual(
                [(batch.count, batch.kept) for batch in batches], [(3, expected), (1, 0)]
            )


class CopyTests(SynchronousTestCase):
    """A broker sends a message once for each filter that its topic belongs to."""

    def setUp(self) -> None:
        self.now_ns = 10**18
        self.table = SubscriptionTable()
        self.messages: list[bytes] = []
        self.counted: list[tuple[str, int]] = []
        for topic_filter in ("a/+", "+/b", "a/b", "c/#"):
            self.table.add(topic_filter, 1, self.deliver)
        self.intake = Intake(
            self.table,
            lambda _batch: None,
            lambda: self.now_ns,
            lambda *what: self.counted.append(what),
            Logger(),
            99,
        )

    def deliver(self, message: Message, _lines: list[bytes]) -> None:
        self.messages.append(message.payload)

    def read(
        self, *messages: tuple[bytes, bytes], after_ns: int = 1000, retain: bool = False
    ) -> str:
        """Read messages; return the payloads that were handed on since the last time."""
        self.now_ns += after_ns
        self.intake.begin()
        for topic, payload in messages:
            self.intake.deliver(topic, payload, 0, retain=retain)
        handed_on, self.messages = self.messages, []
        return b"".join(handed_on).decode()

    def test_copies(self) -> None:
        """As many as there are filters are one message, also over two reads."""
        one, two = (b"a/b", b"1"), (b"a/b", b"2")
        self.assertEqual(self.read(one, one), "1")
        self.assertEqual(self.read(one, two, two, two), "2")
        self.assertEqual(self.read(one, one, one, one), "11")

    def test_copies_are_counted(self) -> None:
        """None is left out in silence: it may have been a message that a device repeated."""
        one = (b"a/b", b"1")
        self.read(one, one, one, one)
        self.assertEqual(self.counted, [("copy", 1)] * 2)

    def test_equal_messages(self) -> None:
        """A message that a device repeats comes again: after another, after a second, retained."""
        one, two, elsewhere, alone = (b"a/b", b"1"), (b"a/b", b"2"), (b"a/x", b"3"), (b"c/d", b"4")
        self.assertEqual(self.read(one, two, one), "121")
        self.assertEqual(self.read(one, elsewhere, one), "31")
        self.assertEqual(self.read(one, after_ns=2 * 10**9), "1")
        self.assertEqual(self.read(alone, alone), "44")
        self.assertEqual(self.read(one, one, retain=True), "11")


class TakeTests(SynchronousTestCase):
    """One PUBLISH."""

    @settings(max_examples=500)
    @given(st.just(0x30) | st.integers(0x30, 0x35), bodies | st.binary(max_size=4), st.booleans())
    @example(0x30, b"\0\1t", False)
    @example(0x30, b"\0\1t", True)
    @example(0x30, b"\0\1t\0", True)
    @example(0x30, b"\0\1t\0payload", True)
    @example(0x30, b"\0\1t\2\1\1payload", True)
    @example(0x30, b"\0\0payload", False)
    @example(0x30, b"\0\5t", False)
    @example(0x30, b"", False)
    def test_the_short_way_gives_what_the_decoder_gives(
        self, first: int, body: bytes, v5: bool
    ) -> None:
        self.assertEqual(taken(first, body, v5=v5), decoded(first, body, v5=v5))
