"""The version of MQTT: 5 first, 3.1.1 with a broker that refuses it."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.broker_address import parse_address
from metrics_agent.transports.mqtt.versions import BrokerVersions
from tests.transports.mqtt.scripted import Scripted, connack, packet, puback, publish

REFUSALS = (
    packet(0x20, b"\0\x84\0"),  # MQTT 5
    packet(0x20, b"\0\x84"),  # without properties
    packet(0x20, b"\0\x01"),  # MQTT 3.1.1
)


HINT = 'if the broker does not know MQTT 5, set `protocol = "3.1.1"`'


def version_of(transport) -> int:
    """Return the version in the CONNECT that was written."""
    return transport.value()[8]


class BrokerVersionsTests(SynchronousTestCase):
    """What is known of each broker."""

    def test_each_address_by_itself(self) -> None:
        """A broker that refuses 5 is asked for 3.1.1 from then on, and no other is."""
        versions, one, other = BrokerVersions(), parse_address("one"), parse_address("other")
        self.assertTrue(versions.refused("auto", one, "5"))
        self.assertEqual(versions.to_try("auto", one), "3.1.1")
        self.assertEqual(versions.to_try("auto", other), "5")

    def test_a_fixed_version_is_tried_alone(self) -> None:
        """Whatever is known."""
        versions, address = BrokerVersions(), parse_address("one")
        self.assertFalse(versions.refused("5", address, "5"))
        self.assertFalse(versions.refused("3.1.1", address, "3.1.1"))
        self.assertEqual(versions.to_try("5", address), "5")
        self.assertEqual(versions.to_try("auto", address), "5")
        versions.refused("auto", address, "5")
        self.assertEqual(versions.to_try("5", address), "5")


class FallbackTests(SynchronousTestCase):
    """A connection with ``auto``."""

    def begin(self, protocol: str = "auto", **changes) -> Scripted:
        """Start a connection that is to be refused its first version."""
        script = Scripted(protocol, **changes)
        script.connection.startService()
        self.addCleanup(script.connection.stopService)
        script.open()
        return script

    def test_5_first(self) -> None:
        """A broker that takes it is spoken to in MQTT 5."""
        script = self.begin()
        self.assertEqual(version_of(script.transport), 5)
        script.connection.subscribe("a", 1, script.lines_of)
        script.send(connack(v5=True))
        script.send(publish(True, b"a", b"hello", 1))
        self.assertEqual(script.batches[0].data, b"a hello\n")

    def test_a_refusal(self) -> None:
        """3.1.1 follows at once, with one line and nothing noted; it is used from then on."""
        for refusal in REFUSALS:
            script = self.begin()
            script.connection.subscribe("a", 1, script.lines_of)
            script.send(refusal)
            script.clock.advance(0)
            self.assertEqual(len(script.attempts), 2)
            self.assertEqual(version_of(script.open()), 4)
            self.assertEqual({problem for _, problem in script.noted}, {None})
            script.v5 = False
            script.send(connack(v5=False))
            self.assertEqual(
                script.logged(),
                [
                    "tcp://broker:1883 does not speak MQTT 5. Trying MQTT 3.1.1.",
                    "Connected to tcp://broker:1883.",
                ],
            )
            script.send(publish(False, b"a", b"hello", 1))
            script.batches[0].settle()
            script.clock.advance(0)
            self.assertTrue(script.transport.value().endswith(puback(1)))
            script.transport.lost(ConnectionDone())
            script.clock.advance(5)
            self.assertEqual(version_of(script.open()), 4)

    def test_two_connections_at_once(self) -> None:
        """Each goes on with 3.1.1 at once, whichever is refused first; one line says so."""
        versions = BrokerVersions()
        scripts = [self.begin(versions=versions) for _ in range(3)]
        for script in scripts:
            script.send(REFUSALS[0])
        for script in scripts:
            script.clock.advance(0)
            self.assertEqual(version_of(script.open()), 4)
            script.send(connack(v5=False))
        logged = [line for script in scripts for line in script.logged()]
        self.assertEqual(sum("does not speak" in line for line in logged), 1)
        self.assertEqual(len(logged), 4)

    def test_another_address(self) -> None:
        """What one broker refuses is tried with the next one."""
        script = self.begin(broker=("one", "other"))
        script.send(REFUSALS[0])
        script.clock.advance(0)
        script.attempts[-1].fail(ConnectionRefusedError())
        script.clock.advance(5)
        self.assertEqual(str(script.attempts[-1].address), "tcp://other:1883")
        self.assertEqual(version_of(script.open()), 5)

    def test_both_refused(self) -> None:
        """An error, the longest wait, then 5 again: there may be another broker by then."""
        script = self.begin(reconnect_max=50.0)
        script.send(REFUSALS[0])
        script.clock.advance(0)
        script.open()
        script.send(packet(0x20, b"\0\x01"))
        [error] = script.logged(LogLevel.error)
        self.assertIn("does not speak MQTT 3.1.1", error)
        self.assertIn("does not speak MQTT 3.1.1", script.noted[-1][1] or "")
        script.clock.advance(20)
        self.assertEqual(len(script.attempts), 2)
        script.clock.advance(40)
        self.assertEqual(version_of(script.open()), 5)

    def test_other_refusals_keep_the_version(self) -> None:
        """A login, for one, is not tried in another version."""
        script = self.begin()
        script.send(connack(v5=True, code=0x86))
        script.clock.advance(0)
        self.assertEqual(len(script.attempts), 1)
        script.clock.advance(100)
        self.assertEqual(version_of(script.open()), 5)

    def test_a_fixed_version_that_is_refused(self) -> None:
        """No other one is tried."""
        for protocol, number, refusal in (("5", 5, REFUSALS[0]), ("3.1.1", 4, REFUSALS[2])):
            script = self.begin(protocol)
            script.send(refusal)
            script.clock.advance(100)
            self.assertEqual(version_of(script.open()), number)
            self.assertIn(f"does not speak MQTT {protocol}", script.logged(LogLevel.error)[0])

    def test_a_broker_that_closes_without_a_word(self) -> None:
        """The line names the setting to try, with 5 only; the version stays."""
        for protocol in ("auto", "5"):
            script = self.begin(protocol)
            script.transport.lost(ConnectionDone())
            [line] = script.logged()
            self.assertIn(HINT, line)
            script.clock.advance(5)
            self.assertEqual(version_of(script.open()), 5)
        script = self.begin("3.1.1")
        script.transport.lost(ConnectionDone())
        self.assertNotIn("protocol =", script.logged()[0])

    def test_a_broker_that_answers_as_of_3_1_1(self) -> None:
        """A CONNACK without properties, since it did not look at the version."""
        script = self.begin()
        script.send(packet(0x20, b"\0\0"))
        script.transport.lost(ConnectionDone())
        [line] = script.logged()
        self.assertIn("broke the protocol", line)
        self.assertIn(HINT, line)

    def test_a_broker_that_does_not_answer(self) -> None:
        """Nor does a broker that waits for more of a CONNECT that it misreads."""
        for protocol, hints in (("auto", 1), ("3.1.1", 0)):
            script = self.begin(protocol, connect_timeout=7.0)
            script.clock.advance(8)
            [line] = script.logged()
            self.assertIn("no answer to CONNECT within 7 s", line)
            self.assertEqual(line.count(HINT), hints)

    def test_stopped_in_between(self) -> None:
        """A stop between the two attempts leaves none."""
        script = self.begin()
        script.send(REFUSALS[0])
        self.successResultOf(script.connection.stopService())
        script.clock.advance(100)
        self.assertEqual(len(script.attempts), 1)


class ReceiveMaximumTests(SynchronousTestCase):
    """How many messages a broker may send without an acknowledgement."""

    def test_a_broker_that_sends_more(self) -> None:
        """They are taken: mosquitto 2.0.11 sends more, and nothing would be won without them."""
        script = Scripted("5", receive_maximum=2)
        script.connection.subscribe("a", 1, script.lines_of)
        script.start()
        self.addCleanup(script.connection.stopService)
        script.send(b"".join(publish(True, b"a", b"x", number) for number in (1, 2, 3)))
        self.assertTrue(script.connection.connected)
        script.batches[0].settle()
        script.clock.advance(0)
        self.assertTrue(script.transport.value().endswith(puback(1, 2, 3)))
