"""The stream is cut into whole packets; oversized ones pass without being kept."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.errors import ProtocolError
from metrics_agent.transports.mqtt.packets import encode_fixed_header, whole
from metrics_agent.transports.mqtt.splitter import Frame, PacketSplitter, Skipped

LIMIT = 1 << 20
bounded = settings(max_examples=200, derandomize=True)

frames = st.tuples(
    st.integers(0, 255),
    st.binary(max_size=10) | st.sampled_from([127, 128, 16_383, 16_384, 40_000]).map(bytes),
)


def publish(topic: bytes, payload: bytes, packet_id: int | None) -> Frame:
    """Make a PUBLISH: at QoS 1 with a packet id, at QoS 0 without."""
    body = len(topic).to_bytes(2, "big") + topic
    if packet_id is None:
        return 0x30, body + payload
    return 0x32, body + packet_id.to_bytes(2, "big") + payload


def fed(splitter: PacketSplitter, stream: bytes, sizes: list[int]) -> list[Frame | Skipped]:
    """Feed a stream in pieces of the given sizes, over and over, and gather what comes out."""
    seen: list[Frame | Skipped] = []
    position = turn = 0
    while position < len(stream):
        size = sizes[turn % len(sizes)]
        seen += splitter.feed(stream[position : position + size])
        position += size
        turn += 1
    return seen


class SplitTests(SynchronousTestCase):
    """Packets below the limit."""

    @bounded
    @given(st.lists(frames, max_size=6), st.lists(st.integers(1, 70_000), min_size=1))
    def test_pieces(self, packets: list[Frame], sizes: list[int]) -> None:
        """However a stream is cut, the same packets come out, and nothing stays behind."""
        splitter = PacketSplitter(LIMIT)
        stream = b"".join(map(whole, packets))
        self.assertEqual(fed(splitter, stream, sizes), packets)
        self.assertEqual(splitter.buffered, 0)

    def test_bytewise(self) -> None:
        """Fed byte by byte, a packet comes out with its last byte and not before."""
        for length in (0, 1, 127, 128, 300, 16_384):
            splitter = PacketSplitter(LIMIT)
            stream = whole((0x30, b"x" * length))
            self.assertEqual(fed(splitter, stream[:-1], [1]), [])
            self.assertEqual(splitter.buffered, len(stream) - 1)
            self.assertEqual(splitter.feed(stream[-1:]), [(0x30, b"x" * length)])

    def test_longest_length(self) -> None:
        """A length of four bytes is read, also when it could have been written shorter."""
        self.assertEqual(PacketSplitter(LIMIT).feed(b"\xd0\x80\x80\x80\x00"), [(0xD0, b"")])

    def test_no_bytes(self) -> None:
        """Feeding nothing gives nothing, at the start and within a packet."""
        splitter = PacketSplitter(LIMIT)
        self.assertEqual(splitter.feed(b""), [])
        self.assertEqual(splitter.feed(b"\x30"), [])
        self.assertEqual(splitter.feed(b""), [])
        self.assertEqual(splitter.feed(b"\x01x"), [(0x30, b"x")])

    def test_body_is_bytes(self) -> None:
        """A body is bytes whether it came in one piece or two."""
        splitter = PacketSplitter(LIMIT)
        seen = [*splitter.feed(b"\x30\x01a\x30\x02"), *splitter.feed(b"bc")]
        self.assertEqual([type(frame[1]) for frame in seen], [bytes, bytes])

    def test_large_packet_in_small_pieces(self) -> None:
        """The pieces of a large packet are gathered in one buffer, not copied at each piece."""
        splitter = PacketSplitter(1 << 22)
        splitter.feed(encode_fixed_header(0x30, 1 << 21))
        gathered = splitter._pending
        for _ in range((1 << 21) // 1024 - 1):
            splitter.feed(bytes(1024))
        self.assertIs(splitter._pending, gathered)
        self.assertEqual(splitter.feed(bytes(1024)), [(0x30, bytes(1 << 21))])


class MalformedTests(SynchronousTestCase):
    """A length that cannot be read."""

    def test_five_bytes(self) -> None:
        """A length of five bytes is refused as soon as its fourth byte says so."""
        for sizes in ([100], [1], [3]):
            with self.subTest(sizes=sizes):
                splitter = PacketSplitter(LIMIT)
                error = self.assertRaises(
                    ProtocolError, fed, splitter, b"\x30\xff\xff\xff\xff", sizes
                )
                self.assertEqual(error.reason, "malformed_length")

    def test_packets_before_are_kept(self) -> None:
        """The packets before the bad length are good and travel with the error."""
        splitter = PacketSplitter(8)
        stream = b"\x30\x01a" + whole(publish(b"t", b"x" * 20, 7)) + b"\x30\xff\xff\xff\xff\x01"
        error = self.assertRaises(ProtocolError, splitter.feed, stream)
        self.assertEqual(error.before, [(0x30, b"a"), Skipped(7)])


class OversizedTests(SynchronousTestCase):
    """Packets over the limit."""

    def test_limit_is_inclusive(self) -> None:
        """A packet of just the limit is kept, one byte more is skipped."""
        at_limit = whole((0x30, b"\0\x01t" + bytes(95)))
        self.assertEqual(len(at_limit), 100)
        self.assertEqual(PacketSplitter(100).feed(at_limit), [(0x30, at_limit[2:])])
        self.assertEqual(PacketSplitter(99).feed(at_limit), [Skipped(None)])

    def test_in_its_place(self) -> None:
        """What was skipped is where it came, so that acknowledgements keep their order."""
        small, large = publish(b"a", b"", 1), publish(b"b/c", bytes(1000), 2)
        stream = b"".join(map(whole, (small, large, large, small)))
        skipped = Skipped(2)
        for sizes in ([5000], [1], [7], [512]):
            with self.subTest(sizes=sizes):
                splitter = PacketSplitter(100)
                self.assertEqual(fed(splitter, stream, sizes), [small, skipped, skipped, small])
                self.assertEqual(splitter.buffered, 0)

    def test_not_before_all_has_passed(self) -> None:
        """A message is acknowledged only once all of it came, so not with its head."""
        stream = whole(publish(b"t", bytes(1000), 9))
        splitter = PacketSplitter(100)
        self.assertEqual(splitter.feed(stream[:-1]), [])
        self.assertEqual(splitter.feed(stream[-1:]), [Skipped(9)])

    def test_nothing_is_kept(self) -> None:
        """Of 200 MB that were announced no more than topic and packet id is held."""
        splitter = PacketSplitter(1 << 20)
        splitter.feed(encode_fixed_header(0x32, 200_000_000) + b"\0\x05topic\0\x01")
        for _ in range(100):
            self.assertEqual(splitter.feed(bytes(1 << 16)), [])
        self.assertEqual(splitter.buffered, 2 + 5 + 2)

    def test_other_packets(self) -> None:
        """An oversized packet that is not a PUBLISH has neither topic nor packet id."""
        stream = whole((0x90, b"\0\x05" + bytes(200)))
        for sizes in ([500], [1]):
            self.assertEqual(fed(PacketSplitter(100), stream, sizes), [Skipped(None)])

    def test_reserved_quality(self) -> None:
        """QoS 3 does not exist: there is nothing to acknowledge."""
        stream = whole((0x36, b"\0\x01t\0\x07" + bytes(200)))
        self.assertEqual(PacketSplitter(100).feed(stream), [Skipped(None)])

    def test_topic_longer_than_packet(self) -> None:
        """A topic that claims to be longer than its packet gives what there is, and no id."""
        stream = whole((0x32, b"\xff\xffabc" + b"d" * 200))
        skipped = Skipped(None)
        self.assertEqual(PacketSplitter(100).feed(stream), [skipped])

    def test_no_topic_at_all(self) -> None:
        """With a limit below every header the shortest packets are skipped too."""
        self.assertEqual(PacketSplitter(1).feed(b"\x32\x01\0"), [Skipped(None)])
        self.assertEqual(PacketSplitter(1).feed(b"\x32\x00"), [Skipped(None)])

    @bounded
    @given(
        st.lists(
            st.builds(
                publish,
                st.binary(max_size=12),
                st.binary(max_size=300),
                st.none() | st.integers(1, 65_535),
            ),
            max_size=6,
        ),
        st.integers(1, 200),
        st.lists(st.integers(1, 400), min_size=1),
    )
    def test_against_a_slow_twin(self, packets: list[Frame], limit: int, sizes: list[int]) -> None:
        """However it is cut, a stream gives each packet or says exactly what was skipped."""
        expected: list[Frame | Skipped] = []
        for first, body in packets:
            size = len(whole((first, body)))
            end = 2 + int.from_bytes(body[:2], "big")
            packet_id = int.from_bytes(body[end : end + 2], "big") if first == 0x32 else None
            skipped = Skipped(packet_id)
            expected.append(skipped if size > limit else (first, body))
        splitter = PacketSplitter(limit)
        self.assertEqual(fed(splitter, b"".join(map(whole, packets)), sizes), expected)
        self.assertEqual(splitter.buffered, 0)
