"""Messages wait for the announcements of their devices; none is lost, none overtakes another."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.interfaces import Message
from metrics_agent.transports.mqtt import announcement_gate
from metrics_agent.transports.mqtt.announcement_gate import ANSWER_S, LATEST_S, LONGEST_S, QUIET_S
from metrics_agent.transports.mqtt.inflow import FRAMES_A_LOOK, TURN_S
from metrics_agent.transports.mqtt.splitter import Frame, Skipped
from tests.transports.mqtt.scripted import (
    PINGRESP,
    Scripted,
    connack,
    packet,
    puback,
    publish,
    suback,
)
from tests.transports.mqtt.test_inflow import FakeReceiver

SUBSCRIBE = 0x82
UNSUBSCRIBE = 0xA2
PINGREQ = (0xC0, b"")
FILTER = "d"
ENDS_THE_WAIT_AT = b"end"


def message(number: int, *, device: bool = False, retain: bool = False, more: bytes = b"") -> bytes:
    """Write a PUBLISH that says which it is, of a device or of something else."""
    data = publish(False, b"d" if device else b"a", b"%d %b" % (number, more))
    return bytes([data[0] | retain]) + data[1:]


class Receiver(FakeReceiver):
    """Judges that nothing but announcements comes while they are awaited."""

    def take_frames(self, frames: Iterator[Frame | Skipped]) -> None:
        super().take_frames(self.judged(frames))

    def judged(self, frames: Iterator[Frame | Skipped]) -> Iterator[Frame | Skipped]:
        awaited = self.inflow.announcement_gate
        for frame in frames:
            assert isinstance(frame, tuple)
            first, body = frame
            is_message = first & 0xF0 == 0x30
            assert not (awaited.active and is_message and body[2:3] == b"a"), "too early"
            yield frame
            if is_message and ENDS_THE_WAIT_AT in body:
                awaited.end()


STEPS = st.one_of(
    st.tuples(st.just("data"), st.integers(1, 300)),
    st.tuples(st.just("pause"), st.sampled_from(["pressure", "reload"])),
    st.tuples(st.just("resume"), st.sampled_from(["pressure", "reload"])),
    st.tuples(st.just("begin"), st.just(0)),
    st.tuples(st.just("barrier"), st.just(0)),
    st.tuples(st.just("end"), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, QUIET_S, LATEST_S, ANSWER_S])),
)
KINDS = st.sampled_from(["other", "other", "live", "retained", "pause", "end"])


class WaitingCase(SynchronousTestCase):
    """An inflow that awaits announcements."""

    def setUp(self) -> None:
        self.receiver = Receiver()
        self.inflow = self.receiver.inflow
        self.clock = self.receiver.clock
        self.awaited = self.inflow.announcement_gate
        self.awaited.begin([FILTER])
        self.barrier: Deferred[bool] = Deferred()

    def pass_barrier(self) -> None:
        self.awaited.barrier(self.barrier)
        self.barrier.callback(True)

    def send(self, data: bytes) -> None:
        """Read something, and do all that this leads to at once."""
        self.inflow.data(data)
        while self.inflow._reads or self.inflow._frames:
            self.clock.advance(0)

    @property
    def numbers(self) -> list[int]:
        return self.receiver.numbers


class SequenceTests(WaitingCase):
    """Whatever happens in whatever order."""

    def step(self, kind: str, value: object) -> None:
        """Do one of `STEPS`."""
        if kind == "wait":
            self.clock.rightNow += value
            self.receiver.turn()
        elif kind == "begin":
            self.awaited.begin([FILTER])
        elif kind == "barrier":
            if self.awaited.wants_barrier:
                self.barrier = Deferred()
                self.pass_barrier()
        elif kind == "end":
            self.awaited.end()
        else:
            getattr(self.receiver, kind)(value)

    @settings(max_examples=200)
    @given(
        st.lists(STEPS, max_size=25),
        st.lists(KINDS, max_size=60),
        st.sampled_from([0.0, TURN_S / 3]),
        st.integers(400, 100_000),
        st.booleans(),
    )
    def test_each_once_and_in_order(
        self,
        steps: list[tuple[str, object]],
        kinds: list[str],
        frame_s: float,
        most_bytes: int,
        lost: bool,
    ) -> None:
        """Announcements among each other, and all other messages among each other."""
        self.setUp()
        self.patch(announcement_gate, "SET_ASIDE_BYTES", most_bytes)
        receiver, awaited = self.receiver, self.awaited
        receiver.frame_s = frame_s
        is_device = [kind in {"live", "retained", "end"} for kind in kinds]
        data = b"".join(
            message(
                number,
                device=is_device[number],
                retain=kind == "retained",
                more=kind.encode() if kind in {"pause", "end"} else b"",
            )
            + PINGRESP * (number % 3 == 0)
            for number, kind in enumerate(kinds)
        )
        for kind, value in [*steps, ("data", max(1, len(data)))]:
            if kind == "data":
                piece, data = data[:value], data[value:]
                if piece:
                    receiver.inflow.data(piece)
            else:
                self.step(kind, value)
        if lost:
            receiver.lose()
        for _ in range(200):
            for reason in ("control", "pressure", "reload"):
                receiver.resume(reason)
            receiver.clock.rightNow += ANSWER_S
            receiver.turn()
        for device in (True, False):
            self.assertEqual(
                [number for number in receiver.numbers if is_device[number] is device],
                [number for number in range(len(kinds)) if is_device[number] is device],
            )
        self.assertEqual(receiver.errors, [])
        self.assertEqual(receiver.drained, lost)
        self.assertFalse(awaited.active)
        self.assertEqual(receiver.clock.getDelayedCalls(), [])


class EndTests(WaitingCase):
    """When the wait ends."""

    def test_announcements_first(self) -> None:
        """They are handed on at once; other messages when none came for a while."""
        self.inflow.data(message(0) + message(1, device=True, retain=True) + message(2))
        self.inflow.data(message(3, device=True))
        self.assertEqual(self.numbers, [1, 3])
        self.pass_barrier()
        self.clock.advance(0.9 * QUIET_S)
        # A read that begins with a retained message would wait for more of them.
        self.inflow.data(PINGRESP + message(4, device=True, retain=True))
        self.clock.advance(0.9 * QUIET_S)
        self.assertEqual(self.numbers, [1, 3, 4])
        self.clock.advance(0.1 * QUIET_S)
        self.clock.advance(0)
        self.assertEqual(self.numbers, [1, 3, 4, 0, 2])
        self.inflow.data(message(5))
        self.assertEqual(self.numbers[-1], 5)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_live_announcements_do_not_prolong_it(self) -> None:
        """Devices announce themselves all the time; those that the broker had are retained."""
        self.inflow.data(message(0))
        self.pass_barrier()
        self.clock.advance(0.9 * QUIET_S)
        self.inflow.data(message(1, device=True))
        self.clock.advance(0.1 * QUIET_S)
        self.clock.advance(0)
        self.assertEqual(self.numbers, [1, 0])

    def test_at_the_latest(self) -> None:
        """Retained announcements without end do not prolong it without end."""
        self.inflow.data(message(0))
        self.pass_barrier()
        every_s = QUIET_S / 2
        for number in range(1, round(LONGEST_S / every_s) + 10):
            self.inflow.data(message(number, device=True, retain=True))
            self.clock.advance(every_s)
        self.clock.advance(0)
        self.assertAlmostEqual(self.numbers.index(0), LONGEST_S / every_s, delta=1)

    def test_slow_announcements(self) -> None:
        """A slow line or machine takes long until the barrier; it may as long as some come."""
        self.inflow.data(message(0))
        times = round(LONGEST_S / ANSWER_S) - 1
        for number in range(1, 1 + times):
            self.clock.advance(0.99 * ANSWER_S)
            self.inflow.data(message(number, device=True, retain=True))
        self.pass_barrier()
        self.clock.pump([QUIET_S, QUIET_S, 0])
        self.assertEqual(self.numbers, [*range(1, 1 + times), 0])
        self.assertTrue(self.awaited.complete)

    def test_announcements_that_wait_to_be_read(self) -> None:
        """So may a machine that is behind with reading."""
        self.awaited._unread = lambda: True
        self.inflow.data(message(0))
        self.clock.advance(1.5 * ANSWER_S)
        self.assertTrue(self.awaited.active)
        self.clock.pump([ANSWER_S] * round(LONGEST_S / ANSWER_S))
        self.assertEqual((self.numbers, self.awaited.complete), ([0], False))

    def test_no_barrier(self) -> None:
        """A broker that answers neither SUBSCRIBE nor PING keeps nothing back for good."""
        self.inflow.data(message(0))
        self.clock.advance(ANSWER_S - 0.1)
        self.assertEqual(self.numbers, [])
        self.clock.advance(0.1)
        self.clock.advance(0)
        self.assertEqual(self.numbers, [0])
        self.pass_barrier()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bytes(self) -> None:
        """What is set aside is bounded; then all goes on in order."""
        size = announcement_gate.SET_ASIDE_BYTES // 10
        for number in range(9):
            self.send(message(number, more=bytes(size)))
        self.assertEqual(self.numbers, [])
        self.send(message(9, more=bytes(size)) + message(10) + PINGRESP)
        self.send(message(11))
        self.assertEqual(self.numbers, list(range(12)))

    def test_ten_thousand_messages(self) -> None:
        """So many of 700 bytes are within the bound."""
        self.send(b"".join(message(each, more=bytes(650)) for each in range(10_000)))
        self.assertTrue(self.awaited.active)
        self.assertEqual(self.numbers, [])

    def test_pause(self) -> None:
        """While nothing is read no announcement can come: that time does not count."""
        self.inflow.data(message(0))
        self.receiver.pause("pressure")
        self.clock.advance(10 * ANSWER_S)
        self.receiver.resume("pressure")
        self.clock.advance(ANSWER_S - 0.1)
        self.pass_barrier()
        self.receiver.pause("pressure")
        self.clock.advance(10 * ANSWER_S)
        self.receiver.resume("pressure")
        self.clock.advance(QUIET_S / 2)
        self.assertTrue(self.awaited.active)
        self.clock.advance(QUIET_S / 2)
        self.clock.advance(0)
        self.assertEqual(self.numbers, [0])

    def test_pauses_without_end(self) -> None:
        """Time in which it is read counts, however often it is interrupted."""
        self.inflow.data(message(0))
        self.pass_barrier()
        for _ in range(3):
            self.clock.advance(QUIET_S / 2.5)
            self.receiver.pause("pressure")
            self.clock.advance(1)
            self.receiver.resume("pressure")
            self.clock.advance(0)
        self.assertEqual(self.numbers, [0])

    def test_standstill(self) -> None:
        """What came while the process was stopped is read before the time is up."""
        self.inflow.data(message(0))
        self.awaited.barrier(self.barrier)
        self.clock.advance(10 * ANSWER_S)
        self.inflow.data(message(1, device=True, retain=True))
        self.barrier.callback(True)
        self.clock.pump([QUIET_S, QUIET_S, 0])
        self.assertEqual(self.numbers, [1, 0])

    def test_begin_during_a_pause(self) -> None:
        """A module subscribes while it starts, and nothing is read before it runs."""
        self.receiver.pause("pressure")
        self.awaited.begin([FILTER])
        self.clock.pump([10 * ANSWER_S, ANSWER_S])
        self.assertTrue(self.awaited.active)
        self.receiver.resume("pressure")
        self.inflow.data(message(0))
        self.assertEqual(self.numbers, [])
        self.clock.advance(ANSWER_S)
        self.clock.advance(0)
        self.assertEqual(self.numbers, [0])

    def test_end_between_two_turns(self) -> None:
        """What was set aside comes before the rest of the read that it came with."""
        self.receiver.frame_s = TURN_S
        devices = range(1, 1 + FRAMES_A_LOOK)
        self.inflow.data(
            message(0) + b"".join(message(each, device=True) for each in devices) + message(99)
        )
        self.awaited.end()
        for _ in range(3):
            self.clock.advance(0)
        self.assertEqual([each for each in self.numbers if each not in devices], [0, 99])

    def test_end_during_a_pause(self) -> None:
        """What is released is kept back as everything else is."""
        self.inflow.data(message(0))
        self.receiver.pause("pressure")
        self.inflow.data(message(1))
        self.awaited.end()
        self.clock.advance(1)
        self.assertEqual(self.numbers, [])
        self.receiver.resume("pressure")
        self.clock.pump([0, 0])
        self.assertEqual(self.numbers, [0, 1])

    def test_begin_again(self) -> None:
        """It begins from the start; the barrier before counts no more."""
        self.inflow.data(message(0))
        self.awaited.barrier(self.barrier)
        self.awaited.begin([FILTER])
        self.assertTrue(self.awaited.wants_barrier)
        self.barrier.callback(True)
        # One long step would look like a standstill.
        self.clock.pump([QUIET_S] * 3)
        self.assertEqual(self.numbers, [])
        self.barrier = Deferred()
        self.pass_barrier()
        self.clock.advance(QUIET_S)
        self.clock.advance(0)
        self.assertEqual(self.numbers, [0])

    def test_what_was_read_and_not_looked_at(self) -> None:
        """A process that is behind has perhaps the announcements at hand."""
        self.receiver.frame_s = TURN_S / 2
        self.pass_barrier()
        self.inflow.data(message(0))
        self.inflow.data(
            b"".join(message(1 + each, device=True) for each in range(2 * FRAMES_A_LOOK))
            + message(99, device=True, retain=True)
        )
        self.clock.rightNow += QUIET_S
        for call in sorted(self.clock.getDelayedCalls(), key=lambda call: call.time):
            if call.active() and call.func == self.awaited._timer._run:
                self.clock.calls.remove(call)
                call.func()
        self.assertTrue(self.awaited.active)
        for _ in range(5):
            self.clock.advance(0)
        self.assertEqual(self.numbers[-1], 99)

    def test_lost(self) -> None:
        """What was set aside is handled before the end."""
        self.inflow.data(message(0) + message(1))
        self.receiver.lose()
        self.assertEqual(self.receiver.drained, 0)
        self.clock.advance(0)
        self.assertEqual((self.numbers, self.receiver.drained), ([0, 1], 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_close(self) -> None:
        self.inflow.data(message(0))
        self.inflow.close()
        self.receiver.lose()
        self.assertEqual((self.numbers, self.receiver.drained), ([], 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_other_packets(self) -> None:
        """Messages at every QoS and those that are too long wait; other packets do not."""
        passed = [
            (0x62, b"\0\1"),
            (0xD0, b""),
            (0x31, b"\0\1d1 "),
            (0x30, b"\0\1d2 "),
        ]
        waits = [
            (0x30, b"\0\1a3 "),
            (0x33, b"\0\1a\0\1" + b"4 "),
            (0x34, b"\0\1a\0\1" + b"5 "),
            Skipped(7),
            (0x30, b"\0\2dd6 "),
            (0x30, b""),
        ]
        self.assertEqual(list(self.awaited.sift(iter([*waits, *passed]))), passed)
        self.awaited.end()
        self.assertEqual(self.inflow._frames, waits)


class ConnectionTests(SynchronousTestCase):
    """A connection through which a module subscribes to announcements."""

    protocol = "3.1.1"

    def setUp(self) -> None:
        self.script = Scripted(self.protocol)
        self.topics: list[str] = []
        self.addCleanup(self.stop)

    def stop(self) -> None:
        done = self.script.connection.stopService()
        self.script.clock.pump([0, 1])
        self.successResultOf(done)
        self.assertEqual(self.script.clock.getDelayedCalls(), [], "a timer is left")

    def note(self, message: Message, lines: list[bytes]) -> None:
        self.topics.append(message.topic)
        self.script.lines_of(message, lines)

    def subscribe(self) -> None:
        connection = self.script.connection
        connection.subscribe("dev/+/config", 0, self.note, announcements=True)
        connection.subscribe("tele/+", 1, self.note)

    def publish(self, topic: bytes, packet_id: int = 0, *, retain: bool = False) -> bytes:
        data = publish(self.script.v5, topic, b"x", packet_id)
        return bytes([data[0] | retain]) + data[1:]

    def answer(self, *codes: int) -> None:
        """Answer the SUBSCRIBE that was written."""
        [body] = [body for first, body in self.script.written() if first == SUBSCRIBE]
        self.script.send(suback(self.script.v5, int.from_bytes(body[:2], "big"), *codes))

    def connect(self) -> None:
        """Bring it up; the session's backlog is in the same read as the CONNACK."""
        self.subscribe()
        self.script.connection.startService()
        self.script.open()
        self.script.send(connack(self.script.v5, session=True) + self.publish(b"tele/a", 1))

    def test_backlog_waits(self) -> None:
        """Of a session, in whatever read it comes; it is acknowledged once it was handled."""
        self.connect()
        self.assertEqual(self.script.filters(self.script.written(), SUBSCRIBE)[0], "dev/+/config")
        self.script.send(self.publish(b"tele/b"))
        self.script.send(suback(self.script.v5, 1, 0, 1))
        self.assertEqual(self.script.written(), [PINGREQ])
        self.script.send(
            self.publish(b"tele/c") + self.publish(b"dev/1/config", retain=True) + PINGRESP
        )
        self.assertEqual(self.topics, ["dev/1/config"])
        self.script.clock.advance(QUIET_S)
        self.assertEqual(self.script.written(), [])
        self.script.clock.advance(0)
        self.assertEqual(self.topics, ["dev/1/config", "tele/a", "tele/b", "tele/c"])
        for batch in self.script.batches:
            if batch.settle is not None:
                batch.settle()
        self.script.clock.advance(0)
        self.assertEqual(self.script.transport.value(), puback(1))

    def test_filters_of_a_session(self) -> None:
        """What an announcement brings back is not given up before; the others are after it."""
        connection = self.script.connection
        connection._subscriber._at_broker = {"back", "gone"}
        self.connect()
        connection.unsubscribe_unwanted()
        self.script.clock.pump([0, 1])
        written = self.script.written()
        self.assertEqual(self.script.filters(written, UNSUBSCRIBE), [])
        self.script.send(suback(self.script.v5, 1, 0, 1))
        connection.subscribe("back", 1, self.note)
        self.script.clock.advance(0)
        self.script.send(suback(self.script.v5, 2, 1) + PINGRESP)
        self.script.clock.pump([QUIET_S, 0, 1])
        self.assertEqual(self.script.filters(self.script.written(), UNSUBSCRIBE), ["gone"])

    def test_filters_of_a_wait_that_was_given_up(self) -> None:
        """What may still be announced is kept: the broker has messages for it."""
        connection = self.script.connection
        connection._subscriber._at_broker = {"gone"}
        self.connect()
        connection.unsubscribe_unwanted()
        self.script.send(suback(self.script.v5, 1, 0, 1))
        self.script.clock.pump([ANSWER_S, 0, 1, 1])
        self.assertEqual(self.topics, ["tele/a"])
        self.assertEqual(self.script.filters(self.script.written(), UNSUBSCRIBE), [])

    def test_what_is_learned_is_asked_for_afterwards(self) -> None:
        """While announcements pile up a broker drops what is retained of other topics."""
        self.connect()
        self.script.written()
        self.script.connection.subscribe("home/a", 1, self.note, learned=True)
        self.script.clock.advance(0)
        self.script.send(suback(self.script.v5, 1, 0, 1) + PINGRESP)
        written = self.script.written()
        self.assertEqual(self.script.filters(written, SUBSCRIBE), [])
        self.script.clock.pump([QUIET_S, 0, 1])
        self.assertEqual(self.script.filters(self.script.written(), SUBSCRIBE), ["home/a"])

    def test_refused(self) -> None:
        """Where the login may not read announcements nothing waits longer for that."""
        self.connect()
        self.answer(0x80, 1)
        self.assertEqual(self.script.written(), [PINGREQ])
        self.script.send(PINGRESP)
        self.script.clock.advance(QUIET_S)
        self.script.clock.advance(0)
        self.assertEqual(self.topics, ["tele/a"])

    def test_subscribed_again(self) -> None:
        """A module that starts on a connection that is up waits from its subscription on."""
        self.script.start()
        self.subscribe()
        self.script.send(self.publish(b"tele/a"))
        self.script.clock.advance(0)
        self.answer(0, 1)
        self.assertEqual(self.script.written(), [PINGREQ])
        self.script.send(PINGRESP + self.publish(b"dev/1/config", retain=True))
        self.script.clock.advance(QUIET_S)
        self.script.clock.advance(0)
        self.assertEqual(self.topics, ["dev/1/config", "tele/a"])

    def test_other_filters_do_not_begin_it(self) -> None:
        """A filter that is learned from an announcement stops nothing."""
        self.connect()
        self.answer(0, 1)
        self.script.send(PINGRESP)
        self.script.clock.advance(QUIET_S)
        self.script.clock.advance(0)
        self.script.connection.subscribe("home/+", 1, self.note, learned=True)
        self.script.clock.advance(0)
        self.script.send(self.publish(b"home/b"))
        self.assertEqual(self.topics, ["tele/a", "home/b"])

    def test_reconnect(self) -> None:
        """It begins at each connection."""
        self.connect()
        self.script.transport.lost(ConnectionDone())
        self.script.clock.advance(0)
        self.assertEqual(self.topics, ["tele/a"])
        self.script.clock.advance(60)
        self.script.open()
        self.script.send(connack(self.script.v5, session=True) + self.publish(b"tele/b"))
        self.assertEqual(self.topics, ["tele/a"])
        self.answer(0, 1)
        self.script.send(PINGRESP)
        self.script.clock.advance(QUIET_S)
        self.script.clock.advance(0)
        self.assertEqual(self.topics, ["tele/a", "tele/b"])

    def test_stop(self) -> None:
        """What a session keeps and waits for announcements is left to it; QoS 0 is handled."""
        self.connect()
        self.script.send(self.publish(b"tele/b"))
        settled = self.script.connection.handle_delivered(5, comes_back=True)
        self.script.connection.pause_reading("pressure")
        self.script.connection.resume_reading("pressure")
        self.script.send(self.publish(b"tele/c", 2) + self.publish(b"tele/d") + PINGRESP)
        self.script.clock.pump([0, 0])
        self.assertTrue(self.successResultOf(settled))
        self.script.clock.advance(ANSWER_S)
        self.assertEqual(self.topics, ["tele/b", "tele/d"])
        self.script.written()
        self.script.clock.advance(0)
        self.assertEqual(self.script.transport.value(), b"", "acknowledged")

    def test_stop_whose_connection_is_lost(self) -> None:
        """No later message of a session overtakes one that is left to it."""
        self.connect()
        self.script.connection.handle_delivered(5, comes_back=True)
        self.script.connection.pause_reading("pressure")
        self.script.send(self.publish(b"tele/b", 2) + self.publish(b"tele/d"))
        self.script.transport.lost(ConnectionDone())
        self.script.connection.resume_reading("pressure")
        self.script.clock.pump([0, 0])
        self.assertEqual(self.topics, ["tele/d"])

    def test_stop_of_what_nothing_keeps(self) -> None:
        """Without a session all is handled."""
        self.script = Scripted(self.protocol, persistent_session=False)
        self.connect()
        self.script.connection.handle_delivered(5, comes_back=True)
        self.script.clock.pump([0, 0])
        self.assertEqual(self.topics, ["tele/a"])

    def test_settle(self) -> None:
        """A reload does not wait for announcements: what the broker has sent is handled before."""
        self.connect()
        settled = self.script.connection.handle_delivered(5)
        self.script.send(PINGRESP)
        self.assertNoResult(settled)
        self.script.clock.pump([0, 0])
        self.assertTrue(self.successResultOf(settled))
        self.assertEqual(self.topics, ["tele/a"])

    def test_settle_right_after_a_subscription(self) -> None:
        """A stop within a reload: the SUBSCRIBE that is not sent yet begins no more waiting."""
        self.script.start()
        self.subscribe()
        settled = self.script.connection.handle_delivered(5)
        self.script.clock.advance(0)
        self.script.send(self.publish(b"tele/a") + PINGRESP)
        self.script.clock.pump([0, 0])
        self.assertEqual(self.topics, ["tele/a"])
        self.assertTrue(self.successResultOf(settled))

    def test_nothing_but_announcements_needs_it(self) -> None:
        """A connection without such a filter sends no ping of its own for it."""
        self.script.connection.subscribe("tele/+", 1, self.note)
        self.script.connection.startService()
        self.script.up()
        self.answer(1)
        self.assertEqual(self.script.written(), [])
        self.script.send(packet(0x30, b"\0\6tele/a" + (b"\0" if self.script.v5 else b"")))
        self.assertEqual(self.topics, ["tele/a"])


class Mqtt5ConnectionTests(ConnectionTests):
    """The same in MQTT 5."""

    protocol = "5"

    def test_the_broker_falls_silent(self) -> None:
        """What is still set aside then, as after many reloads, is handled."""
        self.patch(announcement_gate, "ANSWER_S", 1000.0)
        self.connect()
        self.script.send(self.publish(b"tele/b"))
        self.assertEqual(self.topics, [])
        self.script.clock.pump([5.0] * 20)
        self.assertEqual(self.topics, ["tele/a", "tele/b"])
        self.assertTrue(any("PINGREQ" in line for line in self.script.logged(LogLevel.warn)))

    def test_the_broker_says_why_it_ends_the_connection(self) -> None:
        """As with any other end, what was set aside is handled, and one cause is logged."""
        self.connect()
        self.script.send(self.publish(b"tele/b") + packet(0xE0, b"\x8b"))
        self.script.clock.pump([0, 0])
        self.assertEqual(self.topics, ["tele/a", "tele/b"])
        [line] = self.script.logged(LogLevel.warn)
        self.assertIn("shutting down", line)
