"""Whatever is paused, read and lost in whatever order: each packet comes once and in order."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.errors import ProtocolError
from metrics_agent.transports.mqtt.inflow import (
    BURST_S,
    COALESCE_FROM_BYTES,
    COALESCE_S,
    FRAMES_A_LOOK,
    FULL_READ_BYTES,
    READ_AHEAD_BYTES,
    TURN_S,
    Inflow,
)
from metrics_agent.transports.mqtt.splitter import Frame, PacketSplitter, Skipped
from tests.transports.mqtt.scripted import PINGRESP, packet, publish

PAUSES_AT = b"pause"
"""In the payload of a packet out of which the receiver pauses."""
ENDS_AT = b"close"
FAILS_AT = b"fail"


def message(number: int, more: bytes = b"", *, retain: bool = False) -> bytes:
    """Write a PUBLISH that says which it is."""
    data = publish(False, b"a", b"%d %b" % (number, more))
    return bytes([data[0] | retain]) + data[1:]


class FakeReceiver:
    """Notes what comes, and judges when it comes."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.inflow = Inflow(self.clock, PacketSplitter(1 << 20), self)
        self.reads = True
        self.numbers: list[int] = []
        self.paused: set[str] = set()
        self.errors: list[BaseException] = []
        self.drained = 0
        self.gone = False
        self.awaited = False
        self.frame_s = 0.0
        self.open_batch = False
        self.reentrant = b""

    def read_socket(self, wanted: bool) -> None:
        assert not self.gone, "a socket that is gone is left alone"
        assert wanted is not self.reads, "said once"
        self.reads = wanted

    def begin_frames(self) -> None:
        assert not self.open_batch
        self.open_batch = True

    def take_frames(self, frames: Iterator[Frame | Skipped]) -> None:
        for frame in frames:
            assert self.open_batch
            assert not self.paused, "nothing is handed on during a pause"
            assert not self.drained, "the end comes last"
            assert isinstance(frame, tuple)
            first, body = frame
            if first & 0xF0 != 0x30:
                break
            number, more = body[3:].split(b" ", 1)
            self.numbers.append(int(number))
            self.clock.rightNow += self.frame_s
            if self.reentrant:
                data, self.reentrant = self.reentrant, b""
                self.inflow.data(data)
            if more.startswith(ENDS_AT):
                self.inflow.close()
                break
            if more.startswith(FAILS_AT):
                raise ProtocolError("test", "as asked")
            if more.startswith(PAUSES_AT):
                self.pause("control")
                break

    def end_frames(self) -> bool:
        assert self.open_batch
        self.open_batch = False
        return self.awaited

    def inflow_failed(self, error: BaseException) -> None:
        self.errors.append(error)

    def pause(self, reason: str) -> None:
        self.paused.add(reason)
        self.inflow.pause(reason)

    def resume(self, reason: str) -> None:
        before = len(self.numbers)
        self.paused.discard(reason)
        self.inflow.resume(reason)
        assert len(self.numbers) == before, "not out of resume"

    def lose(self) -> None:
        self.gone = True
        self.inflow.end_of_input(self.note_drained)

    def note_drained(self) -> None:
        assert not self.open_batch
        self.drained += 1

    def turn(self) -> None:
        """Run what is due, not what that sets."""
        clock = self.clock
        for call in [call for call in clock.getDelayedCalls() if call.time <= clock.seconds()]:
            if call.active():
                clock.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)


REASONS = st.sampled_from(["pressure", "reload"])
STEPS = st.one_of(
    st.tuples(st.just("data"), st.integers(1, 2 * FULL_READ_BYTES)),
    st.tuples(st.just("data"), st.integers(1, 200)),
    st.tuples(st.just("data"), st.sampled_from([1, COALESCE_FROM_BYTES, FULL_READ_BYTES])),
    st.tuples(st.just("pause"), REASONS),
    st.tuples(st.just("resume"), REASONS),
    st.tuples(st.just("wait"), st.sampled_from([0.0, COALESCE_S, BURST_S])),
)
MORE = st.one_of(
    st.sampled_from([b"", b"", PAUSES_AT, b"retain"]), st.integers(1, 30_000).map(bytes)
)


