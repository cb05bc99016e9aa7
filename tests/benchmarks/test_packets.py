"""Packets, held against the bytes that the specification gives."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import packets

LENGTHS = [
    (0, "00"),
    (127, "7f"),
    (128, "8001"),
    (16_383, "ff7f"),
    (16_384, "808001"),
    (2_097_151, "ffff7f"),
    (268_435_455, "ffffff7f"),
]


class WritingTests(SynchronousTestCase):
    """What is sent."""

    def test_lengths_at_the_borders(self) -> None:
        for length, expected in LENGTHS:
            self.assertEqual(packets.remaining_length(length).hex(), expected)

    def test_a_length_that_mqtt_cannot_carry_is_refused(self) -> None:
        for length in (-1, 268_435_456):
            with self.assertRaisesRegex(ValueError, "expected 0 to 268435455"):
                packets.remaining_length(length)

    def test_connect_asks_for_a_clean_session(self) -> None:
        self.assertEqual(
            packets.connect("a", keepalive_s=60).hex(), "100d00044d51545404020" + "03c000161"
        )

    def test_publish_at_each_qos(self) -> None:
        self.assertEqual(packets.publish("t/1", b"x"), b"\x30\x06\x00\x03t/1x")
        self.assertEqual(
            packets.publish("t/1", b"x", qos=1, packet_id=258), b"\x32\x08\x00\x03t/1\x01\x02x"
        )
        self.assertEqual(packets.publish("t/1", b"x", retain=True)[:1], b"\x31")

    def test_publish_at_qos_1_needs_a_packet_id(self) -> None:
        for packet_id in (0, 65_536):
            with self.assertRaisesRegex(ValueError, "expected 1 to 65535"):
                packets.publish("t", b"", qos=1, packet_id=packet_id)
        with self.assertRaisesRegex(ValueError, "expected 0 or 1"):
            packets.publish("t", b"", qos=2)

    def test_subscribe_and_puback(self) -> None:
        self.assertEqual(packets.subscribe(1, "a/+", 1), b"\x82\x08\x00\x01\x00\x03a/+\x01")
        self.assertEqual(packets.puback(513), b"\x40\x02\x02\x01")


class ReadingTests(SynchronousTestCase):
    """What is received."""

    stream = (
        b"\x20\x02\x00\x00"
        + packets.publish("tele/x", b"y" * 300)
        + packets.publish("a", b"b", qos=1, packet_id=7)
        + packets.publish("a", b"c" * 125)  # its length is 128: the digit 0 with a mark, then 1
        + packets.PINGRESP
    )

    def check(self, found: list[tuple[int, bytes]]) -> None:
        self.assertEqual([first for first, _ in found], [0x20, 0x30, 0x32, 0x30, 0xD0])
        self.assertEqual(packets.topic_and_payload(*found[1]), ("tele/x", b"y" * 300))
        self.assertEqual(packets.topic_and_payload(*found[2]), ("a", b"b"))
        self.assertEqual(packets.topic_and_payload(*found[3]), ("a", b"c" * 125))

    def test_whole(self) -> None:
        self.check(packets.PacketReader().feed(self.stream))

    def test_byte_by_byte(self) -> None:
        reader = packets.PacketReader()
        self.check([found for byte in self.stream for found in reader.feed(bytes([byte]))])
