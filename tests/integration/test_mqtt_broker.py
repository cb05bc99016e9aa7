"""A connection against a real mosquitto, in both versions of the protocol."""

from __future__ import annotations

import random
import socket
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import Logger, LogLevel, formatEvent
from twisted.trial.unittest import TestCase

from metrics_agent.config import Secret
from metrics_agent.transports.mqtt.connection import MqttConnection
from metrics_agent.transports.mqtt.settings import MqttSettings
from tests.integration.broker import Mosquitto, free_port, with_both_mosquittos

HAS_IPV6 = Path("/proc/net/if_inet6").exists()


async def until(true, what: str, limit_s: float = 10.0) -> None:
    """Wait for a condition; polling is good enough against another process."""
    deadline = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit_s} s for {what}")
        await deferLater(reactor, 0.01)


def publish(
    port: int,
    topic: str,
    payloads: list[bytes],
    qos: int = 1,
    *,
    retain: bool = False,
    login: tuple[str, str] | None = None,
) -> Deferred:
    """Send messages, in order; with paho, since mosquitto_pub of 2.1 loses some of many."""

    def send() -> None:
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        connected = threading.Event()
        client.on_connect = lambda *_answer: connected.set()
        if login:
            client.username_pw_set(*login)
        client.max_inflight_messages_set(1000)
        client.connect("127.0.0.1", port)
        client.loop_start()
        try:
            assert connected.wait(30)
            for each in [client.publish(topic, payload, qos, retain) for payload in payloads]:
                each.wait_for_publish(30)
                assert each.is_published()
        finally:
            client.disconnect()
            client.loop_stop()

    return deferToThread(send)


class Client:
    """A connection whose lines are kept; the test settles the batches."""

    def __init__(self, case: TestCase, url: str, protocol: str, **changes) -> None:
        settings = MqttSettings(broker=url, protocol=protocol, reconnect_min=0.1)
        self.client_id = changes.pop("id", "agent")
        self.payloads: list[bytes] = []
        self.unsettled: list = []
        self.settle_at_once = True
        self.events: list = []
        self.counts: list = []
        self.connection = MqttConnection(
            reactor,
            evolve(settings, **changes),
            client_id=self.client_id,
            write=self._write,
            log=Logger(observer=self.events.append),
            now_ns=time.time_ns,
            random=random.random,
            count=lambda reason, number: self.counts.append((reason, number)),
        )
        case.addCleanup(self.connection.stopService)

    def _write(self, batch) -> None:
        self.payloads += batch.data.splitlines()
        if batch.settle is None:
            return
        if self.settle_at_once:
            reactor.callLater(0, batch.settle)
        else:
            self.unsettled.append(batch.settle)

    def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        self.connection.subscribe(
            topic_filter, qos, lambda message, lines: lines.append(message.payload + b"\n")
        )

    async def start(self) -> None:
        self.connection.startService()
        await until(lambda: self.connection.connected, f"a connection: {self.logged()}")
        # What was asked for is in force when the ping behind it is answered.
        await self.connection.handle_delivered(5)

    def logged(self, *levels) -> list[str]:
        wanted = levels or (LogLevel.info, LogLevel.warn, LogLevel.error, LogLevel.critical)
        return [formatEvent(event) for event in self.events if event["log_level"] in wanted]

    def crash(self) -> None:
        """Vanish without a word, as a killed process does."""
        self.connection._reconnecting._running = False
        self.connection._link._call_transport("abortConnection")


def numbers(count: int) -> list[bytes]:
    """Return that many payloads, each different."""
    return [b"%d" % number for number in range(count)]


