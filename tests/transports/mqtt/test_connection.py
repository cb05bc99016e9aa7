"""One connection, in both versions of the protocol, against a broker played by the test."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.limits import REMEMBERED_FILTERS
from metrics_agent.transports.mqtt import subscriber
from metrics_agent.transports.mqtt.engine import UNRELEASED_BYTES
from metrics_agent.transports.outage import PROVEN_S
from metrics_agent.transports.write_gate import STUCK_S
from tests.transports.mqtt.scripted import (
    NOW_NS,
    PINGRESP,
    Scripted,
    connack,
    packet,
    puback,
    publish,
    suback,
    unsuback,
)

SUBSCRIBE = 0x82
UNSUBSCRIBE = 0xA2
PINGREQ = (0xC0, b"")


class Cases:
    """What holds for both versions."""

    protocol = "3.1.1"

    def make(self, **changes) -> Scripted:
        script = Scripted(self.protocol, **changes)
        self.addCleanup(self._stop, script)
        return script

    def _stop(self, script: Scripted) -> None:
        done = script.connection.stopService()
        script.clock.advance(1)
        self.successResultOf(done)
        self.assertEqual(script.clock.getDelayedCalls(), [], "a timer is left")

    # Subscribing.

    def test_subscribes_when_accepted(self) -> None:
        """A filter asked for before the start is subscribed once the broker has accepted."""
        script = self.make()
        script.connection.subscribe("tele/+/SENSOR", 1, script.lines_of)
        script.connection.startService()
        script.open()
        self.assertEqual([first for first, _ in script.written()], [0x10])
        script.send(connack(script.v5))
        self.assertEqual(script.filters(script.written(), SUBSCRIBE), ["tele/+/SENSOR"])
        self.assertTrue(script.connection.connected)

    def test_subscriptions_of_a_turn_share_packets_of_eight(self) -> None:
        """Twenty filters of one turn go out in three packets."""
        script = self.make()
        script.start()
        names = [f"a/{number}" for number in range(20)]
        for name in names:
            script.connection.subscribe(name, 0, script.lines_of)
        self.assertEqual(script.written(), [])
        script.clock.advance(0)
        packets = script.written()
        self.assertEqual(len(packets), 3)
        self.assertEqual(script.filters(packets, SUBSCRIBE), names)

    def test_a_second_subscription_is_sent_again(self) -> None:
        """A new receiver of a known filter makes the broker send its retained messages again."""
        script = self.make()
        script.connection.subscribe("a", 1, script.lines_of)
        script.start()
        script.connection.subscribe("a", 0, script.lines_of)
        script.clock.advance(0)
        packets = script.written()
        self.assertEqual(script.filters(packets, SUBSCRIBE), ["a"])
        self.assertEqual(packets[0][1][-1] & 3, 1, "at the highest QoS that is wanted")

    def test_cancel_does_not_unsubscribe_but_reconcile_does(self) -> None:
        """A filter is given up at reconcile, when no one has asked for it again."""
        script = self.make()
        old = script.connection.subscribe("old", 1, script.lines_of)
        kept = script.connection.subscribe("kept", 1, script.lines_of)
        script.start()
        old.cancel()
        kept.cancel()
        script.connection.subscribe("kept", 1, script.lines_of)
        script.clock.advance(0)
        self.assertEqual(script.filters(script.written(), UNSUBSCRIBE), [])
        script.connection.unsubscribe_unwanted()
        script.clock.advance(0)
        self.assertEqual(script.filters(script.written(), UNSUBSCRIBE), ["old"])
        self.assertIn(
            "Unsubscribed from old at tcp://broker:1883: no module wants it any more.",
            script.logged(LogLevel.info),
        )

    def test_nothing_is_given_up_while_modules_change(self) -> None:
        """A filter cancelled after a reconcile waits for the next one: its module may be back."""
        script = self.make()
        restarting = script.connection.subscribe("restarting", 1, script.lines_of)
        script.start()
        script.connection.unsubscribe_unwanted()
        script.clock.advance(0)
        restarting.cancel()
        script.connection.subscribe("other", 1, script.lines_of)
        script.clock.advance(0)
        self.assertEqual(script.filters(script.written(), UNSUBSCRIBE), [])

    def test_a_filter_that_another_covers_is_given_up(self) -> None:
        """Some brokers send a message for each filter it matches: the narrow one goes, at once.

        But not before the broker has granted the wide one, or there might be a gap.
        """
        script = self.make()
        narrow = script.connection.subscribe("tele/+/SENSOR", 1, script.lines_of)
        script.start()
        script.connection.subscribe("+/+/SENSOR", 1, script.lines_of)
        narrow.cancel()
        script.clock.advance(0)
        [(first, body)] = script.written()
        self.assertEqual(first, SUBSCRIBE)
        script.send(suback(script.v5, int.from_bytes(body[:2], "big"), 1))
        script.clock.advance(0)
        self.assertEqual(script.filters(script.written(), UNSUBSCRIBE), ["tele/+/SENSOR"])
        self.assertEqual(script.logged(LogLevel.info), ["Connected to tcp://broker:1883."])

    def test_filters_without_wildcards_are_not_compared(self) -> None:
        """They cover none; with thousands of entities a reload would compare each with each."""
        compared: list[tuple[str, str]] = []
        covers = subscriber.covers
        self.patch(subscriber, "covers", lambda *both: compared.append(both) or covers(*both))
        script = self.make()
        gone = [script.connection.subscribe(f"a/{i}", 1, script.lines_of) for i in range(9)]
        script.connection.subscribe("b", 1, script.lines_of)
        script.start()
        for packet_id, _ in enumerate(range(0, 10, 8), 1):
            script.send(suback(script.v5, packet_id, *[1] * 8))
        for each in gone:
            each.cancel()
        script.clock.advance(0)
        self.assertEqual(compared, [])

    def test_a_filter_is_kept_when_the_wider_one_is_refused(self) -> None:
        """A login that may read the narrow filter only does not lose that."""
        script = self.make()
        narrow = script.connection.subscribe("tele/+/SENSOR", 1, script.lines_of)
        script.start()
        script.connection.subscribe("+/+/SENSOR", 1, script.lines_of)
        narrow.cancel()
        script.clock.advance(0)
        [(_, body)] = script.written()
        script.send(suback(script.v5, int.from_bytes(body[:2], "big"), 0x80))
        script.clock.advance(0)
        self.assertEqual(script.written(), [])

    def test_an_unsubscription_is_sent_once(self) -> None:
        """While the answer to UNSUBSCRIBE is awaited, and after it, it is not sent again."""
        script = self.make()
        old = script.connection.subscribe("old", 1, script.lines_of)
        script.start()
        old.cancel()
        script.connection.unsubscribe_unwanted()
        script.clock.advance(0)
        [(_, body)] = script.written()
        script.connection.unsubscribe_unwanted()
        script.clock.advance(0)
        self.assertEqual(script.written(), [])
        script.send(unsuback(script.v5, int.from_bytes(body[:2], "big")))
        script.connection.unsubscribe_unwanted()
        script.clock.advance(0)
        self.assertEqual(script.written(), [])

    def test_refused_filters_are_named_once(self) -> None:
        """SUBACK failures are reported in one line, and not again after a reconnect."""
        script = self.make()
        for name in ("good", "bad", "worse"):
            script.connection.subscribe(name, 1, script.lines_of)
        script.connection.startService()
        for _ in range(2):
            script.up()
            _connect, (_, body) = script.written()
            refusals = (0x87, 0x8F) if script.v5 else (0x80, 0x80)
            script.send(suback(script.v5, int.from_bytes(body[:2], "big"), 1, *refusals))
            script.clock.advance(PROVEN_S)
            script.transport.lost(ConnectionDone())
            script.clock.advance(1)
        [line] = script.logged(LogLevel.error)
        self.assertIn("tcp://broker:1883 refuses to subscribe us to bad (", line)
        self.assertIn("worse (", line)
        self.assertNotIn("good", line)

    def test_filter_without_a_code_in_the_answer(self) -> None:
        """It was not granted: that is logged, and it is asked for again; more codes are ignored."""
        for codes in ((), (0,), (0, 0, 0, 0)):
            script = self.make()
            for name in ("a", "b"):
                script.connection.subscribe(name, 0, script.lines_of)
            script.connection.startService()
            script.up()
            [*_connect, (_kind, body)] = script.written()
            script.send(suback(script.v5, int.from_bytes(body[:2], "big"), *codes))
            left_out = ["a", "b"][len(codes) :]
            errors = script.logged(LogLevel.error)
            self.assertEqual(len(errors), bool(left_out))
            script.clock.advance(1)
            again = [each for each in script.written() if each[0] == SUBSCRIBE]
            self.assertEqual(sorted(script.filters(again, SUBSCRIBE)), left_out)
            for name in left_out:
                self.assertIn(f"{name} (left out of its answer)", errors[0])

    def test_what_is_noted(self) -> None:
        """Pending until the broker has answered for each filter; then what it refuses, if any."""
        for protocol in ("3.1.1", "5"):
            for code, problem in (
                (0, ""),
                (0x80, "refuses to subscribe us to a (refused)"),
            ):
                script = Scripted(protocol)
                script.connection.subscribe("a", 0, script.lines_of)
                script.connection.startService()
                script.up()
                [*_connect, (_kind, body)] = script.written()
                self.assertEqual({each for _, each in script.noted}, {None})
                script.send(suback(script.v5, int.from_bytes(body[:2], "big"), code))
                self.assertEqual(script.noted[-1], ("tcp://broker:1883", problem))
                script.transport.lost(ConnectionDone())
                self.assertIn("lost the connection: ", script.noted[-1][1] or "")

    def test_no_connection_is_noted(self) -> None:
        """With the cause."""
        script = Scripted()
        script.connection.startService()
        script.attempts[-1].fail(ConnectionRefusedError())
        self.assertIn("cannot connect: connection refused", script.noted[-1][1] or "")

    def test_subscribed_again_after_reconnect(self) -> None:
        """Everything wanted is subscribed on each connection, also where a session is present."""
        script = self.make()
        script.connection.subscribe("a", 1, script.lines_of)
        script.start()
        script.transport.lost(ConnectionLost())
        script.clock.advance(1)
        script.up(session=True)
        self.assertEqual(script.filters(script.written(), SUBSCRIBE), ["a"])
        self.assertEqual(len(script.attempts), 2)

    def test_a_filter_that_is_wanted_again_while_it_is_given_up(self) -> None:
        """The answer to the UNSUBSCRIBE is not about it: it can be given up another time."""
        path = Path(self.mktemp())
        script = self.make(state_path=path)
        first = script.connection.subscribe("a", 1, script.lines_of)
        script.start()
        first.cancel()
        script.connection.unsubscribe_unwanted()
        script.clock.advance(0)
        [(_, body)] = script.written()
        again = script.connection.subscribe("a", 1, script.lines_of)
        script.clock.advance(0)
        self.assertEqual(script.filters(script.written(), SUBSCRIBE), ["a"])
        script.send(unsuback(script.v5, int.from_bytes(body[:2], "big")))
        self.assertEqual(json.loads(path.read_text())["filters"], ["a"])
        again.cancel()
        script.connection.unsubscribe_unwanted()
        script.clock.advance(0)
        self.assertEqual(script.filters(script.written(), UNSUBSCRIBE), ["a"])

    def test_filters_of_a_former_process_are_given_up(self) -> None:
        """What the last process subscribed in a persistent session is unsubscribed by this one."""
        path = Path(self.mktemp())
        first = self.make(state_path=path)
        first.connection.subscribe("gone", 1, first.lines_of)
        first.connection.subscribe("kept", 1, first.lines_of)
        first.start()
        second = self.make(state_path=path)
        second.connection.subscribe("kept", 1, second.lines_of)
        second.connection.unsubscribe_unwanted()
        second.connection.startService()
        second.up(session=True)
        self.assertEqual(second.filters(second.written(), UNSUBSCRIBE), ["gone"])
        third = self.make(state_path=path)
        third.connection.unsubscribe_unwanted()
        third.connection.startService()
        third.up(session=False)
        self.assertEqual(third.filters(third.written(), UNSUBSCRIBE), [])

    def test_a_state_file_of_any_number_of_filters(self) -> None:
        """Of a file that someone filled no more filters are given up than devices can have."""
        path = Path(self.mktemp())
        path.write_text(json.dumps({"filters": [f"x/{number}" for number in range(95_000)]}))
        script = self.make(state_path=path)
        script.connection.unsubscribe_unwanted()
        script.connection.startService()
        script.up(session=True)
        packets = script.written()
        self.assertEqual(len(script.filters(packets, UNSUBSCRIBE)), REMEMBERED_FILTERS)

    def test_a_bad_state_file_is_told_and_survived(self) -> None:
        """A state file that is garbage, and one that cannot be written, cost a warning each."""
        path = Path(self.mktemp())
        path.write_bytes(b"[1")
        script = self.make(state_path=path)
        script.connection.subscribe("a", 1, script.lines_of)
        script.start()
        self.assertEqual(path.read_text(), '{"filters": ["a"]}')
        unwritable = self.make(state_path=path / "no" / "directory")
        unwritable.connection.subscribe("a", 1, script.lines_of)
        unwritable.start()
        unwritable.connection.subscribe("b", 1, script.lines_of)
        unwritable.clock.advance(0)
        self.assertIn("is damaged", "".join(script.logged(LogLevel.warn)))
        self.assertEqual(len(unwritable.logged(LogLevel.warn)), 1)

    # Messages.

    def test_a_read_is_one_batch(self) -> None:
        """All lines of one read travel in one batch, at growing times."""
        script = self.make()
        seen = []

        def deliver(message, lines) -> None:
            seen.append(message)
            script.lines_of(message, lines)

        script.connection.subscribe("a/#", 1, deliver)
        script.start()
        script.send(
            publish(script.v5, b"a/1", b"x")
            + publish(script.v5, b"b", b"lost")
            + publish(script.v5, b"a/2", b"y", 7)
            + publish(script.v5, b"a/2", b"z")[:-1]
        )
        script.send(b"z")
        self.assertEqual(
            [(batch.data, batch.count) for batch in script.batches],
            [(b"a/1 x\na/2 y\n", 2), (b"a/2 z\n", 1)],
        )
        self.assertEqual([message.qos for message in seen], [0, 1, 0])
        self.assertEqual([message.received_ns - NOW_NS for message in seen], [1, 2, 3])
        self.assertEqual(script.counts, [("unrouted", 1)])

    def test_a_clock_set_back_is_followed(self) -> None:
        """Times go on from a clock that was set back by an hour."""
        script = self.make()
        seen = []
        script.connection.subscribe("a", 0, lambda message, _: seen.append(message.received_ns))
        script.start()
        script.send(publish(script.v5, b"a", b""))
        script.now_ns -= 3600 * 10**9
        script.send(publish(script.v5, b"a", b""))
        self.assertEqual(seen[0] - seen[1], 3600 * 10**9)

    def test_a_raising_delivery_drops_only_its_message(self) -> None:
        """A delivery that breaks its promise is logged; the others get their messages."""
        script = self.make()
        script.connection.subscribe("a", 1, lambda *_: 1 / 0)
        script.connection.subscribe("a", 1, script.lines_of)
        script.start()
        script.send(publish(script.v5, b"a", b"1", 5) + publish(script.v5, b"a", b"2", 6))
        self.assertEqual(script.batches[0].data, b"a 1\na 2\n")
        self.assertTrue(script.connection.connected)
        self.assertEqual(len(script.logged(LogLevel.critical)), 2)

    def test_invalid_topics_are_dropped(self) -> None:
        """A topic that is not UTF-8 is counted and acknowledged."""
        script = self.make()
        script.connection.subscribe("#", 1, script.lines_of)
        script.start()
        script.send(publish(script.v5, b"\xff", b"", 9))
        script.clock.advance(0)
        self.assertEqual(script.counts, [("undecodable", 1)])
        self.assertEqual(script.transport.value(), puback(9))

    def test_oversized_messages_are_dropped(self) -> None:
        """Above the payload limit, and far above it, messages are counted and acknowledged."""
        script = self.make(max_payload=1024)
        script.connection.subscribe("#", 1, script.lines_of)
        script.start()
        script.send(publish(script.v5, b"a", b"x" * 1025, 3))
        script.send(publish(script.v5, b"a", b"x" * 200_000, 4) + publish(script.v5, b"a", b"", 5))
        script.clock.pump([0, 0])
        script.batches[0].settle()
        script.clock.advance(0)
        self.assertEqual(script.counts, [("oversized", 1)] * 2)
        self.assertEqual(script.transport.value(), puback(3, 4, 5))

    def test_qos_2_of_an_old_session(self) -> None:
        """A QoS 2 message, never asked for, is delivered once and its handshake is done."""
        script = self.make()
        script.connection.subscribe("a", 1, script.lines_of)
        script.start()
        script.send(publish(script.v5, b"a", b"x", 12, qos=2))
        self.assertEqual(script.written()[0][0], 0x50)
        script.send(packet(0x62, b"\x00\x0c"))
        self.assertEqual(script.written()[0][0], 0x70)
        self.assertEqual([batch.data for batch in script.batches], [b"a x\n"])

    # Acknowledgement.

    def test_acknowledged_when_settled_in_order(self) -> None:
        """PUBACKs wait for their batch and for those before it, and share a write."""
        script = self.make()
        script.connection.subscribe("a", 1, script.lines_of)
        script.start()
        script.send(publish(script.v5, b"a", b"1", 1))
        script.send(publish(script.v5, b"nobody", b"", 2))
        script.send(publish(script.v5, b"a", b"3", 3))
        script.batches[1].settle()
        script.clock.advance(0)
        self.assertEqual(script.transport.value(), b"")
        script.batches[0].settle()
        self.assertEqual(script.transport.value(), puback(1, 2, 3))

    def test_a_late_settlement_sends_nothing_on_the_next_connection(self) -> None:
        """An acknowledgement belongs to the connection that its message came on."""
        script = self.make()
        script.connection.subscribe("a", 1, script.lines_of)
        script.start()
        script.send(publish(script.v5, b"a", b"1", 1))
        script.transport.lost(ConnectionLost())
        script.clock.advance(1)
        script.up(session=True)
        script.transport.clear()
        script.batches[0].settle()
        script.clock.advance(0)
        self.assertEqual(script.transport.value(), b"")

    # Pausing.

    def test_reasons_to_pause_are_nested(self) -> None:
        """Reading goes on when the last reason is taken back."""
        script = self.make()
        transport = script.start()
        script.connection.pause_reading("pressure")
        script.connection.pause_reading("reload")
        self.assertEqual(transport.producerState, "paused")
        script.connection.resume_reading("pressure")
        self.assertEqual(transport.producerState, "paused")
        script.connection.resume_reading("reload")
        self.assertEqual(transport.producerState, "producing")
        script.connection.resume_reading("never given")

    def test_paused_longer_than_the_keepalive(self) -> None:
        """While paused a ping goes out every half keepalive and silence is not taken for death."""
        script = self.make(keepalive=30.0)
        script.start()
        script.connection.pause_reading("pressure")
        for _ in range(8):
            script.clock.advance(15)
        self.assertEqual(script.written(), [PINGREQ] * 8)
        self.assertTrue(script.connection.connected)
        script.connection.resume_reading("pressure")
        script.clock.pump([15, 15])
        self.assertTrue(script.connection.connected)

    def test_a_pause_holds_what_comes_in_spite_of_it(self) -> None:
        """A connection accepted during a pause holds the messages of its session back."""
        script = self.make()
        script.connection.pause_reading("reload")
        script.connection.startService()
        script.open()
        script.send(connack(script.v5, session=True) + publish(script.v5, b"a", b"1", 1))
        script.send(publish(script.v5, b"a", b"2", 2))
        self.assertEqual(script.transport.producerState, "paused")
        self.assertEqual((script.batches, script.counts), ([], []))
        script.connection.subscribe("a", 1, script.lines_of)
        script.connection.resume_reading("reload")
        script.clock.advance(0)
        self.assertEqual([batch.data for batch in script.batches], [b"a 1\n", b"a 2\n"])

    def test_a_pause_out_of_a_delivery_holds_the_rest(self) -> None:
        """Back-pressure that begins while held messages are handled holds those after it."""
        script = self.make()
        script.connection.subscribe("a", 1, script.lines_of)
        script.connection.pause_reading("reload")
        script.connection.startService()
        script.open()
        script.send(connack(script.v5) + publish(script.v5, b"a", b"1", 1))
        script.send(publish(script.v5, b"a", b"2", 2))
        taken = script.batches.append

        def full(batch) -> None:
            taken(batch)
            script.connection.pause_reading("pressure")

        script.connection._intake._write = full
        script.connection.resume_reading("reload")
        script.clock.advance(0)
        self.assertEqual([batch.data for batch in script.batches], [b"a 1\n"])
        self.assertEqual(script.transport.producerState, "paused")
        script.connection.resume_reading("pressure")
        script.clock.advance(0)
        self.assertEqual(len(script.batches), 2)

    # Settling.

    def test_settle_is_a_barrier(self) -> None:
        """It passes when the ping is answered, after the messages before it were handed on."""
        script = self.make()
        script.connection.subscribe("a", 1, script.lines_of)
        script.start()
        seen = []
        settled = script.connection.handle_delivered(5)
        settled.addCallback(lambda passed: seen.append((passed, len(script.batches))))
        self.assertEqual(script.written(), [PINGREQ])
        self.assertEqual(seen, [])
        script.send(publish(script.v5, b"a", b"1") + PINGRESP)
        self.assertEqual(seen, [(True, 1)])

    def test_settle_matches_its_own_answer(self) -> None:
        """The answer to an earlier ping does not pass a later barrier."""
        script = self.make(keepalive=30.0)
        script.start()
        script.clock.advance(15)
        settled = script.connection.handle_delivered(5)
        script.send(PINGRESP)
        self.assertNoResult(settled)
        script.send(PINGRESP)
        self.assertTrue(self.successResultOf(settled))
        script.send(PINGRESP)
        self.assertTrue(script.connection.connected)

    def test_settle_gives_up(self) -> None:
        """Without a connection, after the timeout, or when the connection ends: False."""
        script = self.make()
        self.assertFalse(self.successResultOf(script.connection.handle_delivered(5)))
        script.start()
        late = script.connection.handle_delivered(5)
        script.clock.advance(5)
        self.assertFalse(self.successResultOf(late))
        lost = script.connection.handle_delivered(5)
        script.transport.lost(ConnectionLost())
        self.assertFalse(self.successResultOf(lost))

    # Publishing.

    def test_publish(self) -> None:
        """A message is sent when connected; otherwise the caller is reported."""
        script = self.make()
        self.assertFalse(script.connection.publish("cmnd/x", b""))
        script.start()
        self.assertTrue(script.connection.publish("cmnd/x", b"p"))
        self.assertFalse(script.connection.publish("cmnd/+", b"p"))
        [(first, body)] = script.written()
        self.assertEqual((first, body[:8], body[-1:]), (0x30, b"\0\x06cmnd/x", b"p"))
        script.transport.producer.pauseProducing()
        self.assertFalse(script.connection.publish("cmnd/x", b"p"))
        script.transport.producer.resumeProducing()
        self.assertTrue(script.connection.publish("cmnd/x", b"p", qos=1))

    def test_broker_that_does_not_read_is_not_read_either(self) -> None:
        """No more is read while it leaves our answers unread: nothing more is answered."""
        script = self.make()
        script.connection.subscribe("a", 1, script.lines_of)
        transport = script.start()
        transport.producer.pauseProducing()
        self.assertEqual(transport.producerState, "paused")
        script.send(publish(script.v5, b"a", b"held", 1))
        self.assertEqual(script.batches, [])
        script.connection.pause_reading("pressure")
        transport.producer.resumeProducing()
        self.assertEqual(transport.producerState, "paused", "the other reason is left")
        script.connection.resume_reading("pressure")
        script.clock.advance(0)
        self.assertEqual(transport.producerState, "producing")
        self.assertEqual(script.batches[0].data, b"a held\n")

    def test_full_buffer_before_the_connection_is_accepted(self) -> None:
        """TLS cannot write before it has read: reading goes on."""
        script = self.make()
        script.connection.startService()
        transport = script.open()
        transport.producer.pauseProducing()
        self.assertEqual(transport.producerState, "producing")
        script.send(connack(script.v5))
        transport.producer.resumeProducing()
        self.assertTrue(script.connection.connected)

    def test_broker_that_never_reads_again_is_left(self) -> None:
        """After a while the connection ends, and the log says why."""
        script = self.make()
        transport = script.start()
        transport.producer.pauseProducing()
        script.clock.advance(STUCK_S - 1)
        self.assertFalse(transport.aborted)
        script.clock.advance(1)
        self.assertTrue(transport.aborted)
        self.assertIn("the other side has read nothing for 30 s", script.logged()[-1])

    def test_connection_lost_while_the_broker_did_not_read(self) -> None:
        """What was read before is handled, then it is over; no timer is left."""
        script = self.make()
        script.connection.subscribe("a", 0, script.lines_of)
        transport = script.start()
        transport.producer.pauseProducing()
        script.send(publish(script.v5, b"a", b"last"))
        transport.lost(ConnectionLost())
        script.clock.advance(0.1)
        self.assertEqual([batch.data for batch in script.batches], [b"a last\n"])
        self.assertFalse(script.connection.connected)

    def test_messages_at_qos_2_that_are_never_released(self) -> None:
        """A broker may leave a bounded amount unreleased."""
        for size, most in ((60_000, UNRELEASED_BYTES // 60_000), (1, UNRELEASED_BYTES // 1000)):
            script = self.make()
            transport = script.start()
            for packet_id in range(1, 10_000):
                script.send(publish(script.v5, b"a", b"x" * size, packet_id, qos=2))
                if transport.gone:
                    break
            self.assertTrue(transport.aborted)
            self.assertIn("wait for PUBREL", script.logged()[-1])
            self.assertTrue(0.9 * most < packet_id <= most + 1, packet_id)

    def test_publishing_without_an_answer_is_bounded(self) -> None:
        """QoS 1 messages that the broker does not acknowledge are queued up to a limit."""
        script = self.make()
        script.start()
        sent = 0
        while script.connection.publish("a", b"", qos=1):
            sent += 1
            self.assertLess(sent, 2_000)
        self.assertGreater(sent, 500)

    # Coming back.

    def test_backoff_grows_to_its_limit_and_is_forgotten(self) -> None:
        """Delays double up to reconnect_max; a connection that held starts them over."""
        script = self.make(reconnect_min=1.0, reconnect_max=5.0)
        script.connection.startService()
        delays = []
        for _ in range(5):
            script.attempts[-1].fail(Refused())
            delays.append(script.clock.getDelayedCalls()[0].getTime() - script.clock.seconds())
            script.clock.advance(delays[-1])
        self.assertEqual(delays, [1, 2, 4, 5, 5])
        script.up()
        script.clock.advance(PROVEN_S)
        script.transport.lost(ConnectionDone())
        self.assertEqual(script.clock.getDelayedCalls()[0].getTime() - script.clock.seconds(), 1)

    def test_addresses_are_tried_in_turn(self) -> None:
        """The next address follows soon, the backoff counts whole rounds."""
        script = self.make(broker=("tcp://one", "tcp://two"), reconnect_min=1.0)
        script.connection.startService()
        for delay_s in (1, 1, 1, 2, 1):
            script.attempts[-1].fail(Refused())
            script.clock.advance(delay_s)
        self.assertEqual(
            [attempt.address.host for attempt in script.attempts],
            ["one", "two", "one", "two", "one", "two"],
        )
        self.assertEqual(len(script.logged()), 2, "each address is logged once")

    def test_connect_timeout(self) -> None:
        """An attempt that takes too long is given up and reported."""
        script = self.make(connect_timeout=10.0)
        script.connection.startService()
        script.clock.advance(10)
        self.assertTrue(script.attempts[0].cancelled)
        self.assertEqual(
            script.logged(),
            ["Cannot connect to tcp://broker:1883: no connection within 10 s. Trying again."],
        )

    def test_connack_timeout(self) -> None:
        """A broker that takes the transport and says nothing is given up."""
        script = self.make(connect_timeout=10.0)
        script.connection.startService()
        transport = script.open()
        script.clock.advance(10)
        self.assertTrue(transport.aborted)
        self.assertIn("no answer to CONNECT within 10 s", script.logged()[0])

    def test_a_late_transport_leaves_less_time_for_the_answer(self) -> None:
        """One deadline for all of an attempt."""
        script = self.make(connect_timeout=10.0)
        script.connection.startService()
        script.clock.advance(9)
        transport = script.open()
        script.clock.advance(1)
        self.assertTrue(transport.aborted)
        self.assertIn("no answer to CONNECT within 10 s", script.logged()[0])

    def test_a_dead_broker_is_noticed(self) -> None:
        """A broker that answers no ping for one and a half keepalives is dead."""
        script = self.make(keepalive=30.0)
        transport = script.start()
        script.clock.pump([15] * 3)
        self.assertFalse(transport.aborted)
        script.clock.advance(15)
        self.assertTrue(transport.aborted)
        self.assertIn("no answer to PINGREQ within 45 s", script.logged(LogLevel.warn)[0])

    def test_a_silent_broker_that_answers_pings_lives(self) -> None:
        """Answers to pings are signs of life enough."""
        script = self.make(keepalive=30.0)
        script.start()
        for _ in range(10):
            script.clock.advance(15)
            script.send(PINGRESP)
        self.assertTrue(script.connection.connected)

    def test_a_packet_that_is_never_whole_is_no_sign_of_life(self) -> None:
        """A byte of it now and then is not, and neither is the pace of a byte a second."""
        script = self.make(keepalive=30.0)
        transport = script.start()
        script.send(b"\x30\xff\xff\x03\0\x05tele/")
        for _ in range(3):
            script.clock.pump([1] * 15)
            script.send(b"x" * 15)
        self.assertFalse(transport.aborted)
        script.clock.advance(15)
        self.assertTrue(transport.aborted)
        self.assertIn("no answer to PINGREQ within 45 s", script.logged(LogLevel.warn)[0])

    def test_a_large_packet_on_a_slow_line_is_a_sign_of_life(self) -> None:
        """What comes at the pace of a line of 9,600 baud is waited for until it is whole."""
        script = self.make(keepalive=30.0, max_payload=300_000)
        transport = script.start()
        script.connection.subscribe("tele/a", 0, script.lines_of)
        payload = b"x" * 200_000
        rest = publish(script.v5, b"tele/a", payload)
        while rest:
            script.clock.advance(5)
            script.send(rest[: 5 * 800])
            rest = rest[5 * 800 :]
        self.assertFalse(transport.aborted)
        self.assertEqual([len(each.data) for each in script.batches], [len(payload) + 8])

    def test_a_subscribe_without_an_answer(self) -> None:
        """It is logged once, and no problem any more when the answer comes."""
        script = self.make(connect_timeout=10.0)
        script.connection.subscribe("a", 1, script.lines_of)
        script.connection.startService()
        script.up()
        script.connection.pause_reading("pressure")
        script.clock.advance(10)
        self.assertEqual(script.logged(LogLevel.warn), [])
        script.connection.resume_reading("pressure")
        script.clock.advance(10)
        script.connection.subscribe("b", 1, script.lines_of)
        script.clock.advance(30)
        (line,) = script.logged(LogLevel.warn)
        script.transport.lost(ConnectionDone())
        script.clock.advance(10)
        script.up()
        script.clock.advance(10)
        self.assertEqual(len([each for each in script.logged() if "not answered" in each]), 1)
        self.assertIn("not answered our request to subscribe to a for 10 s; its messages", line)
        self.assertIn("does not answer our request to subscribe to a", script.noted[-1][1])
        ((_first, body),) = [each for each in script.written() if each[0] == SUBSCRIBE]
        script.send(suback(script.v5, int.from_bytes(body[:2], "big"), 1, 1))
        self.assertEqual(script.noted[-1][1], "")

    def test_a_dialer_that_raises_is_tried_again(self) -> None:
        """Whatever prevents an attempt is reported once and tried again."""
        script = self.make(reconnect_max=60.0)
        script.dial_error = OSError(2, "No such file")
        script.connection.startService()
        script.clock.advance(1)
        script.dial_error = None
        script.clock.advance(2)
        script.up()
        self.assertEqual(len(script.logged(LogLevel.warn)), 1)
        self.assertTrue(script.connection.connected)

    # What is reported.

    def test_one_line_down_one_line_up(self) -> None:
        """A broker that goes away and comes back is two lines, whatever is tried between."""
        script = self.make()
        script.start()
        script.clock.advance(PROVEN_S)
        script.transport.lost(ConnectionDone())
        for delay_s in (1, 2, 4):
            script.clock.advance(delay_s)
            script.attempts[-1].fail(Refused())
        script.clock.advance(8)
        script.up()
        self.assertEqual(
            script.logged(),
            [
                "Connected to tcp://broker:1883.",
                (
                    "Lost the connection to tcp://broker:1883: the broker closed the connection. "
                    "Trying again."
                ),
                "Connected to tcp://broker:1883 again after 15 s.",
            ],
        )

    def test_refused_login_waits_longest(self) -> None:
        """A login that is refused is reported once and retried at the longest interval."""
        script = self.make(reconnect_max=60.0)
        script.connection.startService()
        for _ in range(3):
            script.open()
            script.send(connack(script.v5, 0x86 if script.v5 else 4))
            self.assertTrue(script.transport.aborted)
            script.clock.advance(59)
            attempts = len(script.attempts)
            script.clock.advance(1)
            self.assertEqual(len(script.attempts), attempts + 1)
        self.assertEqual(
            script.logged(),
            [
                (
                    "Cannot connect to tcp://broker:1883: the broker refuses the user name or "
                    "password. Trying again."
                )
            ],
        )
        script.up()
        self.assertEqual(script.logged()[1:], ["Connected to tcp://broker:1883 after 180 s."])

    def test_other_refusals(self) -> None:
        """Each code of CONNACK has words of its own."""
        codes = (
            {0x84: "does not speak MQTT 5", 0x85: "client id 'agent-1'", 0x87: "not authorise"}
            if self.protocol == "5"
            else {1: "does not speak MQTT 3.1.1", 2: "client id 'agent-1'", 5: "not authorise"}
        )
        for code, words in {**codes, 0xFE: "code 0xfe"}.items():
            script = self.make()
            script.connection.startService()
            script.open()
            script.send(connack(script.v5, code))
            self.assertIn(words, script.logged(LogLevel.error)[0])

    def test_wrong_speech(self) -> None:
        """A port that speaks something else is reported with what it seems to speak."""
        for data, words in {
            b"HTTP/1.1 400 Bad Request\r\n": "speaks HTTP",
            b"\x15\x03\x01\x00\x02\x02\x46": "speaks TLS",
            b"SSH-2.0-OpenSSH_9.2\r\n": "b'SSH-2.0-OpenSSH_9.2",
        }.items():
            script = self.make()
            script.connection.startService()
            script.open()
            script.send(data)
            self.assertTrue(script.transport.aborted)
            self.assertIn(words, script.logged(LogLevel.error)[0])

    def test_garbage_drops_the_connection(self) -> None:
        """Whatever breaks the protocol ends the connection, and another one is made."""
        for data in (
            b"\x00\x00",
            b"\xff\xff\xff\xff\xff\xff",
            b"\x36\x05\x00\x01a\x00\x00",
            b"\x90\x01\x00",
            b"\x32\x03\x00\x01a",
            connack(self.protocol == "5"),
        ):
            script = self.make()
            script.connection.subscribe("a", 1, script.lines_of)
            script.start()
            script.send(publish(script.v5, b"a", b"before") + data)
            self.assertTrue(script.transport.aborted, data)
            self.assertEqual([batch.data for batch in script.batches], [b"a before\n"], data)
            script.send(publish(script.v5, b"a", b"after the end"))
            self.assertEqual(len(script.batches), 1)
            script.clock.advance(1)
            self.assertEqual(len(script.attempts), 2)

    def test_nothing_but_connack_comes_first(self) -> None:
        """A message or an answer before CONNACK is not MQTT."""
        script = self.make()
        script.connection.startService()
        script.open()
        script.send(connack(script.v5)[:1])
        script.send(connack(script.v5, 0)[1:] + PINGRESP)
        self.assertTrue(script.connection.connected)
        for before in (b"", connack(script.v5, 5), packet(0x20, bytes(2_000_000))):
            other = self.make()
            other.connection.subscribe("a", 1, other.lines_of)
            other.connection.startService()
            other.open()
            other.send(before + publish(other.v5, b"a", b"1", 1))
            other.clock.pump([0, 0])
            self.assertTrue(other.transport.aborted)
            self.assertEqual(other.batches, [])

    def test_our_own_fault_costs_only_this_connection(self) -> None:
        """An output that raises is logged, and the connection made again."""
        script = self.make()
        script.connection.subscribe("a", 1, script.lines_of)
        script.start()
        script.connection._intake._write = lambda _: 1 / 0
        script.send(publish(script.v5, b"a", b""))
        self.assertTrue(script.transport.aborted)
        self.assertIn("while reading from the broker", script.logged(LogLevel.critical)[0])

    def test_short_lives_hint_at_a_second_client(self) -> None:
        """A connection closed again and again after being accepted names the client id, once."""
        script = self.make(reconnect_min=1.0)
        script.connection.startService()
        for _ in range(5):
            script.up()
            script.clock.advance(0.5)
            script.transport.lost(ConnectionDone())
            script.clock.advance(60)
        hints = [line for line in script.logged(LogLevel.warn) if "times in a row" in line]
        self.assertEqual(len(hints), 1)
        self.assertIn("another client may use the client id 'agent-1'", hints[0])
        self.assertLessEqual(len(script.logged()), 6, "no flood while it goes on")
        script.up()
        before = len(script.logged())
        script.clock.advance(PROVEN_S)
        self.assertIn("again after", script.logged()[before])

    def test_broker_that_restarts_is_reconnected_with_the_ordinary_backoff(self) -> None:
        """Five restarts, each soon after the last, never cause the longest wait."""
        script = self.make(reconnect_min=1.0, reconnect_max=60.0)
        script.connection.startService()
        for number in range(5):
            attempts = len(script.attempts)
            script.up()
            script.clock.advance(4)
            script.transport.lost(ConnectionDone())
            script.clock.advance(2**number - 0.01)
            self.assertEqual(len(script.attempts), attempts)
            script.clock.advance(0.01)
            self.assertEqual(len(script.attempts), attempts + 1)

    # Stopping.

    def test_stop_in_order(self) -> None:
        """Acknowledgements, then DISCONNECT, then the broker's close."""
        script = self.make()
        script.connection.subscribe("a", 1, script.lines_of)
        script.start()
        script.send(publish(script.v5, b"a", b"1", 1))
        script.connection.pause_reading("stop")
        script.batches[0].settle()
        first, second = script.connection.stopService(), script.connection.stopService()
        self.assertNoResult(first)
        self.assertTrue(script.transport.value().startswith(puback(1) + b"\xe0"))
        self.assertEqual(script.transport.producerState, "producing")
        script.send(publish(script.v5, b"a", b"ignored", 2))
        script.transport.lost(ConnectionDone())
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(len(script.batches), 1)
        script.clock.advance(100)
        self.assertEqual(len(script.attempts), 1)

    def test_nothing_follows_disconnect(self) -> None:
        """Neither acknowledgements, nor answers to what comes after it, nor pings."""
        script = self.make(keepalive=30.0)
        script.connection.subscribe("a", 1, script.lines_of)
        transport = script.start()
        transport.hangs_at_close = True
        script.send(publish(script.v5, b"a", b"1", 1))
        done = script.connection.stopService()
        self.assertEqual([first for first, _ in script.written()], [0xE0])
        script.batches[0].settle()
        script.send(publish(script.v5, b"a", b"2", 2) + publish(script.v5, b"a", b"3", 3, qos=2))
        script.connection.handle_delivered(5)
        script.connection.publish("b", b"", qos=1)
        script.clock.pump([0, 0.1])
        self.assertEqual(script.written(), [])
        self.assertEqual(len(script.batches), 1)
        script.clock.pump([1, 1])
        self.successResultOf(done)

    def test_stop_out_of_a_delivery(self) -> None:
        """What follows in the same read is neither handled nor acknowledged nor answered."""
        script = self.make()
        script.connection.subscribe("a", 1, script.lines_of)
        script.connection.subscribe("stop", 0, lambda *_: script.connection.stopService())
        script.start()
        later = [publish(script.v5, b"a", b"x", number) for number in range(1, 100)]
        qos_2 = publish(script.v5, b"a", b"x", 100, qos=2)
        script.send(publish(script.v5, b"stop", b"") + qos_2 + b"".join(later))
        script.clock.advance(0)
        self.assertEqual([first for first, _ in script.written()], [0xE0])
        self.assertEqual(script.batches, [])

    def test_stop_with_a_broker_that_does_not_close(self) -> None:
        """After a moment we close, and after another we cut."""
        script = self.make()
        transport = script.start()
        transport.hangs_at_close = True
        done = script.connection.stopService()
        script.clock.advance(0.16)
        self.assertTrue(transport.disconnecting)
        self.assertNoResult(done)
        script.clock.advance(0.16)
        self.successResultOf(done)

    def test_stop_at_any_time(self) -> None:
        """Before the start, while connecting, before CONNACK, and while waiting to retry."""
        idle = self.make()
        self.successResultOf(idle.connection.stopService())
        connecting = self.make()
        connecting.connection.startService()
        self.successResultOf(connecting.connection.stopService())
        self.assertTrue(connecting.attempts[0].cancelled)
        early = self.make()
        early.connection.startService()
        early.open()
        self.successResultOf(early.connection.stopService())
        waiting = self.make()
        waiting.connection.startService()
        waiting.attempts[0].fail(Refused())
        self.successResultOf(waiting.connection.stopService())
        waiting.clock.advance(100)
        self.assertEqual(len(waiting.attempts), 1)

    def test_subscribing_in_the_last_turn(self) -> None:
        """A flush that was planned is not made after the stop."""
        script = self.make()
        script.start()
        script.connection.subscribe("a", 1, script.lines_of)
        script.connection.stopService()
        script.transport.lost(ConnectionDone())

    def test_a_link_that_ends_before_its_endpoint_says_so(self) -> None:
        """An endpoint may report a transport that is gone already; it is retried all the same."""
        script = self.make()
        script.connection.startService()
        attempt = script.attempts[0]
        logged: Deferred = attempt.result
        attempt.result = Deferred()
        transport = attempt.open()
        transport.lost(ConnectionDone())
        logged.callback(transport.protocol)
        self.assertIn("closed the connection before accepting it", script.logged()[0])
        script.clock.advance(1)
        self.assertEqual(len(script.attempts), 2)


