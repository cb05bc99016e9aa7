"""A burst is read before it is decoded; nothing of it is lost, reordered or kept without bound."""

from __future__ import annotations

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import Logger

from metrics_agent.transports.mqtt.inflow import (
    BURST_PAUSE_S,
    BURST_S,
    FULL_READ_BYTES,
    READ_AHEAD_BYTES,
    Inflow,
)
from metrics_agent.transports.mqtt.splitter import PacketSplitter
from tests.transports.mqtt.scripted import (
    PINGRESP,
    ConnectedCase,
    Scripted,
    connack,
    puback,
    publish,
)

PAYLOAD_BYTES = 1021
FEED = PacketSplitter.feed
MESSAGES = FULL_READ_BYTES // (PAYLOAD_BYTES + 6) + 1
"""In a read that is full."""


def message(number: int) -> bytes:
    """Write a PUBLISH that says which it is."""
    return publish(False, b"a", str(number).encode().ljust(PAYLOAD_BYTES, b"."))


def retained(number: int) -> bytes:
    """Write the same as one that the broker had stored."""
    return b"\x31" + message(number)[1:]


def full_read(first: int) -> bytes:
    """Write as many as fill a read."""
    return b"".join(message(first + index) for index in range(MESSAGES))


class ReadAheadTests(ConnectedCase):
    """A connection and a broker that writes much at once."""

    @property
    def numbers(self) -> list[int]:
        lines = b"".join(batch.data for batch in self.script.batches).splitlines()
        return [int(line.split(b" ")[1].rstrip(b".")) for line in lines]

    def turns(self, count: int) -> None:
        """Run what is due, as a reactor does: what it sets for at once waits for the next turn."""
        clock = self.script.clock
        for _ in range(count):
            for call in [call for call in clock.getDelayedCalls() if call.time <= clock.seconds()]:
                if call.active():
                    clock.calls.remove(call)
                    call.called = 1
                    call.func(*call.args, **call.kw)

    def test_a_full_read_waits_for_the_next(self) -> None:
        """As long as reads are full nothing is decoded, then one read a turn."""
        for start in (0, MESSAGES):
            self.script.send(full_read(start))
            self.turns(1)
            self.assertEqual(self.numbers, [])
        self.assertTrue(self.reading)
        self.script.send(message(2 * MESSAGES))
        for done in (MESSAGES, 2 * MESSAGES, 2 * MESSAGES + 1):
            self.turns(1)
            self.assertEqual(self.numbers, list(range(done)))
        self.script.send(message(2 * MESSAGES + 1))
        self.assertEqual(len(self.numbers), 2 * MESSAGES + 2, "nothing waits any more")

    def test_a_burst_of_retained_messages(self) -> None:
        """It is read until the broker pauses, however small the reads are."""
        for number in range(10):
            self.script.send(retained(number))
            self.script.clock.advance(BURST_PAUSE_S)
        self.assertEqual(self.numbers, [])
        self.script.clock.advance(BURST_PAUSE_S)
        self.assertEqual(self.numbers, list(range(10)))
        self.script.send(message(10))
        self.assertEqual(len(self.numbers), 11, "nothing waits any more")

    def test_a_burst_at_qos_1(self) -> None:
        """What was stored at QoS 1 begins one as well."""
        stored = publish(False, b"a", b"7", 5)
        self.script.send(bytes([stored[0] | 1]) + stored[1:])
        self.assertEqual(self.numbers, [])
        self.script.clock.pump([BURST_PAUSE_S] * 2)
        self.assertEqual(self.numbers, [7])

    def test_live_messages_after_a_burst(self) -> None:
        """They come without a pause; nothing waits for one for long."""
        self.script.send(retained(0))
        for number in range(1, 1000):
            self.script.send(message(number))
            self.script.clock.advance(0.001)
            waits = number + 1 - len(self.numbers)
            self.assertLessEqual(waits, (BURST_S + BURST_PAUSE_S) / 0.001 + 1)
        self.assertEqual(self.numbers, list(range(1000)))

    def test_a_burst_that_does_not_end(self) -> None:
        """Retained messages without a pause do not wait longer either."""
        for number in range(1000):
            self.script.send(retained(number))
            self.script.clock.advance(0.001)
            waits = number + 1 - len(self.numbers)
            self.assertLessEqual(waits, (BURST_S + BURST_PAUSE_S) / 0.001 + 1)

    def test_a_second_burst(self) -> None:
        """It has its own time."""
        for start in (0, 40):
            for number in range(start, start + 5):
                self.script.send(retained(number))
                self.script.clock.advance(0.001)
            self.assertEqual(len(self.numbers), 5 if start else 0)
            self.script.clock.advance(1)
        self.assertEqual(self.numbers, [*range(5), *range(40, 45)])

    def test_a_burst_is_bounded(self) -> None:
        """When as much waits as may, the pause is not waited for."""
        self.script.send(retained(0))
        number = 1
        while self.reading:
            self.script.send(message(number))
            number += 1
        self.turns(1)
        self.assertTrue(self.reading)
        self.turns(2 * READ_AHEAD_BYTES // FULL_READ_BYTES)
        self.assertEqual(self.numbers, list(range(number)))

    def test_what_looks_like_the_beginning_of_a_burst(self) -> None:
        """The rest of a message waits for nothing, whatever its first byte is."""
        data = message(1)
        middle = len(data) - PAYLOAD_BYTES
        self.assertEqual(data[middle], retained(0)[0])
        self.script.send(data[:middle])
        self.script.send(data[middle:])
        self.assertEqual(self.numbers, [1])

    def test_small_reads_do_not_put_it_off(self) -> None:
        """Where little comes with each turn, a read is decoded with each turn."""
        self.script.send(full_read(0))
        self.script.send(message(MESSAGES))
        self.turns(1)
        self.script.send(message(MESSAGES + 1))
        self.assertEqual(len(self.numbers), MESSAGES)

    def test_bounded(self) -> None:
        """The socket is left alone while the limit is reached, and no longer."""
        reads = 0
        while self.reading:
            self.turns(1)
            self.script.send(full_read(reads * MESSAGES))
            reads += 1
            self.assertLessEqual(reads * FULL_READ_BYTES, READ_AHEAD_BYTES)
        self.assertEqual(self.numbers, [])
        self.turns(1)
        self.assertTrue(self.reading)
        self.turns(reads + 1)
        self.assertEqual(self.numbers, list(range(reads * MESSAGES)))

    def test_pause(self) -> None:
        """Nothing is decoded during a pause, all of it after."""
        self.script.send(full_read(0))
        self.script.connection.pause_reading("pressure")
        self.script.send(full_read(MESSAGES))
        self.turns(5)
        self.assertEqual(self.numbers, [])
        self.script.connection.resume_reading("pressure")
        self.assertTrue(self.reading)
        self.turns(3)
        self.assertEqual(self.numbers, list(range(2 * MESSAGES)))

    def test_the_limit_during_a_pause(self) -> None:
        """The end of a pause does not fill what is full."""
        self.script.connection.pause_reading("pressure")
        reads = READ_AHEAD_BYTES // FULL_READ_BYTES + 2
        for index in range(reads):
            self.script.send(full_read(index * MESSAGES))
        self.script.connection.resume_reading("pressure")
        self.assertFalse(self.reading)
        self.turns(reads)
        self.assertTrue(self.reading)
        self.assertEqual(self.numbers, list(range(reads * MESSAGES)))

    def test_settle(self) -> None:
        """The barrier is passed when what was read before it is handled."""
        passed = self.script.connection.handle_delivered(5)
        self.script.send(full_read(0))
        self.script.send(PINGRESP)
        self.turns(1)
        self.assertNoResult(passed)
        self.turns(1)
        self.assertTrue(self.successResultOf(passed))

    def settle_late(self, rest_s: float = 1.0) -> Deferred[None]:
        """Wait for a barrier until the time is up, in which the reactor has one turn."""
        passed = self.script.connection.handle_delivered(5, comes_back=True)
        self.script.clock.rightNow += 5
        self.turns(1)
        self.assertFalse(self.successResultOf(passed))
        return self.script.connection.read_no_more(rest_s)

    def test_what_came_behind_the_answer(self) -> None:
        """It is handed on before nothing is read any more; usually there is none."""
        connection = self.script.connection
        passed = connection.handle_delivered(5)
        self.script.send(full_read(0) + PINGRESP)
        for index in range(1, 4):
            self.script.send(full_read(index * MESSAGES))
        self.turns(2)
        rest = connection.read_no_more(1.0)
        self.assertFalse(self.reading)
        self.assertNoResult(rest)
        self.turns(5)
        self.script.clock.advance(0.01)
        self.successResultOf(rest)
        self.assertTrue(self.successResultOf(passed))
        self.assertEqual(self.numbers, list(range(4 * MESSAGES)))
        self.successResultOf(connection.read_no_more(1.0))

    def test_the_rest_is_handed_on(self) -> None:
        """Once a barrier is late nothing more is read, but what was read is handed on."""
        for index in range(3):
            self.script.send(full_read(index * MESSAGES))
        rest = self.settle_late()
        self.assertFalse(self.reading)
        self.script.send(message(3 * MESSAGES))  # TLS had it at hand
        self.turns(3)
        self.script.clock.rightNow += 0.01
        self.assertNoResult(rest)
        self.turns(2)
        self.script.clock.advance(0.01)
        self.successResultOf(rest)
        self.assertEqual(self.numbers, list(range(3 * MESSAGES + 1)))
        self.assertFalse(self.reading)
        self.assertFalse(self.script.connection.hears)

    def test_a_barrier_in_the_rest(self) -> None:
        """It passes, and nothing is unread: nothing is logged."""
        self.script.send(full_read(0))
        self.script.send(full_read(MESSAGES) + PINGRESP)
        self.script.send(full_read(2 * MESSAGES))
        rest = self.settle_late()
        self.turns(4)
        self.assertNoResult(rest)
        self.script.clock.advance(0.01)
        self.successResultOf(rest)
        self.assertEqual(self.numbers, list(range(3 * MESSAGES)))
        self.assertEqual(len(self.script.logged()), 1)

    def test_the_rest_has_a_limit(self) -> None:
        """Also where the reactor has turns for nothing else."""
        for index in range(5):
            self.script.send(full_read(index * MESSAGES))
        rest = self.settle_late(0.25)
        for _ in range(2):
            self.assertNoResult(rest)
            # Much of it in a standstill.
            self.script.clock.rightNow += 10
            self.turns(1)
        self.assertNoResult(rest)
        self.script.clock.rightNow += 0.06
        self.turns(1)
        self.successResultOf(rest)
        self.assertIn("Not all", self.script.logged()[1])
        self.assertLess(len(self.numbers), 4 * MESSAGES)

    def test_a_rest_that_is_kept_back(self) -> None:
        """It is not waited for, from the beginning or from a pause on."""
        self.script.send(full_read(0))
        self.script.connection.pause_reading("module")
        self.successResultOf(self.settle_late())
        self.script.connection.resume_reading("module")
        self.script.send(full_read(MESSAGES))
        rest = self.settle_late()
        self.assertNoResult(rest)
        self.script.connection.pause_reading("stop")
        self.script.clock.advance(0.01)
        self.successResultOf(rest)

    def test_the_rest_of_a_connection_that_is_lost(self) -> None:
        """It is waited for as well; nothing is unread that could be."""
        for index in range(3):
            self.script.send(full_read(index * MESSAGES))
        self.transport.lost(ConnectionDone())
        rest = self.settle_late()
        self.assertNoResult(rest)
        self.turns(3)
        self.script.clock.advance(0.01)
        self.successResultOf(rest)
        self.assertEqual(self.numbers, list(range(3 * MESSAGES)))
        self.assertNotIn("Not all", "".join(self.script.logged()))

    def test_a_rest_that_is_left_is_logged(self) -> None:
        """Also of a connection that is lost, or that has answered; it came before the barrier."""
        for lost, answers in ((False, False), (True, False), (False, True)):
            script = Scripted()
            transport = script.start()
            for index in range(3):
                script.send(full_read(index * MESSAGES))
            passed = script.connection.handle_delivered(5)
            if lost:
                transport.lost(ConnectionDone())
            if answers:
                script.send(PINGRESP)
                for _ in range(8):
                    script.clock.advance(0)
                self.successResultOf(passed)
                script.send(full_read(0) + full_read(MESSAGES))
                script.send(full_read(0))
            script.connection.pause_reading("module")
            script.clock.rightNow += 5
            script.clock.advance(0)
            self.successResultOf(passed)
            self.assertEqual(script.logged()[1:], [])
            self.successResultOf(script.connection.read_no_more(1))
            [line] = script.logged()[1:]
            self.assertIn("had to send was handled within 5 s, and its connection ends", line)

    def test_a_standstill_while_a_barrier_is_awaited(self) -> None:
        """It is waited as long again, once, so that what is in the socket is read."""
        passed = self.script.connection.handle_delivered(5)
        self.script.clock.advance(8)
        self.assertNoResult(passed)
        self.script.send(PINGRESP)
        self.assertTrue(self.successResultOf(passed))
        passed = self.script.connection.handle_delivered(5)
        self.script.clock.advance(8)
        self.script.clock.advance(2.9)
        self.assertNoResult(passed)
        self.script.clock.advance(3)
        self.assertFalse(self.successResultOf(passed))

    def test_a_connection_that_is_not_accepted_yet(self) -> None:
        """It ends at once, since whatever it brought later would be neither handled nor logged."""
        script = Scripted()
        script.connection.startService()
        self.assertFalse(self.successResultOf(script.connection.handle_delivered(5)))
        script.clock.advance(600)
        self.assertFalse(script.connection.connected)
        self.assertEqual(len(script.attempts), 1)

    def test_a_barrier_that_is_late_is_logged(self) -> None:
        """Once, with what becomes of messages that are unread."""
        for persistent, comes_back, unread in (
            (True, True, "the rest at QoS 0 is lost, at QoS 1 it comes again"),
            (True, False, "the rest is lost"),
            (False, True, "the rest is lost"),
        ):
            script = Scripted(persistent_session=persistent)
            script.start()
            script.connection.handle_delivered(2.5, comes_back=comes_back)
            script.send(message(1))
            script.clock.advance(2.5)
            self.assertEqual(len(script.logged()), 1)
            self.successResultOf(script.connection.read_no_more(1))
            [line] = script.logged()[1:]
            self.assertEqual(
                line,
                "Not all that broker tcp://broker:1883 had to send was handled within 2.5 s, and "
                f"its connection ends: {unread}.",
            )

    def test_a_silent_broker(self) -> None:
        """Nothing is known of messages that are unread, and nothing is logged."""
        self.successResultOf(self.settle_late())
        self.assertEqual(len(self.script.logged()), 1)

    def test_a_stop_after_a_late_barrier_of_a_reload(self) -> None:
        """It reads on. When its barrier passes nothing is logged, kept back or waited for."""
        self.successResultOf(self.settle_late())
        self.assertFalse(self.reading)
        passed = self.script.connection.handle_delivered(5, comes_back=True)
        self.assertTrue(self.reading)
        logged = self.script.logged()
        self.script.send(message(1) + PINGRESP + PINGRESP)
        self.assertTrue(self.successResultOf(passed))
        self.assertTrue(self.reading)
        self.assertEqual(self.script.logged(), logged)

    def test_a_stop_before_the_late_barrier_of_a_reload(self) -> None:
        """When the time of the reload is up the stop still reads, for as long as it may."""
        of_reload = self.script.connection.handle_delivered(1)
        self.script.clock.advance(0.5)
        of_stop = self.script.connection.handle_delivered(5, comes_back=True)
        self.script.send(message(1))
        self.script.clock.advance(0.5)
        self.assertFalse(self.successResultOf(of_reload))
        self.assertTrue(self.reading)
        self.assertEqual(len(self.script.logged()), 1)
        self.script.clock.advance(4.5)
        self.assertFalse(self.successResultOf(of_stop))
        self.successResultOf(self.script.connection.read_no_more(1))
        self.assertFalse(self.reading)
        self.assertEqual(len(self.script.logged()), 2)

    def test_a_stop_during_the_rest_of_a_reload(self) -> None:
        """It is not said that the connection is read no more while it is."""
        for index in range(3):
            self.script.send(full_read(index * MESSAGES))
        of_reload = self.settle_late()
        self.assertFalse(self.reading)
        of_stop = self.script.connection.handle_delivered(5, comes_back=True)
        self.turns(3)
        self.script.clock.advance(0.01)
        self.successResultOf(of_reload)
        self.assertTrue(self.reading)
        self.assertEqual(len(self.script.logged()), 1)
        self.script.send(PINGRESP + PINGRESP)
        self.assertTrue(self.successResultOf(of_stop))

    def test_the_rest_under_pressure(self) -> None:
        """It is handed on; what is unread is logged, though nothing has come meanwhile."""
        self.script.send(full_read(0))
        self.script.connection.pause_reading("pressure")
        self.script.connection.handle_delivered(5)
        self.script.clock.advance(5)
        rest = self.script.connection.read_no_more(1, {"pressure"})
        self.assertFalse(self.reading)
        self.turns(3)
        self.script.clock.advance(0.01)
        self.successResultOf(rest)
        self.assertEqual(self.numbers, list(range(MESSAGES)))
        self.assertEqual(len(self.script.logged()), 2)

    def test_connection_made_after_a_late_barrier(self) -> None:
        """It is not read either."""
        self.successResultOf(self.settle_late())
        self.transport.lost(ConnectionDone())
        self.script.clock.advance(120)
        self.transport = self.script.up()
        self.assertFalse(self.reading)

    def test_acknowledged(self) -> None:
        """At QoS 1 as ever: in order, when it is written."""
        self.script.send(full_read(0) + publish(False, b"a", b"98", 8))
        self.script.send(publish(False, b"a", b"99", 9))
        self.turns(3)
        for batch in self.script.batches:
            batch.settle()
        self.turns(1)
        self.assertEqual(self.transport.value(), puback(8, 9))

    def test_connection_lost(self) -> None:
        """What was read before the end is handled before the next attempt."""
        self.script.send(full_read(0))
        self.script.send(full_read(MESSAGES))
        passed = self.script.connection.handle_delivered(5)
        self.transport.lost(ConnectionDone())
        self.assertEqual(self.script.logged()[1:], [])
        self.turns(4)
        self.assertEqual(self.numbers, list(range(2 * MESSAGES)))
        self.assertFalse(self.successResultOf(passed))
        self.assertIn("the broker closed the connection", self.script.logged()[1])
        self.script.clock.advance(120)
        self.assertEqual(len(self.script.attempts), 2)

    def test_connection_lost_and_garbage(self) -> None:
        """What cannot be read ends a connection that is gone as well."""
        self.script.send(full_read(0))
        self.script.send(full_read(MESSAGES) + b"\x30\xff\xff\xff\xff")
        self.script.send(full_read(2 * MESSAGES))
        self.transport.lost(ConnectionDone())
        self.turns(10)
        self.assertEqual(self.numbers, list(range(2 * MESSAGES)))
        self.assertIn("more than 4 bytes", self.script.logged()[1])

    def test_garbage(self) -> None:
        """What comes after it is not read."""
        self.script.send(full_read(0) + b"\x30\xff\xff\xff\xff")
        self.script.send(full_read(MESSAGES))
        self.turns(10)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.numbers, list(range(MESSAGES)))

    def test_stop_after_the_connection_was_lost(self) -> None:
        """Stopping does not wait for a connection that is gone; `stop` judges."""
        self.script.send(full_read(0))
        self.transport.lost(ConnectionDone())
        done = self.script.connection.stopService()
        self.successResultOf(done)

    def test_lost_and_paused(self) -> None:
        """A pause meanwhile holds what was read, and then it is handled."""
        self.script.send(full_read(0))
        self.transport.lost(ConnectionDone())
        self.script.connection.pause_reading("pressure")
        self.turns(5)
        self.script.connection.resume_reading("pressure")
        self.turns(5)
        self.assertEqual(self.numbers, list(range(MESSAGES)))
        self.assertIn("the broker closed the connection", self.script.logged()[1])

    def test_lost_for_long(self) -> None:
        """Who asks meanwhile learns that there is no connection; it has proved nothing."""
        self.script.send(full_read(0))
        self.script.connection.pause_reading("pressure")
        self.transport.lost(ConnectionDone())
        self.script.clock.advance(3600)
        self.assertFalse(self.script.connection.connected)
        self.assertFalse(self.script.connection.publish("a", b""))
        self.assertFalse(self.script.connection._reconnecting._proved_itself)
        self.script.connection.resume_reading("pressure")
        self.turns(2)
        self.assertEqual(self.numbers, list(range(MESSAGES)))

    def test_lost_with_what_came_with_its_beginning(self) -> None:
        """What a pause held of the read that began it is not lost with the connection."""
        for data in (connack(False) + message(0), connack(False) + full_read(0)):
            self.stop()
            self.script = Scripted()
            self.script.connection.subscribe("a", 1, self.script.lines_of)
            self.script.connection.pause_reading("pressure")
            self.script.connection.startService()
            self.transport = self.script.open()
            self.script.send(data)
            self.turns(1)
            self.transport.lost(ConnectionDone())
            self.script.connection.resume_reading("pressure")
            self.turns(2)
            self.assertEqual(self.numbers[:1], [0])
            self.assertIn("the broker closed the connection", self.script.logged()[1])

    def test_lost_before_it_was_accepted(self) -> None:
        """What lets us in is among what is handled then; no timer is left, `stop` judges."""
        self.stop()
        self.script = Scripted()
        self.script.connection.startService()
        self.transport = self.script.open()
        self.script.send(connack(False) + full_read(0))
        self.transport.lost(ConnectionDone())
        self.turns(2)
        self.assertFalse(self.script.connection.connected)

    def test_small_pieces(self) -> None:
        """TLS has more pieces at hand than a turn would take one by one."""
        self.script.connection.pause_reading("pressure")
        for number in range(200):
            self.script.send(message(number))
        self.script.connection.resume_reading("pressure")
        self.turns(4)
        self.assertEqual(self.numbers, list(range(200)))

    def test_a_fault_of_our_own(self) -> None:
        """It costs the connection, also one that is lost already."""
        self.patch(PacketSplitter, "feed", mock.Mock(side_effect=MemoryError))
        for lost in (False, True):
            self.script.send(full_read(0))
            if lost:
                self.transport.lost(ConnectionDone())
            self.turns(2)
            self.assertIn("a fault of our own", " ".join(self.script.logged()[1:3]))
            self.assertEqual(len(self.script.clock.getDelayedCalls()), 1, "the next attempt")
            self.stop()
            with mock.patch.object(PacketSplitter, "feed", FEED):
                self.setUp()

    def test_fault_outside_of_the_decoder_ends_the_connection(self) -> None:
        """A turn that raises before anything is decoded costs the connection, lost or not.

        Seen with no memory left: the loop had ended without a word and no other connection came.
        """
        for lost in (False, True):
            self.script.send(full_read(0))
            self.script.send(message(1))
            with mock.patch.object(Inflow, "_next_turn_s", mock.Mock(side_effect=MemoryError)):
                if lost:
                    self.transport.lost(ConnectionDone())
                self.turns(2)
            self.assertIn("a fault of our own", self.script.logged()[1])
            self.assertEqual(len(self.script.clock.getDelayedCalls()), 1, "the next attempt")
            self.stop()
            self.setUp()

    def test_log_that_fails_is_the_reactors_affair(self) -> None:
        """The next attempt is planned before anything is logged."""
        self.script.send(full_read(0))
        broken = mock.Mock(side_effect=MemoryError)
        with (
            mock.patch.object(Inflow, "_next_turn_s", broken),
            mock.patch.object(Logger, "emit", broken),
            self.assertRaises(MemoryError),
        ):
            self.turns(2)
        self.assertEqual(len(self.script.clock.getDelayedCalls()), 1, "the next attempt")

    def test_stop_out_of_a_delivery(self) -> None:
        """The end is reported once."""
        self.script.send(full_read(0))
        self.transport.lost(ConnectionDone())
        link = self.transport.protocol
        ended = mock.Mock(wraps=link._owner.link_ended)
        link._owner = mock.Mock(wraps=link._owner, link_ended=ended)
        self.script.connection._intake._write = lambda _: self.script.connection.stopService()
        self.turns(3)
        self.assertEqual(ended.call_count, 1)

    def test_stop_with_much_ahead(self) -> None:
        """What no one waited for is dropped, and the socket read until the broker closes."""
        self.transport.hangs_at_close = True
        for index in range(READ_AHEAD_BYTES // FULL_READ_BYTES + 1):
            self.script.send(full_read(index * MESSAGES))
        self.assertFalse(self.reading)
        self.script.connection.stopService()
        self.assertTrue(self.reading)
        self.assertEqual(self.numbers, [])
        self.transport.lost(ConnectionDone())

    @settings(max_examples=50)
    @given(
        st.lists(
            st.one_of(
                st.integers(1, 3 * FULL_READ_BYTES),
                st.sampled_from(["turn", "wait", "pause", "resume", FULL_READ_BYTES]),
            ),
            max_size=20,
        )
    )
    def test_any_reads(self, steps: list[int | str]) -> None:
        """However the bytes are cut and whatever comes between: the same lines in order."""
        script = self.script = Scripted()
        script.connection.subscribe("a", 1, script.lines_of)
        script.start()
        data = b"".join((retained if number % 7 < 3 else message)(number) for number in range(400))
        position = 0
        for step in [*steps, "resume"]:
            if step == "turn":
                script.clock.advance(0)
            elif step == "wait":
                script.clock.advance(BURST_PAUSE_S)
            elif step == "pause":
                script.connection.pause_reading("pressure")
            elif step == "resume":
                script.connection.resume_reading("pressure")
            elif piece := data[position : position + step]:
                script.send(piece)
                position += len(piece)
        if data[position:]:
            script.send(data[position:])
        script.clock.advance(1)
        self.turns(2 * len(steps) + 5)
        self.assertEqual(self.numbers, list(range(400)))
        script.connection.stopService()
