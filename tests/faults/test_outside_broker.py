"""Faults of the broker, with real mosquitto where a real one can have them."""

from __future__ import annotations

import re
import subprocess
import time

from twisted.internet.threads import deferToThread

from tests.faults.news import assert_news, downs, ups
from tests.faults.outside_case import CONNACK, FakeBroker, OutsideCase
from tests.integration.broker import Mosquitto
from tests.integration.load import Load
from tests.integration.watching import pause, sequences, until

CONNECT = b"\x10"
PINGREQ = b"\xc0\x00"
PINGRESP = b"\xd0\x00"
GARBAGE = b"HTTP/1.1 400 Bad Request\r\n\r\n"
DISCOVERY = b'\x30\x16\x00\x0btele/p/STATE{"a":1}'


class BrokerTests(OutsideCase):
    """One line when it is lost, one when it is back."""

    async def test_broker_killed(self) -> None:
        """Killed and started again: one line down, one up, telemetry goes on."""
        broker = Mosquitto.start(self)
        self.at_broker(broker.url)
        parent = await self.start_beside()
        await self.loaded(broker, parent)
        broker.kill()
        await self.said(parent, "Lost the connection", "W")
        broker.start_again()
        since_s = time.monotonic()
        await self.said(parent, "again after", "I")
        load = await Load.connect(self, broker.port, devices=2, rate=200)
        recovered_ms = await self.works_again(parent, load, since_s)
        self.assertEqual(len(self.mqtt_lines(parent)), 3, self.mqtt_lines(parent))
        await self.finish("broker_killed", parent, down=1, up=1, recovered_ms=recovered_ms)

    async def test_broker_frozen(self) -> None:
        """It answers nothing for longer than the keepalive: taken for dead, and found again."""
        broker = Mosquitto.start(self)
        self.at_broker(broker.url, connect_timeout="2s")
        parent = await self.start_beside()
        load = await self.loaded(broker, parent)
        broker.freeze()
        await self.said(parent, "Lost the connection", "W")
        broker.thaw()
        since_s = time.monotonic()
        await self.said(parent, "again after", "I")
        recovered_ms = await self.works_again(parent, load, since_s)
        self.assertEqual(len(self.mqtt_lines(parent)), 3, self.mqtt_lines(parent))
        await self.finish("broker_frozen", parent, down=1, up=1, recovered_ms=recovered_ms)

    async def test_broker_restarted_persistent(self) -> None:
        """It keeps its sessions: what was sent at QoS 1 before we were back is there."""
        broker = Mosquitto.start(self, persistent=True)
        self.at_broker(broker.url, reconnect_min="1s", reconnect_max="1s")
        parent = await self.start_beside()
        await self.loaded(broker, parent)
        broker.stop()
        await self.said(parent, "Lost the connection", "W")
        broker.start_again()
        since_s = time.monotonic()
        load = await Load.connect(self, broker.port, devices=2, qos=1)
        load.send(200)
        sent = await load.barrier()
        self.assertFalse(self.lines_with(parent, "again after"), "it was back too soon")
        await self.received(parent, sent)
        recovered_ms = (time.monotonic() - since_s) * 1000
        self.assert_nothing_lost(sequences(parent.lines()), sent)
        await self.finish(
            "broker_restarted_persistent", parent, down=1, up=1, recovered_ms=recovered_ms
        )

    async def test_broker_restarted_empty(self) -> None:
        """It has forgotten all: everything is subscribed again."""
        broker = Mosquitto.start(self)
        self.at_broker(broker.url)
        parent = await self.start_beside()
        await self.loaded(broker, parent)
        broker.stop()
        await self.said(parent, "Lost the connection", "W")
        broker.start_again()
        since_s = time.monotonic()
        await self.said(parent, "again after", "I")
        load = await Load.connect(self, broker.port, devices=2, rate=200, name="other")
        recovered_ms = await self.works_again(parent, load, since_s)
        await self.finish("broker_restarted_empty", parent, down=1, up=1, recovered_ms=recovered_ms)

    async def test_broker_refuses_login(self) -> None:
        """One line says so; with the right password it connects."""
        broker = Mosquitto.start(self, users={"anna": "wrong"})
        self.at_broker(broker.url, username="anna", password="right", reconnect_max="1s")
        parent = await self.start_beside()
        await until(lambda: self.mqtt_lines(parent), "a line")
        await pause(2)
        (line,) = self.mqtt_lines(parent)
        self.assertIn("does not authorise this login", line)
        self.assertIn(f":{broker.port}", line)
        self.assertNotIn("right", line)
        broker.stop()
        broker.set_users({"anna": "right"})
        broker.start_again()
        since_s = time.monotonic()
        await self.said(parent, "Connected to", "I")
        recovered_ms = (time.monotonic() - since_s) * 1000
        await self.finish("broker_refuses_login", parent, down=1, up=1, recovered_ms=recovered_ms)

    async def test_broker_closes_after_connack(self) -> None:
        """It lets us in and throws us out again and again: with backoff, and the log is short.

        The first time is a loss as any other. The third in a row makes it likely that another
        client has our id, and that is said. No more is, until a connection lasts.
        """
        closes = [True]

        def answer(peer: FakeBroker, data: bytes) -> None:
            if data[:1] == CONNECT:
                peer.transport.write(CONNACK)
                if closes[0]:
                    peer.transport.loseConnection()
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
        """What is at that port is no broker: one line says so, and it is tried again."""
        answers = [GARBAGE]

        def answer(peer: FakeBroker, data: bytes) -> None:
            if data[:1] == CONNECT:
                peer.transport.write(answers[0])

        port, made = FakeBroker.listen(self, answer)
        self.at_broker(f"tcp://127.0.0.1:{port}")
        parent = await self.start_beside()
        await until(lambda: len(made) > 3, "some attempts")
        (line,) = self.mqtt_lines(parent)
        self.assertIn("the port speaks HTTP, not MQTT", line)
        answers[0] = CONNACK
        since_s = time.monotonic()
        await self.said(parent, "Connected to", "I")
        recovered_ms = (time.monotonic() - since_s) * 1000
        await self.finish("broker_sends_garbage", parent, down=1, up=1, recovered_ms=recovered_ms)

    async def test_broker_sends_half_packets(self) -> None:
        """Half a packet and nothing more, twice: given up by the keepalive, and tried again.

        Until then the connection has lasted, so each loss is news.
        """

        def answer(peer: FakeBroker, data: bytes) -> None:
            is_whole = len(made) > 2
            if data[:1] == CONNECT:
                peer.transport.write(CONNACK if is_whole else CONNACK + DISCOVERY[:12])
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

    async def test_broker_redelivers(self) -> None:
        """Three messages at QoS 1, sent again: each is written twice, in the order of the wire."""

        def packet(number: int, first_byte: int) -> bytes:
            body = b"\x00\x0ctele/p/STATE" + bytes([0, number, 0]) + b'{"Heap":%d}' % (20 + number)
            return bytes([first_byte, len(body)]) + body

        def answer(peer: FakeBroker, data: bytes) -> None:
            if data[:1] == CONNECT:
                first = [packet(number, 0x32) for number in (1, 2, 3)]
                again = [packet(number, 0x3A) for number in (1, 2, 3)]
                peer.transport.write(CONNACK + b"".join(first + again))

        port, made = FakeBroker.listen(self, answer)
        self.at_broker(f"tcp://127.0.0.1:{port}")
        parent = await self.start_beside()

        def written() -> list[int]:
            return [int(heap) for heap in re.findall(rb"heap=(\d+)", bytes(parent.output))]

        # It is a stranger to us, so it waits for its announcement first.
        await until(lambda: len(written()) >= 6, lambda: f"all six, not {written()}")
        self.assertEqual(written(), [21, 22, 23, 21, 22, 23])

        def acknowledged() -> list[int]:
            return [number for (number,) in re.findall(rb"\x40\x02\x00(.)", made[0].received)]

        await until(lambda: len(acknowledged()) >= 6, "all PUBACKs")
        self.assertEqual(acknowledged(), [1, 2, 3, 1, 2, 3])
        await self.finish("broker_redelivers", parent)

    def rival(self, port: int) -> subprocess.Popen[bytes]:
        """Start a client with our id that comes back whenever it is thrown out."""
        rival = subprocess.Popen(
            ["mosquitto_sub", "-p", str(port), "-i", "agent", "-t", "x", "-k", "5"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(rival.communicate)
        self.addCleanup(rival.kill)
        return rival

    async def test_client_id_taken_over(self) -> None:
        """Another client uses our id and comes back each time: a loss, its reason, no more."""
        broker = Mosquitto.start(self)
        self.at_broker(broker.url, reconnect_max="1s")
        parent = await self.start_beside()
        await self.said(parent, "Connected to", "I")
        rival = self.rival(broker.port)
        await self.said(parent, "another client", "W", limit_s=40)
        await pause(3)
        await assert_news(self, parent, 2, 1)
        rival.kill()
        await deferToThread(rival.wait)
        since_s = time.monotonic()
        load = await Load.connect(self, broker.port, devices=2, rate=200)
        recovered_ms = await self.works_again(parent, load, since_s)
        await self.finish("client_id_taken_over", parent, down=2, up=2, recovered_ms=recovered_ms)
