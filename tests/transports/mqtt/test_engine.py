"""paho as an engine: the private seam that we rest on, pinned."""

from __future__ import annotations

import inspect
import socket
from importlib.metadata import PackageNotFoundError, requires
from unittest import SkipTest
from unittest.mock import patch

import paho.mqtt
from paho.mqtt.client import Client
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.config import Secret
from metrics_agent.errors import ProtocolError
from metrics_agent.transports.mqtt import engine
from metrics_agent.transports.mqtt.engine import (
    Accepted,
    Disconnected,
    Engine,
    Published,
    Refused,
    Subscribed,
    Unsubscribed,
)
from metrics_agent.transports.mqtt.packets import encode_fixed_header
from metrics_agent.transports.mqtt.settings import MqttSettings
from metrics_agent.transports.mqtt.splitter import PacketSplitter
from tests.transports.mqtt.scripted import connack, suback, unsuback


class SeamTests(SynchronousTestCase):
    """A paho that has changed where we hook in must fail here, not in the field."""

    def test_version(self) -> None:
        """Version 2 of paho is what we know."""
        self.assertEqual(paho.mqtt.__version__.partition(".")[0], "2")

    def test_the_next_major_version_is_not_installed(self) -> None:
        """The distribution asks for paho below 3: another seam must not come by an upgrade."""
        try:
            required = requires("metrics-agent") or ()
        except PackageNotFoundError:
            raise SkipTest("the tests run without an installed package") from None
        (paho_mqtt,) = [each for each in required if each.startswith("paho-mqtt")]
        self.assertIn("<3", paho_mqtt)

    def test_connecting_does_not_look_up_a_name(self) -> None:
        """`connect` takes what `_create_socket` gives, and asks no resolver for its host."""
        made = Engine(MqttSettings(), "id", lambda _: None)
        with patch.object(socket, "getaddrinfo", side_effect=AssertionError("a look-up")):
            made.connect()
        self.assertIs(made._client.socket(), made._pipe)

    def test_a_packet_is_read_in_one_call(self) -> None:
        """`loop_read` takes a whole packet from our pipe and leaves nothing in it."""
        for v5 in (False, True):
            made = Engine(MqttSettings(protocol="5" if v5 else "3.1.1"), "id", lambda _: None)
            made.connect()
            made._pipe.put(connack(v5))
            made._client.loop_read()
            self.assertTrue(made._pipe.empty)
            self.assertEqual(len(made._events), 1)

    def test_why_callbacks_must_not_raise(self) -> None:
        """A packet whose callback raised is handled again: it is why ours only take notes."""
        made = Engine(MqttSettings(), "id", lambda _: None)
        made.connect()
        made.feed(connack(v5=True)[0], connack(v5=True)[2:])
        calls = []

        def on_subscribe(*_arguments: object) -> None:
            calls.append(1)
            raise ZeroDivisionError

        made._client.on_subscribe = on_subscribe
        made._pipe.put(suback(False, 1, 0))
        for _ in range(3):
            self.assertRaises(ZeroDivisionError, made._client.loop_read)
        self.assertEqual(len(calls), 3)

    def test_socket_is_made_in_one_place(self) -> None:
        """`reconnect` takes its socket from `_create_socket`, which takes no argument."""
        self.assertEqual(list(inspect.signature(Client._create_socket).parameters), ["self"])
        self.assertIn("self._create_socket()", inspect.getsource(Client.reconnect))
        self.assertIs(engine._Client.__mro__[1], Client)

    def test_no_socket_and_no_thread(self) -> None:
        """An engine that has connected owns neither a descriptor nor a thread."""
        made = Engine(MqttSettings(), "id", lambda _: None)
        made.connect()
        client = made._client
        self.assertEqual(client.socket().fileno(), -1)
        self.assertIsNone(client._thread)
        self.assertIsNone(client._sockpairR)

    def test_message_keeps_its_raw_topic(self) -> None:
        """`_topic` of a message is bytes, whatever is in them."""
        from paho.mqtt.client import MQTTMessage

        self.assertEqual(MQTTMessage(topic=b"\xff")._topic, b"\xff")