class Mqtt311Tests(Cases, SynchronousTestCase):
    """MQTT 3.1.1."""


class Mqtt5Tests(Cases, SynchronousTestCase):
    """MQTT 5."""

    protocol = "5"

    def test_taken_over(self) -> None:
        """A broker that says that another client took our id is quoted at once."""
        script = self.make()
        script.start()
        script.send(packet(0xE0, b"\x8e"))
        self.assertIn(
            "another client took over the client id 'agent-1'", script.logged(LogLevel.error)[0]
        )

    def test_disconnect_with_a_reason(self) -> None:
        """The reason of the broker is the cause that is reported."""
        for body, words in (
            (b"\x8b", "shutting down"),
            (b"", "ended the connection"),
            (b"\x9a", "0x9a"),
        ):
            script = self.make()
            script.start()
            script.send(packet(0xE0, body))
            self.assertIn(words, script.logged(LogLevel.warn)[0])

    def test_no_packet_is_longer_than_the_broker_takes(self) -> None:
        """SUBSCRIBE and UNSUBSCRIBE are split to fit; what does not fit alone is logged, once."""
        most = 40
        script = self.make()
        fitting = [f"{'a' * 20}/{number}" for number in range(3)] + ["b"]
        held = [script.connection.subscribe(name, 1, script.lines_of) for name in fitting]
        script.connection.subscribe("c" * 33, 1, script.lines_of)  # 41 bytes in all
        script.connection.subscribe("d" * 32, 1, script.lines_of)
        script.connection.startService()
        for _ in range(2):
            script.open()
            script.send(connack(v5=True, properties=b"\x27" + most.to_bytes(4, "big")))
            _connect, *packets = script.written()
            self.assertLessEqual(max(len(body) + 2 for _, body in packets), most)
            self.assertEqual(script.filters(packets, SUBSCRIBE), [*fitting, "d" * 32])
            self.assertEqual(len(packets), 4, "those that fit share a packet")
            for _first, body in packets:
                codes = [1] * len(script.filters([(SUBSCRIBE, body)], SUBSCRIBE))
                script.send(suback(True, int.from_bytes(body[:2], "big"), *codes))
            script.clock.advance(PROVEN_S)
            script.written()
            if len(script.attempts) == 1:
                script.transport.lost(ConnectionDone())
                script.clock.advance(1)
        expected = f"us to {'c' * 33} (longer than the packets that it takes)"
        [line] = script.logged(LogLevel.error)
        self.assertIn(expected, line)
        self.assertIn(expected, script.noted[-1][1] or "")
        for each in held:
            each.cancel()
        script.connection.unsubscribe_unwanted()
        script.clock.advance(0)
        packets = script.written()
        self.assertEqual(script.filters(packets, UNSUBSCRIBE), sorted(fitting))
        self.assertLessEqual(max(len(body) + 2 for _, body in packets), most)

    def test_a_filter_that_was_too_long_is_granted_by_a_broker_that_takes_more(self) -> None:
        """As any filter that was refused before."""
        script = self.make()
        script.connection.subscribe("c" * 32, 1, script.lines_of)
        script.connection.startService()
        script.open()
        script.send(connack(v5=True, properties=b"\x27\0\0\0\x14"))
        self.assertEqual(len(script.written()), 1)
        script.transport.lost(ConnectionDone())
        script.clock.advance(1)
        script.up()
        _connect, (_, body) = script.written()
        script.send(suback(True, int.from_bytes(body[:2], "big"), 1))
        self.assertIn("grants the subscription", script.logged(LogLevel.info)[-1])
        self.assertEqual(script.noted[-1][1], "")

    def test_a_message_that_is_longer_than_the_broker_takes(self) -> None:
        """It is not sent, and logged once; the connection stays."""
        script = self.make()
        script.connection.startService()
        script.open()
        script.send(connack(v5=True, properties=b"\x27\0\0\0\x14"))
        script.transport.clear()
        for _ in range(2):
            self.assertFalse(script.connection.publish("abc", b"x" * 13, 0))
        self.assertEqual(script.written(), [])
        self.assertTrue(script.connection.publish("abc", b"x" * 12, 0))
        self.assertTrue(script.connection.publish("abc", b"x" * 10, 1))
        self.assertEqual([len(body) + 2 for _, body in script.written()], [20, 20])
        [line] = script.logged(LogLevel.error)
        self.assertIn("at most 20 bytes; a message to 'abc', 21 bytes, is not sent", line)

    def test_odd_limits_of_a_broker(self) -> None:
        """A value that does not exist, and what modules need: named once, not at each connect."""
        script = self.make()
        script.connection.startService()
        for _ in range(2):
            script.open()
            script.send(connack(v5=True, properties=b"\x24\x03\x28\x00"))
            script.transport.lost(ConnectionDone())
            script.clock.advance(1)
        warned = [line for line in script.logged(LogLevel.warn) if "it says" in line]
        self.assertEqual(len(warned), 2, warned)
        self.assertIn("Maximum QoS 3, expected 0 or 1", warned[0])
        self.assertIn("wildcards in subscriptions are not available", warned[1])

    def test_limits_that_are_zero_or_twice(self) -> None:
        """They are errors of the broker (MQTT 5, 3.2.2.3); the log names them."""
        for properties, words in (
            (b"\x21\x00\x00", "ReceiveMaximum property value must be in the range 1-65535"),
            (b"\x27\x00\x00\x00\x00", "MaximumPacketSize property value must be in the range"),
            (b"\x21\x00\x05\x21\x00\x06", "refused: Receive Maximum is there twice"),
            (b"\x24\x00\x24\x00", "refused: Maximum QoS is there twice"),
        ):
            script = self.make()
            script.connection.startService()
            script.open()
            script.send(connack(v5=True, properties=properties))
            script.transport.lost(ConnectionDone())
            self.assertIn(words, "".join(script.logged(LogLevel.warn)))

    def test_the_brokers_keepalive_holds(self) -> None:
        """A broker may ask for a shorter keepalive than ours; a longer one hides no dead broker."""
        for asked, expected_s in ((b"\x00\x0a", 5), (b"\xff\xff", 30)):
            script = self.make(keepalive=60.0)
            script.connection.startService()
            script.open()
            script.send(connack(v5=True, properties=b"\x13" + asked))
            script.transport.clear()
            script.clock.advance(expected_s)
            self.assertEqual(script.written(), [PINGREQ])
