"""What is promised at QoS 1, in both versions, at mosquitto's defaults and with large limits.

The promises that concern the reader of the output too are in `test_delivery`, each by its number;
they are run here once more in MQTT 3.1.1.
"""

from __future__ import annotations

import re
import signal
from typing import Any

from tests.integration.broker import Mosquitto, with_both_mosquittos
from tests.integration.case import CLIENT_ID, AgentCase
from tests.integration.load import Load
from tests.integration.mqtt_agent import MqttCase
from tests.integration.test_delivery import Delivery
from tests.integration.watching import memory_bytes, pause, sequences, until

WINDOW = 20
"""What mosquitto sends at QoS 1 before it wants an acknowledgement, by default."""
RECEIVE_MAXIMUM = 1_000
"""What it sends instead with MQTT 5, by our default."""
QUEUED = 1_000
"""What it keeps beyond that for a client."""
KEEPALIVE_S = 5
"""The shortest that the settings allow; a broker gives up after one and a half of it."""
SMALL_QUEUE = 'queue_limit = "1MiB"\nqueue_high_mark = "8KiB"\nqueue_low_mark = "2KiB"\n'
MEBI = 1 << 20

SENT = re.compile(rf"Sending PUBLISH to {CLIENT_ID} \(d\d, q1, r0, m(\d+)")
ACKNOWLEDGED = re.compile(rf"Received PUBACK from {CLIENT_ID} \(Mid: (\d+)")


class Promises:
    """What holds for both versions and all limits.

    Attributes:
        limits: lines of mosquitto's settings.
        window: how many messages the broker sends before it wants an acknowledgement.
        kept: how many it has for us at most, over all.
        stall_s: how long the reader stalls.
    """

    limits: tuple[str, ...] = ()
    window = WINDOW
    kept = WINDOW + QUEUED
    stall_s = 2

    async def loaded(self, top: str = "", **settings: Any) -> tuple[Mosquitto, Load, Any]:
        """Return a broker, a load, and an agent that has acknowledged its first messages."""
        broker = Mosquitto.start(self, settings=self.limits)
        load = await Load.connect(self, broker.port, qos=1)
        parent = await self.run_at(broker, top=top, **settings)
        await self.subscribed(parent, load)
        load.send(100)
        await self.received(parent, load.sent)
        await self.acknowledged(broker, 100)
        return broker, load, parent

    async def acknowledged(self, broker: Mosquitto, count: int) -> None:
        """Wait until the broker has so many acknowledgements of ours."""
        await until(
            lambda: len(ACKNOWLEDGED.findall(broker.log)) >= count,
            lambda: f"{count} PUBACK, got {len(ACKNOWLEDGED.findall(broker.log))}",
        )

    async def test_acknowledged_once_the_reader_has_it(self) -> None:
        """With a reader that stalls there is no acknowledgement, so a kill -9 loses nothing."""
        broker, load, parent = await self.loaded()
        parent.freeze()
        count = min(self.kept - WINDOW, 3_000)
        load.send(count)
        await until(lambda: load.acknowledged == 100 + count, "the broker to have taken all")
        sent = 100 + min(count, self.window)
        await until(lambda: len(SENT.findall(broker.log)) >= sent, "a window of messages")
        await pause(0.5)
        self.assertEqual(len(SENT.findall(broker.log)), sent)
        self.assertEqual(len(ACKNOWLEDGED.findall(broker.log)), 100)
        parent.signal_agent(signal.SIGKILL)
        await until(lambda: parent.starts == 2, "the next process")
        parent.thaw()
        await self.received(parent, load.sent)
        self.assert_nothing_lost(sequences(parent.lines()), load.sent)
        await self.acknowledged(broker, 100 + count)

    async def test_acknowledged_in_the_order_of_arrival(self) -> None:
        """Also where some of the messages come to nothing and others to lines."""
        broker, load, parent = await self.loaded()
        for number in range(100):
            load.send(1)
            load.publish("tele/plug00/SENSOR", b"{" if number % 2 else b"{}", qos=1)
        await self.received(parent, load.sent)
        await self.acknowledged(broker, 300)
        self.assertEqual(ACKNOWLEDGED.findall(broker.log), SENT.findall(broker.log))

    async def test_what_comes_to_nothing_does_not_block(self) -> None:
        """More bad messages than the window holds: acknowledged and counted, the next one comes."""
        broker, load, parent = await self.loaded('self_metrics_interval = "200ms"')
        bad = (b"{", b"", b"\xff\xfe", b'"text"', b"[" * 5_000)
        for payload in bad * (WINDOW + 5):
            load.publish("tele/plug00/SENSOR", payload, qos=1)
        load.send(10)
        await self.received(parent, load.sent)
        count = len(bad) * (WINDOW + 5)
        await self.acknowledged(broker, 110 + count)
        dropped = b"dropped=%di" % count
        await until(lambda: dropped in parent.output.rpartition(b"module=tasmota ")[2], "the count")

    async def test_a_reader_that_stalls(self) -> None:
        """Above the high mark reading stops, for longer than the broker waits for a sign of life.

        The connection stays, memory too, and nothing is lost but what the broker cannot keep.
        """
        broker, load, parent = await self.loaded(SMALL_QUEUE, keepalive=f"{KEEPALIVE_S}s")
        before = memory_bytes(parent.agent_pid)
        parent.freeze()
        count = 5_000
        load.send(count)
        await until(lambda: load.acknowledged == 100 + count, "the broker to have taken all")
        await pause(self.stall_s)
        grown = memory_bytes(parent.agent_pid) - before
        parent.thaw()
        kept = min(count, self.kept)
        await until(lambda: arrived(parent) >= 100 + kept, lambda: f"{kept}, got {arrived(parent)}")
        await pause(0.5)
        # The window counts towards the queue up to mosquitto 2.0 and no longer from 2.1 on.
        self.assertIn(arrived(parent) - 100, {kept, min(count, self.kept + self.window)})
        if kept == count:
            self.assert_complete(sequences(parent.lines()), load.sent)
        self.assertLess(grown, 4 * MEBI)
        self.assertEqual(len(self.connection_lines(parent)), 1, "connected once, never lost")
        self.assertEqual(broker.log.count(f"as {CLIENT_ID} "), 1)

    async def test_a_stop_brings_what_the_broker_had_delivered(self) -> None:
        """And acknowledges it: a later process does not get it again."""
        broker, load, parent = await self.loaded()
        load.send(min(self.kept, 2_000))
        await until(lambda: load.acknowledged == sum(load.sent.values()), "the broker to have it")
        await parent.stop()
        delivered = len(SENT.findall(broker.log))
        acknowledged = len(ACKNOWLEDGED.findall(broker.log))
        self.assertEqual(arrived(parent), acknowledged)
        # The last acknowledgements bring more from mosquitto 2.1 before it reads our goodbye.
        self.assertLessEqual(delivered - acknowledged, WINDOW)
        parent.start()
        await self.received(parent, load.sent)
        self.assert_complete(sequences(parent.lines()), load.sent)

    async def test_a_reload_loses_nothing_and_brings_nothing_twice(self) -> None:
        """The connection stays, and with it what is on its way."""
        broker, load, parent = await self.loaded()
        load.start()
        for times in range(1, 4):
            await pause(0.2)
            parent.signal_agent(signal.SIGHUP)
            await self.said(parent, "modules tasmota restarted", "I", times)
        load.stop()
        await self.received(parent, load.sent)
        self.assert_complete(sequences(parent.lines()), load.sent)
        self.assertNotIn("Received UNSUBSCRIBE", broker.log)