class Cases:
    """What the engine writes and understands in both versions."""

    protocol = "3.1.1"

    def make(self, **settings) -> Engine:
        self.written = b""
        made = Engine(MqttSettings(protocol=self.protocol, **settings), "me", self._write)
        made.connect()
        return made

    def _write(self, data: bytes) -> None:
        self.written += data

    def feed(self, made: Engine, data: bytes) -> list:
        return list(made.feed(data[0], data[2:]))

    def connected(self, **settings) -> Engine:
        made = self.make(**settings)
        self.feed(made, connack(made.v5))
        self.written = b""
        return made

    def test_connect(self) -> None:
        """CONNECT carries id, login, keepalive and whether the session is to be kept."""
        self.make(username="anna", password=Secret("word"), keepalive=42.0)
        self.assertEqual(self.written[0], 0x10)
        self.assertIn(
            b"\x00\x04MQTT" + (b"\x05" if self.protocol == "5" else b"\x04"), self.written
        )
        flags, high, low = self.written[9:12]
        self.assertEqual((flags, high, low), (0xC0, 0, 42))
        self.assertTrue(self.written.endswith(b"\x00\x02me\x00\x04anna\x00\x04word"))

    def test_a_clean_session(self) -> None:
        """Without a persistent session the broker is to start again."""
        self.make(persistent_session=False)
        self.assertEqual(self.written[9], 0x02)

    def test_answers(self) -> None:
        """Answers become events with their numbers."""
        made = self.make()
        self.assertEqual(self.feed(made, connack(made.v5, session=True)), [Accepted(True, 30.0)])
        packet_id = made.subscribe([("a", 1), ("b", 0)])
        self.assertEqual(
            self.feed(made, suback(made.v5, packet_id, 1, 0x80)), [Subscribed(packet_id, (1, 0x80))]
        )
        packet_id = made.unsubscribe(["a"])
        self.assertEqual(self.feed(made, unsuback(made.v5, packet_id)), [Unsubscribed(packet_id)])

    def test_every_refusal_comes_through(self) -> None:
        """Codes that paho keeps to itself are events too."""
        for code in range(1, 256):
            made = self.make()
            self.assertEqual(self.feed(made, connack(made.v5, code)), [Refused(code)])

    def test_garbage(self) -> None:
        """Any packet of any type with any short body gives events or a ProtocolError."""
        for first in range(256):
            for body in (b"", b"\x00", b"\x00\x01", b"\x00\x01\x00", b"\xff" * 9):
                if first & 0xF6 in {0x30, 0x32}:
                    continue
                made = self.connected()
                try:
                    made.feed(first, body)
                except ProtocolError as error:
                    self.assertEqual(error.reason, "malformed_packet")

    def test_a_fault_in_paho_is_a_protocol_error(self) -> None:
        """Whatever paho raises stays inside."""
        made = self.connected()
        made._client.loop_read = lambda: 1 / 0
        self.assertRaises(ProtocolError, made.feed, 0x90, b"\x00\x01\x00")

    def test_a_packet_after_an_error(self) -> None:
        """A refused packet is not read again with the next one."""
        made = self.connected()
        self.assertRaises(ProtocolError, made.feed, 0xF0, b"")

    def test_broker_ping_is_answered(self) -> None:
        """What paho answers while it reads is written at once."""
        made = self.connected()
        made.feed(0xC0, b"")
        self.assertEqual(self.written, b"\xd0\x00")

    def test_disconnect(self) -> None:
        """DISCONNECT is two bytes: no reason, no will, and the session stays."""
        made = self.connected()
        made.disconnect()
        self.assertEqual(self.written, b"\xe0\x00")


class Mqtt311Tests(Cases, SynchronousTestCase):
    """MQTT 3.1.1."""

    def test_no_disconnect_from_the_broker(self) -> None:
        """MQTT 3.1.1 knows no DISCONNECT from the broker."""
        self.assertRaises(ProtocolError, self.connected().feed, 0xE0, b"")


class Mqtt5Tests(Cases, SynchronousTestCase):
    """MQTT 5."""

    protocol = "5"

    def test_many_properties(self) -> None:
        """A packet with more of them than any broker sends is refused before they are read."""
        properties = (b"\x26" + b"\0\1k\0\1v") * 20_000
        size = encode_fixed_header(0, len(properties))[1:]
        for first, head in (
            (0xE0, b"\x9d"),
            (0x90, b"\0\1"),
            (0x34, b"\0\1a\0\1"),
        ):
            made = self.connected()
            error = self.assertRaises(ProtocolError, made.feed, first, head + size + properties)
            self.assertEqual(error.reason, "packet_too_long")

    def test_properties_of_connect(self) -> None:
        """Session expiry and Receive Maximum only: no topic alias, no Maximum Packet Size."""
        self.make(session_expiry=3600.0, receive_maximum=1000)
        # After protocol, version, flags and keepalive.
        self.assertEqual(self.written[12:21], b"\x08\x11\x00\x00\x0e\x10\x21\x03\xe8")

    def test_the_brokers_window_and_qos_hold(self) -> None:
        """A broker may take fewer messages at once, and none at QoS 1."""
        for properties, firsts in (
            (b"", [0x32] * 20),
            (b"\x21\0\2", [0x32] * 2),
            (b"\x21\0\xff", [0x32] * 20),
            (b"\x24\0", [0x30] * 30),
            (b"\x21\0\1\x24\1", [0x32]),
        ):
            made = self.make()
            self.feed(made, connack(v5=True, properties=properties))
            self.written = b""
            for _ in range(30):
                self.assertTrue(made.publish("a", b"", 1))
            sent = PacketSplitter(1 << 10).feed(self.written)
            self.assertEqual([first for first, _ in sent], firsts)

    def test_every_answer_to_a_message_comes_through(self) -> None:
        """Also a code that MQTT 5 does not know there, as mosquitto's 0x95."""
        made = self.make()
        self.feed(made, connack(v5=True, properties=b"\x21\0\1"))
        made.report_published()
        made.publish("a", b"", 1)
        for number, code in enumerate((0x00, 0x10, 0x80, 0x95, 0x97, 0xFF), 1):
            made.publish("a", b"", 1)
            self.written = b""
            answer = bytes([0, number, code])
            self.assertEqual(list(made.feed(0x40, answer)), [Published(code)])
            self.assertEqual(self.written[:1], b"\x32", "the next message")

    def test_disconnect_from_the_broker(self) -> None:
        """Its reason becomes an event."""
        self.assertEqual(list(self.connected().feed(0xE0, b"\x8e")), [Disconnected(0x8E)])
