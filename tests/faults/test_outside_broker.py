"""Faults of the broker, with real mosquitto where a real one can have them."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from tests.faults.broker_log import BrokerLog
from tests.faults.news import assert_news, downs, ups
from tests.faults.numbered import number_of
from tests.faults.outside_case import FakeBroker, OutsideCase
from tests.faults.wire import Wire
from tests.integration.broker import Mosquitto, with_both_mosquittos
from tests.integration.watching import pause, until

CONNECT = b"\x10"
PINGREQ = b"\xc0\x00"
PINGRESP = b"\xd0\x00"
GARBAGE = b"HTTP/1.1 400 Bad Request\r\n\r\n"
RIVAL_KEEPALIVE_S = 61
SUBSCRIBE = b"\x82"
HALF_A_PACKET = b'\x30\xff\x7f\x00\x0btele/p/STATE{"a":1'
"""Of 16 KiB."""


@with_both_mosquittos
class BrokerTests(OutsideCase):
    """One line when it is lost, one when it is back."""

    async def test_broker_killed(self) -> None:
        """Killed and started again: one line down, one up; telemetry continues."""
        broker = Mosquitto.start(self)
        self.at_broker(broker.url, broker)
        parent = await self.start_beside()
        await self.at_work(parent)
        broker.kill()
        await self.back("broker_killed", parent, broker.start_again)

    async def back(self, name: str, parent: Any, begin: Callable[[], object]) -> None:
        """See that the loss is reported; begin again, and see that all is well."""
        await self.said(parent, "Lost the connection", "W")
        begin()
        since_s = time.monotonic()
        await self.said(parent, "again after", "I")
        recovered_ms = await self.works_again(parent, since_s)
        self.assertEqual(len(self.mqtt_lines(parent)), 3, self.mqtt_lines(parent))
        await self.finish(name, parent, down=1, up=1, recovered_ms=recovered_ms)

    async def test_broker_frozen(self) -> None:
        """It answers nothing for longer than the keepalive: taken for dead, and found again."""
        broker = Mosquitto.start(self)
        self.at_broker(broker.url, broker, connect_timeout="2s")
        parent = await self.start_beside()
        await self.at_work(parent)
        broker.freeze()
        await self.back("broker_frozen", parent, broker.thaw)

    async def test_broker_restarted_persistent(self) -> None:
        """It keeps its sessions: what was sent at QoS 1 before we were back is there."""
        broker = Mosquitto.start(self, persistent=True)
        self.at_broker(broker.url, broker, reconnect_min="3s", reconnect_max="3s")
        parent = await self.start_beside()
        await self.at_work(parent)
        broker.stop()
        await self.said(parent, "Lost the connection", "W")
        broker.start_again()
        since_s = time.monotonic()
        await self.at_fault.publisher.connected()
        self.at_fault.publisher.send(100)
        await self.at_fault.publisher.settle()
        self.assertFalse(self.lines_with(parent, "again after"), "it was back too soon")
        await self.said(parent, "again after", "I")
        recovered_ms = await self.works_again(parent, since_s)
        _one, zero = await self.finish(
            "broker_restarted_persistent", parent, down=1, up=1, recovered_ms=recovered_ms
        )
        self.assertGreaterEqual(zero.not_passed, 100, "nothing was sent while it was away")

    async def test_broker_restarted_empty(self) -> None:
        """It has forgotten all: everything is subscribed again."""
        broker = Mosquitto.start(self)
        self.at_broker(broker.url, broker)
        parent = await self.start_beside()
        await self.at_work(parent)
        broker.stop()
        await self.back("broker_restarted_empty", parent, broker.start_again)

    async def test_broker_refuses_login(self) -> None:
        """One line says so; with the right password it connects."""
        broker = Mosquitto.start(self, users={"anna": "wrong"})
        self.at_broker(
            broker.url,
            broker,
            login=("anna", "wrong"),
            username="anna",
            password="right",
            reconnect_max="1s",
        )
        parent = await self.start_beside()
        await until(lambda: self.mqtt_lines(parent), "a line")
        await pause(2)
        (line,) = self.mqtt_lines(parent)
        self.assertIn("does not authorise this login", line)
        self.assertIn(f":{broker.port}", line)
        self.assertNotIn("right", line)
        # Not by a restart: an attempt that met the end of the broker would have another cause.
        broker.set_users({"anna": "right"})
        self.at_fault.publisher.login = ("anna", "right")
        broker.reload()
        since_s = time.monotonic()
        await self.connected(parent)
        recovered_ms = await self.works_again(parent, since_s)
        await self.finish("broker_refuses_login", parent, down=1, up=1, recovered_ms=recovered_ms)

    async def test_broker_redelivers(self) -> None:
        """What was written and not acknowledged when the connection broke comes again, no more.

        No one reads our output, so the lines wait and with them the acknowledgements; then the
        connection breaks. What had been acknowledged before never comes again.
        """
        broker = Mosquitto.start(self)
        wire = Wire(self, broker.port)
        self.at_broker(wire.url, broker)
        parent = await self.start_beside()
        await self.at_work(parent)
        parent.freeze()
        await until(lambda: len(self.waiting_at(broker)) > 10, "messages that wait")
        wire.cut()
        acknowledged = self.seen_at(broker)[1]
        await self.said(parent, "Lost the connection", "W")
        since_s = time.monotonic()
        parent.thaw()
        await self.said(parent, "again after", "I")
        recovered_ms = await self.works_again(parent, since_s)
        passed, _acknowledged, redelivered = self.seen_at(broker)
        self.assertGreater(len(redelivered), 10)
        self.assertFalse(redelivered & acknowledged)
        numbers = [
            point.number
            for point in self.points(parent, "numbers")
            if point.tags == "qos=1,to=agent" and point.number in passed
        ]
        self.assertEqual(list(dict.fromkeys(numbers)), sorted(set(numbers)), "the order")
        twice = {number for number in numbers if numbers.count(number) > 1}
        self.assertTrue(twice)
        self.assertTrue(twice <= redelivered, f"{twice} twice, sent twice: {redelivered}")
        await self.finish("broker_redelivers", parent, down=1, up=1, recovered_ms=recovered_ms)

    def waiting_at(self, broker: Mosquitto) -> set[int]:
        """Return the numbers at QoS 1 that were sent to us and are not acknowledged."""
        passed, acknowledged, _again = self.seen_at(broker)
        return passed - acknowledged

    def seen_at(self, broker: Mosquitto) -> tuple[set[int], set[int], set[int]]:
        """Return the numbers at QoS 1 that were sent to us, acknowledged, and sent again."""
        log = BrokerLog(f"{broker.log}\nSending CONNACK to agent (1, 0)\n", "agent")
        sent = [topic for topic in log.passed() if topic.startswith("numbers/agent/1/")]
        again = re.findall(r"Sending PUBLISH to agent \(d1, .*'(numbers/agent/1/\d+)'", broker.log)
        acknowledged = [topic for topic in sent if log.arrivals[topic].acknowledged]
        return tuple(  # type: ignore[return-value]  # three
            {number_of(topic)[1] for topic in topics} for topics in (sent, acknowledged, again)
        )

    def rival(self, port: int) -> subprocess.Popen[bytes]:
        """Start a client with our id that comes back whenever it is thrown out."""
        self.at_fault.rival_keepalive = RIVAL_KEEPALIVE_S
        rival = subprocess.Popen(
            [
                *("mosquitto_sub", "-p", str(port), "-i", "agent", "-t", "x"),
                *("-k", str(RIVAL_KEEPALIVE_S)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(rival.communicate)
        self.addCleanup(rival.kill)
        return rival

    async def test_client_id_taken_over(self) -> None:
        """Another client uses our id and comes back each time: a loss, its reason, no more.

        From 2.0.12 on mosquitto says the reason itself, the first time too.
        """
        broker = Mosquitto.start(self)
        self.at_broker(broker.url, broker, reconnect_max="1s")
        parent = await self.start_beside()
        await self.at_work(parent)
        rival = self.rival(broker.port)
        await until(lambda: len(downs(parent)) > 1, "the second loss that is logged", 40)
        self.assertIn("another client", downs(parent)[1])
        await pause(3)
        await assert_news(self, parent, 2, 1)
        rival.kill()
        await deferToThread(rival.wait)
        since_s = time.monotonic()
        await self.said(parent, "again after", "I", times=2)
        recovered_ms = await self.works_again(parent, since_s)
        await self.finish("client_id_taken_over", parent, down=2, up=2, recovered_ms=recovered_ms)


class FakeBrokerTests(OutsideCase):
    """A peer that no mosquitto would be; messages are sent through another, healthy broker."""

    async def test_broker_closes_after_connack(self) -> None:
        """It lets us in and throws us out again and again: with backoff, and the log is short.

        The first time is a loss as any other. The third in a row makes it likely that another
        client has our id, and that is said. No more is, until a connection lasts.
        """
        closes = [True]

        def answer(peer: FakeBroker, data: bytes) -> None:
            if data[:1] == CONNECT:
                peer.accept(data)
                if closes[0]:
                    peer.transport.loseConnection()
            elif data[:1] == SUBSCRIBE:
                peer.grant(data)
            elif data == PINGREQ:
                peer.transport.write(PINGRESP)

        port, made = FakeBroker.listen(self, answer)
        self.at_broker(f"tcp://127.0.0.1:{port}", reconnect_max="1s")
        parent = await self.start_beside()
        await pause(6)
        self.assertLess(len(made), 25)
        self.assertGreater(len(made), 5)
        await assert_news(self, parent, 2, 1)
        # Our SUBSCRIBE that finds the socket closed makes it a reset, as it happens.
        self.assertRegex(downs(parent)[0], "the broker closed the connection|connection was cut")
        self.assertIn("another client may use the client id", downs(parent)[1])
        closes[0] = False
        since_s = time.monotonic()
        await until(lambda: len(ups(parent)) > 1, "a connection that lasts", 30)
        recovered_ms = (time.monotonic() - since_s) * 1000
        await self.finish(
            "broker_closes_after_connack", parent, down=2, up=2, recovered_ms=recovered_ms
        )

    async def test_broker_sends_garbage(self) -> None:
        """What is at that port is not a broker: one line says so, and it is tried again."""
        is_broker = [False]

        def answer(peer: FakeBroker, data: bytes) -> None:
            if data[:1] == CONNECT and is_broker[0]:
                peer.accept(data)
            elif data[:1] == CONNECT:
                peer.transport.write(GARBAGE)
            elif data[:1] == SUBSCRIBE:
                peer.grant(data)

        port, made = FakeBroker.listen(self, answer)
        self.at_broker(f"tcp://127.0.0.1:{port}")
        parent = await self.start_beside()
        await until(lambda: len(made) > 3, "some attempts")
        (line,) = self.mqtt_lines(parent)
        self.assertIn("the port speaks HTTP, not MQTT", line)
        is_broker[0] = True
        since_s = time.monotonic()
        await self.connected(parent)
        recovered_ms = (time.monotonic() - since_s) * 1000
        await self.finish("broker_sends_garbage", parent, down=1, up=1, recovered_ms=recovered_ms)

    async def test_broker_sends_half_packets(self) -> None:
        """Half a packet, and then nothing more or a byte now and then: given up by the keepalive.

        Until then the connection has lasted, so each loss is news.
        """

        def drip(peer: FakeBroker) -> None:
            if made.index(peer) == 1 and peer.transport.connected:
                peer.transport.write(b"x")
                reactor.callLater(0.2, drip, peer)

        def answer(peer: FakeBroker, data: bytes) -> None:
            is_whole = len(made) > 2
            if data[:1] == CONNECT:
                peer.accept(data)
            elif data[:1] == SUBSCRIBE:
                peer.grant(data)
                if not is_whole:
                    peer.transport.write(HALF_A_PACKET)
                    drip(peer)
            elif data == PINGREQ and is_whole:
                peer.transport.write(PINGRESP)

        port, made = FakeBroker.listen(self, answer)
        self.at_broker(f"tcp://127.0.0.1:{port}")
        parent = await self.start_beside()
        since_s = time.monotonic()
        await until(lambda: len(made) > 1, "a second attempt", 30)
        recovered_ms = (time.monotonic() - since_s) * 1000
        await until(lambda: len(made) > 2, "a third one", 30)
        await pause(3)
        await self.finish(
            "broker_sends_half_packets", parent, down=2, up=2, recovered_ms=recovered_ms
        )
