"""Refused filters are asked for again; a filter that costs the connection is found."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.transports.mqtt.subscriber import RETRY_DELAYS_S
from metrics_agent.transports.outage import PROVEN_S
from tests.transports.mqtt.scripted import PINGRESP, Scripted, suback

SUBSCRIBE_FIRST = 0x82
PINGREQ_FIRST = 0xC0


class PlayedBroker:
    """Answers each SUBSCRIBE, and ends the connection for filters it does not like."""

    def __init__(self, script: Scripted, *, deadly: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        self.script = script
        self.deadly = set(deadly)
        self.refused: dict[str, int] = {}
        self.packets: list[list[str]] = []

    def answer(self) -> bool:
        """Answer what was written; False once the connection was ended for it."""
        script = self.script
        while packets := script.written():
            for first, body in packets:
                if first == PINGREQ_FIRST:
                    script.send(PINGRESP)
                if first != SUBSCRIBE_FIRST:
                    continue
                names = script.filters([(first, body)], SUBSCRIBE_FIRST)
                self.packets.append(names)
                if self.deadly & set(names):
                    script.transport.lost(ConnectionDone())
                    return False
                codes = [self.refused.get(name, 0) for name in names]
                script.send(suback(script.v5, int.from_bytes(body[:2], "big"), *codes))
            script.clock.advance(0)
        return True

    def live(self, seconds: float = 120) -> None:
        """Play the broker for some time, over as many connections as it takes."""
        end_s = self.script.clock.seconds() + seconds
        attempts = len(self.script.attempts)
        self.script.up()
        alive = self.answer()
        while self.script.clock.seconds() < end_s:
            self.script.clock.advance(0.5)
            if len(self.script.attempts) > attempts:
                attempts = len(self.script.attempts)
                self.script.up()
                alive = self.answer()
            elif alive:
                alive = self.answer()


class SubscriptionCase(SynchronousTestCase):
    """A connection with filters of the configuration and filters that devices asked for."""

    protocol = "3.1.1"

    def make(self, *deadly: str, learned: tuple[str, ...] = ()) -> Scripted:
        """Make it; ``a`` and ``b`` come from the configuration."""
        self.script = Scripted(self.protocol, reconnect_min=1.0)
        self.broker = PlayedBroker(self.script, deadly=set(deadly))
        for name in ("a", "b"):
            self.script.connection.subscribe(name, 1, self.script.lines_of)
        for name in learned:
            self.script.connection.subscribe(name, 1, self.script.lines_of, learned=True)
        self.script.connection.startService()
        return self.script

    def errors(self) -> list[str]:
        """What was logged as an error."""
        return self.script.logged(LogLevel.error)


class SuspectTests(SubscriptionCase):
    """A filter that a device announced and for which the broker ends the connection."""

    LEARNED = tuple(f"x{number}/+" for number in range(20))

    def test_it_is_found_and_set_aside_and_all_others_work(self) -> None:
        """The log names it, once; the connection lasts from then on."""
        for culprit in ("x0/+", "x7/+", "x19/+"):
            script = self.make(culprit, learned=self.LEARNED)
            self.broker.live(90)
            [error] = self.errors()
            self.assertIn(f"subscribe to '{culprit}', which a device announced", error)
            self.assertTrue(script.connection.connected)
            granted = script.connection._subscriber._granted
            self.assertEqual(granted, {"a", "b", *self.LEARNED} - {culprit})
            self.assertLess(len(script.attempts), 6)

    def test_two_of_them(self) -> None:
        """Both are found."""
        self.make("x3/+", "x12/+", learned=self.LEARNED)
        self.broker.live(600)
        self.assertEqual(len(self.errors()), 2)
        self.assertTrue(self.script.connection.connected)

    def test_it_stays_set_aside_however_often_it_is_announced(self) -> None:
        """Until the next start: not at a reconnect and not when it is asked for again."""
        script = self.make("x1/+", learned=("x1/+", "x2/+"))
        self.broker.live(90)
        self.broker.packets.clear()
        script.connection.subscribe("x1/+", 1, script.lines_of, learned=True)
        script.clock.advance(PROVEN_S)
        script.transport.lost(ConnectionDone())
        script.clock.advance(60)
        self.broker.live(60)
        self.assertIn(["a", "b", "x2/+"], self.broker.packets)
        self.assertFalse([names for names in self.broker.packets if "x1/+" in names])

    def test_filter_of_the_configuration_is_never_set_aside(self) -> None:
        """Also when a device asked for the same one."""
        script = self.make("a", learned=("a", "x1/+"))
        self.broker.live(300)
        self.assertEqual(self.errors(), [])
        self.broker.deadly.clear()
        script.clock.advance(120)
        self.broker.live(30)
        self.assertLessEqual({"a", "b", "x1/+"}, script.connection._subscriber._granted)

    def test_broker_that_restarts_costs_no_filter(self) -> None:
        """Connections that end before the answers, four in a row, are no proof alone."""
        script = self.make(learned=self.LEARNED)
        for _ in range(4):
            script.up()
            script.transport.lost(ConnectionDone())
            script.clock.advance(60)
        self.broker.live(60)
        self.assertEqual(self.errors(), [])
        self.assertLessEqual(set(self.LEARNED), script.connection._subscriber._granted)


class RefusalTests(SubscriptionCase):
    """A SUBACK that refuses a filter."""

    def test_refused_filter_is_asked_for_again_with_a_new_packet_id(self) -> None:
        """0x91 was seen after a connection that ended badly: the next attempt is granted."""
        script = self.make()
        self.broker.refused["b"] = 0x91
        script.up()
        self.broker.answer()
        self.assertEqual(len(self.errors()), 1)
        self.broker.refused.clear()
        script.clock.advance(RETRY_DELAYS_S[0])
        self.broker.answer()
        self.assertEqual(self.broker.packets, [["a", "b"], ["b"]])
        self.assertIn("grants the subscription to b now", script.logged()[-1])
        self.assertEqual(script.connection._subscriber.problem, "")

    def test_attempts_are_bounded_and_logged_once(self) -> None:
        """What stays refused is asked for a few times on a connection, and again on the next."""
        script = self.make()
        self.broker.refused["b"] = 0x87
        script.up()
        for _ in range(4000):
            self.broker.answer()
            script.clock.advance(1)
        self.assertEqual(self.broker.packets.count(["b"]), len(RETRY_DELAYS_S))
        self.assertEqual(len(self.errors()), 1)
        script.transport.lost(ConnectionDone())
        script.clock.advance(60)
        script.up()
        self.broker.answer()
        self.assertEqual(self.broker.packets[-1], ["a", "b"])

    def test_refusal_that_cannot_change_is_not_asked_again(self) -> None:
        """Such as a shared subscription at a broker without them."""
        script = self.make()
        self.broker.refused["b"] = 0x9E
        script.up()
        for _ in range(1000):
            self.broker.answer()
            script.clock.advance(1)
        self.assertEqual(self.broker.packets, [["a", "b"]])


class Refusal5Tests(RefusalTests):
    """The same with MQTT 5."""

    protocol = "5"


class Suspect5Tests(SuspectTests):
    """The same with MQTT 5."""

    protocol = "5"
