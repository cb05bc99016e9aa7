"""What a lane of the load generator sends, and what it makes of the answers."""

from __future__ import annotations

import socket
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import packets
from benchmarks.collector import tally
from benchmarks.generator import Lane, Load


class FakeSocket:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data


def make_lane(indexes: range, **settings: Any) -> tuple[Lane, FakeSocket]:
    """Make a lane of some devices."""
    sock = FakeSocket()
    load = Load(port=1, devices=len(indexes), **settings)
    return Lane(load, indexes, cast("socket.socket", sock)), sock


def published(data: bytes) -> list[tuple[int, str, bytes]]:
    """Read packets back: packet id or 0, topic, payload."""
    found = []
    for first, body in packets.PacketReader().feed(data):
        topic, payload = packets.topic_and_payload(first, body)
        end = 2 + len(topic)
        packet_id = int.from_bytes(body[end : end + 2], "big") if first & 6 else 0
        found.append((packet_id, topic, payload))
    return found


class LaneTests(SynchronousTestCase):
    """One connection of the load generator."""

    def test_each_device_gets_each_sequence_number_once_and_in_order(self) -> None:
        lane, sock = make_lane(range(3), rounds=4, first_round=100)
        while lane.remaining:
            lane.send(2)
        lines = []
        for _packet_id, topic, payload in published(sock.sent):
            name = topic.split("/")[1]
            total = payload.partition(b'"Total":')[2].partition(b",")[0]
            lines.append(b"e,device=%b energy_total=%b 1\n" % (name.encode(), total))
        found = tally([(0, b"".join(lines))], devices=3, rounds=4, first_round=100)
        self.assertEqual((found.distinct, found.duplicates, found.misplaced), (12, 0, 0))

    def test_a_load_may_end_within_a_round(self) -> None:
        self.assertEqual(Load(port=1, devices=500, rounds=2, only=600).messages, 600)
        self.assertEqual(Load(port=1, devices=500, rounds=2).messages, 1000)

    def test_no_placeholder_is_left(self) -> None:
        lane, sock = make_lane(range(5), rounds=1, mixed=True)
        lane.send(5)
        self.assertNotIn(b"@", sock.sent)

    def test_stamps_count_from_the_origin(self) -> None:
        lane, _sock = make_lane(range(1), rounds=1, origin_us=1_000_000)
        self.assertIn(b'"Today":1000000042,', lane.take(1, 1_000_042))

    def test_a_stamp_that_has_no_room_is_refused(self) -> None:
        lane, _sock = make_lane(range(1), rounds=2, origin_us=1_000_000)
        for stamp_us in (999_999, 9_001_000_000):
            with self.assertRaisesRegex(ValueError, f"{stamp_us} us is not within"):
                lane.take(1, stamp_us)

    def test_a_packet_id_does_not_come_again_within_the_window(self) -> None:
        lane, sock = make_lane(range(3), rounds=50, qos=1, window=10)
        while lane.remaining:
            lane.send(lane.room)
            lane.feed(b"\x40\x02\x00\x01" * (lane.sent - lane.taken))
        ids = [packet_id for packet_id, _topic, _payload in published(sock.sent)]
        for start in range(len(ids) - 10):
            self.assertEqual(len(set(ids[start : start + 10])), 10)
        self.assertNotIn(0, ids)

    def test_too_many_devices_for_the_packet_ids_are_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "70000 devices on a connection"):
            make_lane(range(70_000), rounds=1, qos=1)

    def test_the_window_bounds_what_is_unacknowledged(self) -> None:
        lane, _sock = make_lane(range(4), rounds=10, qos=1, window=6)
        self.assertEqual(lane.send(lane.room), 6)
        self.assertEqual(lane.room, 0)
        lane.feed(b"\x40\x02\x00\x01\x40\x02")
        self.assertEqual((lane.taken, lane.room), (1, 1))
        lane.feed(b"\x00\x02")
        self.assertEqual((lane.taken, lane.room), (2, 2))

    def test_at_qos_0_nothing_is_taken_before_the_ping_is_answered(self) -> None:
        lane, _sock = make_lane(range(4), rounds=1)
        lane.send(4)
        lane.ping()
        self.assertEqual((lane.taken, lane.answered), (0, False))
        lane.feed(packets.PINGRESP[:1])
        self.assertFalse(lane.answered)
        lane.feed(packets.PINGRESP[1:])
        self.assertTrue(lane.answered)
        self.assertTrue(lane.settled)

    def test_at_qos_1_the_answer_to_the_ping_comes_behind_the_acknowledgements(self) -> None:
        lane, _sock = make_lane(range(2), rounds=1, qos=1)
        lane.send(2)
        lane.ping()
        lane.feed(packets.puback(1) + packets.puback(2) + packets.PINGRESP)
        self.assertEqual((lane.taken, lane.answered, lane.settled), (2, True, True))

    def test_at_qos_1_the_answer_to_the_ping_stands_for_no_acknowledgement(self) -> None:
        lane, _sock = make_lane(range(2), rounds=1, qos=1)
        lane.send(2)
        lane.ping()
        lane.feed(packets.puback(1) + packets.PINGRESP)
        self.assertEqual((lane.taken, lane.answered, lane.settled), (1, True, False))

    def test_another_answer_than_expected_is_told(self) -> None:
        lane, _sock = make_lane(range(2), rounds=1, qos=1)
        lane.send(2)
        with self.assertRaisesRegex(ValueError, "expected PUBACKs"):
            lane.feed(b"\x50\x02\x00\x01")

    def test_rounds_differ_in_the_sequence_number_alone(self) -> None:
        lane, _sock = make_lane(range(2), rounds=3, origin_us=0)
        first, second = lane.take(2, 0), lane.take(2, 0)
        differing = [index for index in range(len(first)) if first[index] != second[index]]
        self.assertEqual(len(first), len(second))
        self.assertEqual(len(differing), 2)