def arrived(parent: Any) -> int:
    """Return how many numbered messages are there."""
    return sum(map(len, sequences(parent.lines()).values()))


@with_both_mosquittos
class Mqtt311DefaultTests(Promises, MqttCase):
    """MQTT 3.1.1 at the broker's defaults."""

    protocol = "3.1.1"


@with_both_mosquittos
class Mqtt5DefaultTests(Promises, MqttCase):
    """MQTT 5 at the broker's defaults: our Receive Maximum takes the place of its window."""

    protocol = "5"
    window = RECEIVE_MAXIMUM
    kept = RECEIVE_MAXIMUM + QUEUED


class Large:
    """A broker that sends and keeps all."""

    limits = ("max_queued_messages 0", "max_inflight_messages 0")
    window = kept = 65_535
    stall_s = 15  # mosquitto looks every 5 s for who was silent for 1.5 keepalives


class Mqtt311LargeTests(Large, Promises, MqttCase):
    """MQTT 3.1.1 with large limits."""

    protocol = "3.1.1"


@with_both_mosquittos
class Mqtt5LargeTests(Large, Promises, MqttCase):
    """MQTT 5 with large limits, of which our Receive Maximum holds."""

    protocol = "5"
    window = RECEIVE_MAXIMUM


class Mqtt311DeliveryTests(Delivery, AgentCase):
    """The promises by their numbers, in MQTT 3.1.1."""

    async def test_promise_3_an_idle_stop_takes_200_ms(self) -> None:
        """It is quick in this version too; the exact time is measured in the other one."""
        broker = Mosquitto.start(self)
        self.configure(self.tasmota(broker))
        parent = await self.start()
        await self.said(parent, "Connected to")
        self.assertLess(await self.time_to_stop(parent), 2)

    def tasmota(self, broker: Mosquitto, top: str = "", **settings: Any) -> str:
        return super().tasmota(broker, top, protocol="3.1.1", **settings)