class InflowTests(SynchronousTestCase):
    """An inflow and all that may happen around it."""

    def setUp(self) -> None:
        self.receiver = FakeReceiver()
        self.inflow = self.receiver.inflow
        self.clock = self.receiver.clock

    @settings(max_examples=200)
    @given(
        st.lists(STEPS, max_size=25),
        st.lists(MORE, max_size=60),
        st.sampled_from([0.0, TURN_S / 3, TURN_S]),
        st.booleans(),
    )
    def test_any_sequence(
        self, steps: list[tuple[str, object]], more: list[bytes], frame_s: float, lost: bool
    ) -> None:
        """Each packet once and in order; the receiver judges when."""
        self.setUp()
        receiver = self.receiver
        receiver.frame_s = frame_s
        data = b"".join(
            message(number, each, retain=each == b"retain") + PINGRESP * (number % 3 == 0)
            for number, each in enumerate(more)
        )
        position = 0
        for kind, value in [*steps, ("data", max(1, len(data)))]:
            if kind == "data":
                if piece := data[position : position + value]:
                    receiver.inflow.data(piece)
                    position += len(piece)
            elif kind == "wait":
                receiver.clock.rightNow += value
                receiver.turn()
            else:
                getattr(receiver, kind)(value)
            self.assertLessEqual(bool(receiver.paused), not receiver.reads)
        if lost:
            receiver.lose()
        for _ in range(400):
            for reason in ("control", "pressure", "reload"):
                receiver.resume(reason)
            receiver.clock.rightNow += BURST_S
            receiver.turn()
        self.assertEqual(receiver.numbers, list(range(len(more))))
        self.assertEqual(receiver.errors, [])
        self.assertEqual(receiver.drained, lost)
        self.assertTrue(receiver.reads or lost)
        self.assertEqual(receiver.clock.getDelayedCalls(), [])

    def test_close_forgets_what_waits(self) -> None:
        """After it nothing comes, and a socket that is lost then is lost at once."""
        self.receiver.pause("pressure")
        self.inflow.data(message(0))
        self.inflow.close()
        self.receiver.resume("pressure")
        self.inflow.data(message(1))
        self.assertFalse(self.receiver.reads)
        self.receiver.lose()
        self.assertEqual(self.receiver.numbers, [])
        self.assertEqual(self.receiver.drained, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close_while_drained(self) -> None:
        """What was read before is not waited for any more."""
        self.receiver.pause("pressure")
        self.inflow.data(message(0))
        self.receiver.lose()
        self.assertEqual(self.receiver.drained, 0)
        self.inflow.close()
        self.assertEqual(self.receiver.drained, 1)

    def test_close_out_of_a_packet(self) -> None:
        """Those after it do not come; the end comes after the batch was finished."""
        self.inflow.data(message(0) + message(1, ENDS_AT) + message(2))
        self.assertEqual(self.receiver.numbers, [0, 1])
        self.receiver.lose()
        self.assertEqual(self.receiver.drained, 1)

    def test_close_out_of_a_packet_while_drained(self) -> None:
        """The same when the socket was lost before."""
        self.receiver.pause("pressure")
        self.inflow.data(message(0, ENDS_AT) + message(1))
        self.receiver.lose()
        self.receiver.resume("pressure")
        self.receiver.turn()
        self.assertEqual((self.receiver.numbers, self.receiver.drained), ([0], 1))

    def test_a_fault_ends_it(self) -> None:
        """What follows is not handed on, in the same turn or later."""
        self.inflow.data(message(0) + message(1, FAILS_AT) + message(2))
        self.inflow.data(message(3))
        self.assertEqual(self.receiver.numbers, [0, 1])
        self.assertEqual(len(self.receiver.errors), 1)
        self.assertFalse(self.receiver.open_batch)

    def test_a_fault_in_a_later_turn(self) -> None:
        """The same, and the end of a connection that is lost follows."""
        self.receiver.pause("pressure")
        self.inflow.data(message(0, FAILS_AT) + message(1))
        self.receiver.lose()
        self.receiver.resume("pressure")
        self.receiver.turn()
        self.assertEqual(self.receiver.numbers, [0])
        self.assertEqual((len(self.receiver.errors), self.receiver.drained), (1, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_malformed_length(self) -> None:
        """The packets before it come."""
        self.inflow.data(message(0) + b"\x30\xff\xff\xff\xff")
        self.assertEqual(self.receiver.numbers, [0])
        self.assertEqual(self.receiver.errors[0].reason, "malformed_length")

    def test_a_control_packet_may_pause(self) -> None:
        """Not one message of the same read comes after it."""
        self.inflow.data(message(0) + message(1, PAUSES_AT) + message(2))
        self.assertEqual(self.receiver.numbers, [0, 1])
        self.assertFalse(self.inflow.reading)
        self.receiver.resume("control")
        self.receiver.turn()
        self.assertEqual(self.receiver.numbers, [0, 1, 2])
        self.assertTrue(self.receiver.reads)

    def test_many_control_packets(self) -> None:
        """Each is handed on, however many there are."""
        self.inflow.data(packet(0xD0, b"") * 20_000 + message(0))
        self.assertEqual(self.receiver.numbers, [0])

    def test_data_out_of_a_packet(self) -> None:
        """A transport that gives more meanwhile does not change the order."""
        self.receiver.reentrant = message(2)
        self.inflow.data(message(0) + message(1))
        self.assertEqual(self.receiver.numbers, [0, 1])
        self.receiver.turn()
        self.assertEqual(self.receiver.numbers, [0, 1, 2])

    def test_turn(self) -> None:
        """The socket is not read while the rest of a read waits for the next turn."""
        self.receiver.frame_s = 1.1 * TURN_S
        self.inflow.data(message(0) + message(1))
        self.assertEqual(self.receiver.numbers, [0])
        self.assertFalse(self.receiver.reads)
        self.receiver.turn()
        self.assertTrue(self.receiver.reads)

    def test_dear_messages(self) -> None:
        """The clock is looked at after each of them, so that a turn is hardly longer than meant."""
        self.receiver.frame_s = 0.4 * TURN_S
        self.inflow.data(b"".join(map(message, range(3 * FRAMES_A_LOOK))))
        self.assertEqual(self.receiver.numbers, [0, 1, 2])

    def test_data_between_two_turns(self) -> None:
        """It is handed on after the rest of the read before it."""
        self.receiver.frame_s = 1.1 * TURN_S
        count = 3
        self.inflow.data(b"".join(map(message, range(count))))
        self.inflow.data(message(count))
        for _ in range(3):
            self.receiver.turn()
        self.assertEqual(self.receiver.numbers, list(range(count + 1)))

    def test_limit(self) -> None:
        """The socket is not read while as much waits as may."""
        read = message(0, bytes(FULL_READ_BYTES))
        for _ in range(READ_AHEAD_BYTES // FULL_READ_BYTES):
            self.assertTrue(self.receiver.reads)
            self.inflow.data(read)
        self.assertFalse(self.receiver.reads)
        self.receiver.turn()
        self.assertTrue(self.receiver.reads)

    def test_coalescing_ends_with_the_socket(self) -> None:
        """No timer is left."""
        self.inflow.data(message(0, bytes(COALESCE_FROM_BYTES)))
        self.assertFalse(self.receiver.reads)
        self.receiver.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.receiver.drained, 1)

    def test_no_coalescing_where_the_broker_waits(self) -> None:
        """It sends more once it has our acknowledgement."""
        self.receiver.awaited = True
        self.inflow.data(message(0, bytes(COALESCE_FROM_BYTES)))
        self.assertTrue(self.receiver.reads)