class Cases:
    """What holds for both versions."""

    timeout = 40
    protocol = "3.1.1"

    def client(self, broker: Mosquitto | str, **changes) -> Client:
        url = broker if isinstance(broker, str) else broker.url
        return Client(self, url, changes.pop("protocol", self.protocol), **changes)

    async def test_messages_arrive(self) -> None:
        """Login, subscription, retained and live messages, and an orderly end."""
        broker = Mosquitto.start(self, users={"anna": "secret"})
        login = ("anna", "secret")
        await publish(broker.port, "a/retained", [b"old"], retain=True, login=login)
        client = self.client(broker, username="anna", password=Secret("secret"))
        client.subscribe("a/#")
        await client.start()
        await publish(broker.port, "a/live", [b"new"], login=login)
        await until(lambda: client.payloads == [b"old", b"new"], "both messages")
        # The agent does so before it stops its connections.
        self.assertTrue(await client.connection.handle_delivered(5))
        await client.connection.stopService()
        await until(lambda: "Received DISCONNECT from agent" in broker.log, "DISCONNECT")
        self.assertEqual(client.logged(), [f"Connected to tcp://127.0.0.1:{broker.port}."])
        self.assertEqual(broker.log.count("Received PUBACK from agent"), 2)

    async def test_refused_login(self) -> None:
        """A wrong password is one error line, and the right one would still be tried."""
        broker = Mosquitto.start(self, users={"anna": "secret"})
        client = self.client(
            broker, username="anna", password=Secret("wrong"), reconnect_min=0.1, reconnect_max=0.1
        )
        client.connection.startService()
        await until(lambda: broker.log.count("not authorised") > 2, "three attempts")
        [line] = client.logged()
        self.assertIn(f"Cannot connect to tcp://127.0.0.1:{broker.port}: ", line)
        self.assertIn("authorise", line)
        self.assertNotIn("wrong", line)

    async def test_broker_killed_and_back(self) -> None:
        """One line down, one line up, and messages again."""
        broker = Mosquitto.start(self)
        client = self.client(broker)
        client.subscribe("a")
        await client.start()
        broker.kill()
        await until(lambda: len(client.logged()) > 1, "the line down")
        await deferLater(reactor, 0.7)
        broker.start_again()
        await until(lambda: client.connection.connected, "a connection")
        await client.connection.handle_delivered(5)
        await publish(broker.port, "a", [b"again"])
        await until(lambda: client.payloads == [b"again"], "a message")
        _up, down, again = client.logged()
        self.assertIn("Lost the connection", down)
        self.assertRegex(again, r"Connected to tcp://.* again after \d+ s\.")

    async def test_broker_that_is_slow_and_silent(self) -> None:
        """A port that accepts late and never answers costs one connect_timeout, not two."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(listener.close)
        address = listener.getsockname()
        # It fills the queue: the kernel ignores who comes next until someone is accepted.
        first = socket.create_connection(address)
        self.addCleanup(first.close)
        accepted: list[socket.socket] = []
        reactor.callLater(0.5, lambda: accepted.append(listener.accept()[0]))
        client = self.client(f"tcp://127.0.0.1:{address[1]}", connect_timeout=2.0)
        started_s = time.monotonic()
        client.connection.startService()
        await until(client.logged, "the line down")
        took_s = time.monotonic() - started_s
        accepted[0].close()
        self.assertIn("no answer to CONNECT within 2 s", client.logged()[0])
        self.assertGreater(took_s, 1.9)
        self.assertLess(took_s, 2.9)

    async def test_frozen_broker(self) -> None:
        """A broker that is there and does not answer is noticed, and found again."""
        broker = Mosquitto.start(self)
        client = self.client(broker, keepalive=1.0, connect_timeout=1.0)
        await client.start()
        broker.freeze()
        await until(lambda: len(client.logged()) > 1, "the line down")
        self.assertIn("no answer to PINGREQ", client.logged()[1])
        broker.thaw()
        await until(lambda: client.connection.connected, "a connection")

    async def test_crash_with_a_persistent_session(self) -> None:
        """What was not acknowledged comes again to the next process; nothing is lost."""
        broker = Mosquitto.start(self, settings=["max_queued_messages 0"])
        first = self.client(broker)
        first.settle_at_once = False
        first.subscribe("a")
        await first.start()
        sent = numbers(500)
        await publish(broker.port, "a", sent)
        await until(lambda: len(first.payloads) >= 20, "a window of messages")
        for settle in first.unsettled[:1]:
            settle()
        await deferLater(reactor, 0)  # the acknowledgements go out in the next turn
        taken = list(first.payloads)
        first.crash()
        await publish(broker.port, "a", [b"while away"])
        second = self.client(broker)
        second.subscribe("a")
        await second.start()
        await until(lambda: second.payloads[-1:] == [b"while away"], "the last message")
        self.assertEqual(set(taken) | set(second.payloads), {*sent, b"while away"})
        self.assertIn(first.payloads[-1], second.payloads, "what was not acknowledged comes again")

    async def test_a_late_acknowledgement(self) -> None:
        """What came on a connection that is lost is not acknowledged on the next one.

        There its packet ids may be those of other messages; it comes again, and then is.
        """
        broker = Mosquitto.start(self)
        client = self.client(broker)
        client.settle_at_once = False
        client.subscribe("a")
        await client.start()
        sent = numbers(5)
        await publish(broker.port, "a", sent)
        await until(lambda: len(client.payloads) == 5, "all messages")
        first, client.unsettled = client.unsettled, []
        client.connection._link._call_transport("abortConnection")
        await until(lambda: len(client.logged()) == 3, "the next connection")
        await until(lambda: len(client.payloads) == 10, "all messages again")
        for settle in first:
            settle()
        self.assertTrue(await client.connection.handle_delivered(5))
        self.assertNotIn("PUBACK from agent", broker.log)
        for settle in client.unsettled:
            settle()
        await until(lambda: broker.log.count("PUBACK from agent") == 5, "acknowledgements")
        self.assertEqual(client.payloads, sent * 2)

    async def test_paused_for_keepalives(self) -> None:
        """Paused for more than twice the keepalive, the broker keeps us and loses nothing."""
        broker = Mosquitto.start(self)
        client = self.client(broker, keepalive=1.0)
        client.subscribe("a")
        await client.start()
        client.connection.pause_reading("pressure")
        sent = numbers(500)
        await publish(broker.port, "a", sent)
        await deferLater(reactor, 3)
        self.assertEqual(client.payloads, [])
        client.connection.resume_reading("pressure")
        await until(lambda: client.payloads == sent, "all messages, in order")
        self.assertEqual(len(client.logged()), 1, "connected once, never lost")

    async def test_flood(self) -> None:
        """20,000 messages at QoS 1 with settlements that come late: all, once, in order."""
        broker = Mosquitto.start(
            self, settings=["max_queued_messages 0", "log_type error", "max_inflight_messages 500"]
        )
        client = self.client(broker)
        client.settle_at_once = False
        client.subscribe("a")
        await client.start()

        def settle() -> None:
            ready, client.unsettled = client.unsettled, []
            for each in ready:
                each()
            if len(client.payloads) < 20_000:
                reactor.callLater(0.002, settle)

        settle()
        sent = numbers(20_000)
        published = publish(broker.port, "a", sent)
        await until(lambda: len(client.payloads) >= 20_000, "20,000 messages", 30)
        await published
        self.assertEqual(client.payloads, sent)

    async def test_settle_is_a_barrier(self) -> None:
        """What the broker had at QoS 0 before the ping has been handled when it is answered."""
        broker = Mosquitto.start(self, settings=["log_type error"])
        client = self.client(broker)
        client.subscribe("a", 0)
        await client.start()
        sent = numbers(2_000)
        for round_ in range(3):
            client.connection.pause_reading("test")
            await publish(broker.port, "a", sent, 0)
            # QoS 0 has no answer: a QoS 1 message is its barrier.
            await publish(broker.port, "b", [b""], 1)
            client.connection.resume_reading("test")
            self.assertTrue(await client.connection.handle_delivered(5))
            self.assertEqual(len(client.payloads), 2_000 * (round_ + 1))

    async def test_taken_over(self) -> None:
        """Two clients of one id: said once, and no flood while it goes on."""
        broker = Mosquitto.start(self)
        first, second = (self.client(broker, reconnect_max=0.3) for _ in range(2))
        first.connection.startService()
        second.connection.startService()
        logged = "client id 'agent'"
        both = (first, second)
        await until(lambda: any(logged in line for each in both for line in each.logged()), "it")
        await deferLater(reactor, 1)
        for client in (first, second):
            self.assertLessEqual(sum(logged in line for line in client.logged()), 1)
            self.assertLess(len(client.logged()), 8)

    async def test_unix_socket(self) -> None:
        """A broker on a Unix socket; one that is not there is named."""
        broker = Mosquitto.start(self)
        path = broker.directory / "socket"
        client = self.client(f"unix://{path}")
        client.subscribe("a")
        client.connection.startService()
        await until(lambda: len(client.logged()) == 1, "the line down")
        self.assertIn(f"Cannot connect to unix://{path}: No such file or dir", client.logged()[0])
        broker.stop()
        broker.configure(f"listener 0 {path}")
        broker.start_again()
        await until(lambda: client.connection.connected, "a connection")
        await client.connection.handle_delivered(5)
        await publish(broker.port, "a", [b"x"])
        await until(lambda: client.payloads == [b"x"], "a message")

    async def test_nothing_there(self) -> None:
        """A port that no one listens on and a name that does not exist are reported once each."""
        for url, words in (
            (f"tcp://127.0.0.1:{free_port()}", "connection refused"),
            ("tcp://nowhere.invalid", "host name cannot be resolved"),
        ):
            client = self.client(url, reconnect_max=0.1)
            client.connection.startService()
            await until(lambda client=client: client.logged(), "the line down")
            await deferLater(reactor, 0.4)
            [line] = client.logged(LogLevel.warn)
            self.assertIn(words, line)

    async def test_names_and_ipv6(self) -> None:
        """A host name is resolved; an IPv6 address is spoken to."""
        broker = Mosquitto.start(self)
        if HAS_IPV6:
            broker.stop()
            other = free_port()
            broker.configure(f"listener {other} ::1")
            broker.start_again()
            await self.client(f"tcp://[::1]:{other}", id="six").start()
        await self.client(f"tcp://localhost:{broker.port}").start()


@with_both_mosquittos
class Mqtt311Tests(Cases, TestCase):
    """MQTT 3.1.1."""


@with_both_mosquittos
class Mqtt5Tests(Cases, TestCase):
    """MQTT 5."""

    protocol = "5"

    async def unacknowledged(self, broker: Mosquitto, count: int, **changes) -> Client:
        """Return a client that has so many messages and has not acknowledged any of them."""
        client = self.client(broker, **changes)
        client.settle_at_once = False
        client.subscribe("a")
        await client.start()
        if count:
            await publish(broker.port, "a", numbers(count))
        return client

    async def stays_at(self, client: Client, count: int) -> None:
        """Wait for so many messages; no more may come, and the connection holds."""
        await until(lambda: len(client.payloads) >= count, f"{count} messages")
        await deferLater(reactor, 0.5)
        self.assertEqual(len(client.payloads), count)
        self.assertTrue(client.connection.connected)

    async def test_receive_maximum(self) -> None:
        """It holds in place of the broker's own window, be it larger or smaller."""
        for window in (20, 500):
            broker = Mosquitto.start(self, settings=[f"max_inflight_messages {window}"])
            client = await self.unacknowledged(broker, 700, receive_maximum=100)
            await self.stays_at(client, 100)

    async def test_maximum_packet_size(self) -> None:
        """What we send fits into the broker's packets; what cannot is logged, and no more."""
        broker = Mosquitto.start(self, settings=["max_packet_size 100"])
        client = self.client(broker)
        names = [f"{number:030}" for number in range(8)]
        for name in [*names, "x" * 200]:
            client.subscribe(name)
        await client.start()
        self.assertFalse(client.connection.publish("y", b"z" * 200, 1))
        for name in names:
            await publish(broker.port, name, [name.encode()])
        await until(lambda: len(client.payloads) == len(names), f"all: {client.logged()}")
        self.assertEqual(broker.log.count("as agent ("), 1, "one connection")
        self.assertEqual(len(client.logged(LogLevel.error)), 2)

    async def test_a_smaller_receive_maximum_than_before(self) -> None:
        """The broker sends again all that is unacknowledged, and is not cut off for it."""
        broker = Mosquitto.start(self)
        first = await self.unacknowledged(broker, 500, receive_maximum=300)
        await self.stays_at(first, 300)
        first.crash()
        second = await self.unacknowledged(broker, 0, receive_maximum=10)
        await self.stays_at(second, 300)
        second.settle_at_once = True
        for settle in second.unsettled:
            settle()
        await until(lambda: second.payloads[-1] == b"499", "the others")
        self.assertEqual(set(second.payloads), set(numbers(500)))
        self.assertEqual(len(second.logged()), 1, second.logged())

    async def test_a_session_of_3_1_1_goes_on(self) -> None:
        """The first connection with 5 gets what the last one with 3.1.1 left."""
        broker = Mosquitto.start(self)
        first = self.client(broker, protocol="3.1.1")
        first.subscribe("a")
        await first.start()
        first.crash()
        await publish(broker.port, "a", numbers(500))
        second = self.client(broker, protocol="auto")
        second.subscribe("a")
        await second.start()
        await until(lambda: len(second.payloads) == 500, "what was sent meanwhile")
        self.assertIn("(p5, c0,", broker.log)

    async def test_many_messages_over_reconnects(self) -> None:
        """The broker goes on sending: the window of 2.0.11 leaks, ours is fresh at each connect.

        Every other connection ends with 500 messages that are not acknowledged.
        """
        broker = Mosquitto.start(self, settings=["max_queued_messages 0", "log_type error"])
        for turn in range(1, 13):
            client = self.client(broker)
            client.settle_at_once = turn % 2 == 0
            client.subscribe("a")
            await client.start()
            sent = [b"%d.%d" % (turn, number) for number in range(500)]
            await publish(broker.port, "a", sent)
            if client.settle_at_once:
                await self.all_acknowledged(client, 1_000)
            else:
                await self.stays_at(client, 500)
            self.assertEqual(client.payloads[-500:], sent)
            client.crash()

    async def all_acknowledged(self, client: Client, count: int) -> None:
        """Wait for so many messages, and until the broker has their acknowledgements."""
        window = client.connection._link.acknowledgements
        await until(lambda: len(client.payloads) >= count and not window, f"{count} messages")
        self.assertTrue(await client.connection.handle_delivered(5))
