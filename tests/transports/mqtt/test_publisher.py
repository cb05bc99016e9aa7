"""The connection that only publishes, with a broker that the test plays."""

from __future__ import annotations

import struct

from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.backoff import Backoff
from metrics_agent.cause import Cause
from metrics_agent.transports.mqtt.publisher import Publisher
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.reconnecting import Dial
from tests.transports.mqtt.scripted import FakeEndpoint, FakeTransport, connack, packet, publish

SETTINGS = MqttSettings(
    broker="tcp://b:1883", protocol="5", persistent_session=False, connect_timeout=20
)
CONNECT, PUBLISH, DISCONNECT = 0x10, 0x32, 0xE0
CLEAN_START = 0x02


def puback(packet_id: int, code: int | None = None) -> bytes:
    """Write a PUBACK, the short one without a code."""
    return packet(0x40, struct.pack(">H", packet_id) + (b"" if code is None else bytes([code])))


class PublisherTests(SynchronousTestCase):
    """A publisher; its owner notes what it hears."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.heard: list[str] = []
        self.attempts: list[FakeEndpoint] = []
        self.publisher = Publisher(
            self.clock,
            SETTINGS,
            client_id="me",
            name="mqtt://b/t",
            dial=self.dial,
            owner=self,
            backoff=Backoff(1, 30, lambda: 1.0),
            log=Logger(observer=lambda event: self.fail(str(event))),
        )
        self.publisher.start()
        self.addCleanup(self.finish)

    def dial(self) -> Dial:
        self.attempts.append(FakeEndpoint(None))
        return Dial(self.attempts[-1])

    def finish(self) -> None:
        self.publisher.close()
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    # The owner.

    def ready(self) -> None:
        self.heard.append("ready")

    def answered(self, code: int) -> None:
        self.heard.append(f"answered {code}")

    def unanswered(self) -> None:
        self.heard.append("unanswered")

    def up(self) -> None:
        self.heard.append("up")

    def down(self, cause: Cause) -> None:
        self.heard.append(f"down: {cause.text}")

    # The broker.

    def accept(self, properties: bytes = b"") -> FakeTransport:
        """Open the last attempt and accept it; what was written until then is forgotten."""
        self.transport = self.attempts[-1].open()
        self.connect = self.transport.value()
        self.send(connack(True, properties=properties))
        self.transport.clear()
        self.assertEqual(self.heard, ["up", "ready"])
        self.heard.clear()
        return self.transport

    def send(self, data: bytes) -> None:
        self.transport.protocol.dataReceived(data)
        self.clock.advance(0)

    def test_message(self) -> None:
        """It goes out whole at QoS 1, without properties, and its answer comes back."""
        transport = self.accept()
        self.assertTrue(self.publisher.ready)
        self.assertTrue(self.publisher.publish("a/b", b"m x=1 1\n"))
        self.assertFalse(self.publisher.ready)
        self.assertEqual(transport.value(), publish(True, b"a/b", b"m x=1 1\n", 1))
        self.assertFalse(self.publisher.publish("a/b", b"another"), "one at a time")
        self.send(puback(1))
        self.assertEqual((self.heard, self.publisher.ready), (["answered 0"], True))
        transport.clear()
        self.publisher.publish("a/b", b"m x=2 2\n")
        self.assertEqual(transport.value(), publish(True, b"a/b", b"m x=2 2\n", 2))
        for code in (0x10, 0x97):
            self.send(puback(2, code))
            self.send(puback(2, code))
        self.assertEqual(self.heard, ["answered 0", "answered 16"], "once")

    def test_answer_that_mqtt_does_not_know(self) -> None:
        """It is the answer, and the next message is for a new connection, which is made at once."""
        transport = self.accept()
        self.publisher.publish("a/b", b"m x=1 1\n")
        transport.clear()
        self.send(puback(1, 0x95))
        self.assertEqual((self.heard, self.publisher.ready), (["answered 149"], False))
        self.assertEqual(transport.value()[0], DISCONNECT)
        transport.lost(ConnectionDone())
        self.clock.advance(0)
        self.assertEqual(self.heard, ["answered 149"], "nothing is reported as lost")
        self.heard.clear()
        self.accept()
        self.assertTrue(self.publisher.ready)
        self.transport.lost(ConnectionDone())
        self.clock.advance(0)
        self.assertEqual(len(self.attempts), 2, "only once")

    def test_another_answer_that_mqtt_does_not_know(self) -> None:
        """The connection stays: with a new one the owner would publish again without a pause."""
        self.accept()
        for number, code in enumerate((0x93, 0xFF), 1):
            self.publisher.publish("a/b", b"m x=1 1\n")
            self.send(puback(number, code))
            self.assertEqual((self.heard, self.publisher.ready), ([f"answered {code}"], True))
            self.heard.clear()
        self.assertEqual(len(self.attempts), 1)

    def test_session(self) -> None:
        """It is MQTT 5, and no session is kept."""
        self.accept()
        self.assertEqual(self.connect[0], CONNECT)
        self.assertEqual(self.connect[2:10], b"\0\4MQTT\5" + bytes([CLEAN_START]))
        self.assertNotIn(b"\x11", self.connect[12:18], "no Session Expiry Interval")

    def test_lost(self) -> None:
        """What was not answered is the owner's; the packet id of the next life begins again."""
        self.accept()
        self.publisher.publish("a/b", b"m x=1 1\n")
        self.transport.lost(ConnectionDone())
        self.assertEqual(self.heard, ["unanswered", "down: the broker closed the connection"])
        self.assertFalse(self.publisher.publish("a/b", b""))
        self.heard.clear()
        self.clock.advance(1)
        transport = self.accept()
        self.publisher.publish("a/b", b"m x=1 1\n")
        self.assertEqual(transport.value(), publish(True, b"a/b", b"m x=1 1\n", 1))

    def test_idle_and_lost(self) -> None:
        """Nothing is unanswered then."""
        self.accept()
        self.transport.lost(ConnectionDone())
        self.assertEqual(self.heard, ["down: the broker closed the connection"])

    def test_no_connection(self) -> None:
        """A broker that cannot be reached is tried again and again."""
        for delay_s in (1, 2, 4):
            self.attempts[-1].fail(ConnectError(string="no way"))
            count = len(self.attempts)
            self.clock.advance(delay_s)
            self.assertEqual(len(self.attempts), count + 1)
        self.assertEqual(len(self.heard), 3)
        self.assertIn("no way", self.heard[0])

    def test_old_broker(self) -> None:
        """One that refuses MQTT 5 is tried slowly, with a cause that says what is needed."""
        for v5, code in ((True, 0x84), (False, 1)):
            self.heard.clear()
            self.transport = self.attempts[-1].open()
            self.send(connack(v5, code))
            [down] = self.heard
            self.assertIn("does not speak MQTT 5, which is needed: only its answers", down)
            count = len(self.attempts)
            self.clock.advance(29)
            self.assertEqual(len(self.attempts), count)
            self.clock.advance(2)
            self.assertEqual(len(self.attempts), count + 1)

    def test_broker_without_qos_1(self) -> None:
        """It would not answer a message: nothing is sent, and it is tried slowly."""
        self.transport = self.attempts[-1].open()
        self.transport.clear()
        self.transport.protocol.dataReceived(connack(True, properties=b"\x24\x00"))
        self.assertFalse(self.publisher.ready)
        self.assertFalse(self.publisher.publish("a/b", b"m x=1 1\n"))
        self.transport.lost(ConnectionDone())
        self.assertEqual(self.transport.value(), b"")
        [down] = self.heard
        self.assertIn("takes messages at QoS 0 only (Maximum QoS 0)", down)
        self.assertNotIn("does not speak", down)
        count = len(self.attempts)
        self.clock.advance(29)
        self.assertEqual(len(self.attempts), count)
        self.clock.advance(2)
        self.assertEqual(len(self.attempts), count + 1)
        self.heard.clear()
        self.accept(b"\x24\x01")

    def test_old_broker_that_closes(self) -> None:
        """The setting `protocol`, which the output has not, is not named."""
        self.transport = self.attempts[-1].open()
        self.transport.lost(ConnectionDone())
        [down] = self.heard
        self.assertIn("does the broker know MQTT 5?", down)
        self.assertNotIn("protocol", down)

    def test_login_is_refused(self) -> None:
        """The cause says so."""
        self.transport = self.attempts[-1].open()
        self.send(connack(True, 0x87))
        self.assertIn("does not authorise this login", self.heard[0])

    def test_no_answer(self) -> None:
        """A broker that does not answer a message loses the connection."""
        self.accept()
        self.publisher.publish("a/b", b"m x=1 1\n")
        self.clock.advance(19)
        self.assertEqual(self.heard, [])
        self.clock.advance(2)
        self.assertEqual(self.heard, ["unanswered", "down: no answer to PUBLISH within 20 s"])

    def test_longest_payload(self) -> None:
        """With the Maximum Packet Size of the broker, to the byte."""
        transport = self.accept(b"\x27" + struct.pack(">I", 300))
        longest = self.publisher.longest_payload("a/b")
        self.publisher.publish("a/b", b"x" * longest)
        self.assertEqual(len(transport.value()), 300)

    def test_messages_of_others(self) -> None:
        """What was never asked for does no harm."""
        self.accept()
        self.publisher.publish("a/b", b"m x=1 1\n")
        self.send(publish(True, b"x/y", b"payload", 7))
        self.send(puback(1))
        self.assertEqual(self.heard, ["answered 0"])

    def test_close(self) -> None:
        """It says goodbye, and hears no more."""
        transport = self.accept()
        self.publisher.publish("a/b", b"m x=1 1\n")
        transport.clear()
        closed = self.publisher.close()
        self.assertEqual(transport.value()[0], DISCONNECT)
        transport.lost(ConnectionDone())
        self.successResultOf(closed)
        self.clock.advance(100)
        self.assertEqual((len(self.attempts), self.heard), (1, []))
