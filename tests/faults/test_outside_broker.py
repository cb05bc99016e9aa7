"""Faults of the broker, with real mosquitto where a real one can have them."""

from __future__ import annotations

import subprocess
import time

from twisted.internet.threads import deferToThread

from tests.faults.outside_case import CONNACK, FakeBroker, OutsideCase
from tests.integration.broker import Mosquitto
from tests.integration.load import Load
from tests.integration.watching import pause, sequences, until

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
        await self.finish("broker_killed", parent, recovered_ms=recovered_ms)

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
        await self.finish("broker_frozen", parent, recovered_ms=recovered_ms)

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
        await self.finish("broker_restarted_persistent", parent, recovered_ms=recovered_ms)

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
        await self.finish("broker_restarted_empty", parent, recovered_ms=recovered_ms)

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
        await self.finish("broker_refuses_login", parent, recovered_ms=recovered_ms)

    async def test_broker_closes_after_connack(self) -> None:
        """It lets us in and throws us out, for ever: with backoff, in few lines."""

        def close(peer: FakeBroker, _data: bytes) -> None:
            peer.transport.write(CONNACK)
            peer.transport.loseConnection()

        port, made = FakeBroker.listen(self, close)
        self.at_broker(f"tcp://127.0.0.1:{port}", reconnect_max="1s")
        parent = await self.start_beside()
        await pause(4)
        self.assertLess(len(made), 25)
        self.assertGreater(len(made), 3)
        self.assertLessEqual(len(self.mqtt_lines(parent)), 6, self.mqtt_lines(parent))
        await self.finish("broker_closes_after_connack", parent)

    async def test_broker_sends_garbage(self) -> None:
        """What is at that port is no broker: one line says so, and it is tried again."""
        answers = [GARBAGE]

        def answer(peer: FakeBroker, _data: bytes) -> None:
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
        await self.finish("broker_sends_garbage", parent, recovered_ms=recovered_ms)

    async def test_broker_sends_half_packets(self) -> None:
        """Half a packet and nothing more: given up by the keepalive, and tried again."""

        def answer(peer: FakeBroker, _data: bytes) -> None:
            if len(peer.received) == len(_data):
                peer.transport.write(CONNACK + DISCOVERY[:12])

        port, made = FakeBroker.listen(self, answer)
        self.at_broker(f"tcp://127.0.0.1:{port}")
        parent = await self.start_beside()
        since_s = time.monotonic()
        await until(lambda: len(made) > 1, "a second attempt")
        recovered_ms = (time.monotonic() - since_s) * 1000
        await self.finish("broker_sends_half_packets", parent, recovered_ms=recovered_ms)

    async def test_broker_redelivers(self) -> None:
        """The same message twice at QoS 1: written twice, acknowledged twice."""
        message = b'\x0f\x00\x0ctele/p/STATE\x00\x07{"Heap":25}'

        def answer(peer: FakeBroker, _data: bytes) -> None:
            if len(peer.received) == len(_data):
                packet = message[1:]
                first = bytes([0x32, len(packet)]) + packet
                again = bytes([0x3A, len(packet)]) + packet
                peer.transport.write(CONNACK + first + again)

        port, made = FakeBroker.listen(self, answer)
        self.at_broker(f"tcp://127.0.0.1:{port}")
        parent = await self.start_beside()
        # It is a stranger to us, so it waits for its announcement first.
        await until(lambda: bytes(parent.output).count(b"heap=25") == 2, "both")
        await until(lambda: made[0].received.count(b"\x40\x02\x00\x07") == 2, "both PUBACKs")
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
        """Another client uses our id and comes back each time: said in one line, no flood."""
        broker = Mosquitto.start(self)
        self.at_broker(broker.url, reconnect_max="1s")
        parent = await self.start_beside()
        await self.said(parent, "Connected to", "I")
        rival = self.rival(broker.port)
        await self.said(parent, "another client", "", limit_s=40)
        self.assertLessEqual(len(self.mqtt_lines(parent)), 8, self.mqtt_lines(parent))
        rival.kill()
        await deferToThread(rival.wait)
        since_s = time.monotonic()
        load = await Load.connect(self, broker.port, devices=2, rate=200)
        recovered_ms = await self.works_again(parent, load, since_s)
        await self.finish("client_id_taken_over", parent, recovered_ms=recovered_ms)
