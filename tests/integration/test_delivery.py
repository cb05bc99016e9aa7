"""The five delivery promises, each by its number, under the harness and under the real Telegraf.

1. What a module emits reaches the reader once, whole, in order, or is counted as dropped.
2. At QoS 1 the broker gets its acknowledgement once the reader has the lines.
3. An orderly stop brings what the broker had delivered to the reader, in time.
4. A reload replaces every module and loses nothing.
5. A reader that stalls costs bounded memory and no connection.
"""

from __future__ import annotations

import re
import signal
import time
from typing import Any

from line_protocol_parser import parse_line

from tests.integration.broker import Mosquitto, with_both_mosquittos
from tests.integration.case import QUIET, AgentCase, OnTelegraf
from tests.integration.load import Load
from tests.integration.watching import is_alive, memory_bytes, pause, sequences, until

MEBI = 1024 * 1024
SMALL_QUEUE = """
queue_limit = "256KiB"
queue_high_mark = "128KiB"
queue_low_mark = "64KiB"
self_metrics_interval = "0s"
"""
KEEPALIVE_S = 5
"""The shortest that the settings allow; brokers give up after one and a half of it."""

INFLIGHT = 20
"""What mosquitto sends at QoS 1 before it wants an acknowledgement."""
WINDOW = 1000
"""What our Receive Maximum makes of it with MQTT 5."""
QUEUED = 1000
"""What mosquitto keeps beyond that for a client, by default."""


class Delivery:
    """What holds whoever the parent is."""

    stall_s = 12.0
    log_is_read_while_frozen = True

    async def test_promise_1_once_whole_in_order_or_counted(self) -> None:
        """More is emitted than fits while the reader stalls: what is missing is counted."""
        self.configure(self.probe("flood", SMALL_QUEUE))
        parent = await self.start()
        await until(lambda: sequences(parent.lines()).get("flood"), "the first of the flood")
        parent.freeze()
        await pause(2)
        parent.thaw()
        await pause(0.5)
        # Now the flood ends, and the agent says what it has counted.
        self.configure(self.probe("nothing", 'self_metrics_interval = "100ms"'))
        parent.signal_agent(signal.SIGHUP)
        await until(lambda: _count(parent, "agent", "dropped_queue_full"), "the count")
        numbers = sequences(parent.lines())["flood"]
        self.assertEqual(numbers, sorted(set(numbers)), "repeated, or not in order")
        # The oldest are dropped, so the last that arrived is the last that was emitted.
        missing = numbers[-1] - len(numbers)
        self.assertGreater(missing, 1000, "the queue was never full")
        self.assertEqual(_count(parent, "agent", "dropped_queue_full"), missing)
        self.assertEqual(len(self.lines_with(parent, "The queue is full", "E")), 1)
        await self.said(parent, f"has room again, {missing} metrics were dropped", "I")
        await parent.stop()
        await self.said(parent, f"{missing} were dropped earlier", "W")

    async def test_promise_1_once_over_orderly_restarts(self) -> None:
        """At QoS 1 what was written before a stop is acknowledged, so nothing comes twice."""
        broker = Mosquitto.start(self, settings=[*QUIET, "max_queued_messages 0"])
        load = await Load.connect(self, broker.port, rate=1000, qos=1)
        self.configure(self.tasmota(broker))
        parent = await self.start()
        await self.subscribed(parent, load)
        load.start()
        for round_ in (1, 2):
            await pause(0.5)
            parent.signal_agent(signal.SIGTERM)
            await until(lambda round_=round_: len(parent.exits) == round_, "the exit")
            await self.subscribed(parent, load, 1 + round_)
        load.stop()
        await self.received(parent, load.sent)
        found = sequences(parent.lines())
        self.assert_nothing_lost(found, load.sent)
        self.assertEqual({device: len(numbers) for device, numbers in found.items()}, load.sent)

    async def test_promise_2_no_acknowledgement_before_the_reader_has_it(self) -> None:
        """With a stalled reader the broker gets none, so a kill -9 loses nothing."""
        broker = Mosquitto.start(self, settings=["max_queued_messages 0"])
        load = await Load.connect(self, broker.port, qos=1)
        self.configure(self.tasmota(broker))
        parent = await self.start()
        await self.subscribed(parent, load)
        load.send(100)
        await self.received(parent, load.sent)
        await until(lambda: broker.log.count("PUBACK from agent") == 100, "all acknowledgements")
        parent.freeze()
        await load.barrier()
        # Telegraf may have a read under way that takes one more piece.
        load.send(1000)
        await pause(1)
        acknowledged = broker.log.count("PUBACK from agent") - 100
        written = broker.log.count("PUBLISH to agent")
        self.assertLess(acknowledged, 1000)
        self.assertGreaterEqual(written - 100, acknowledged + INFLIGHT)
        parent.signal_agent(signal.SIGKILL)
        await pause(0.5)
        parent.thaw()
        await self.received(parent, load.sent)
        self.assert_nothing_lost(sequences(parent.lines()), load.sent)
        self.assertEqual(parent.exits, [-signal.SIGKILL])

    async def test_promise_2_a_stop_with_a_stalled_reader_loses_nothing(self) -> None:
        """What the reader had not read by the end of the stop comes again to the next agent."""
        broker = Mosquitto.start(self, settings=[*QUIET, "max_queued_messages 0"])
        load = await Load.connect(self, broker.port, qos=1)
        self.configure(self.tasmota(broker, 'drain_timeout = "500ms"'))
        parent = await self.start()
        await self.subscribed(parent, load)
        pid = parent.agent_pid
        parent.freeze()
        load.send(1000)
        await load.barrier()
        parent.signal_agent(signal.SIGTERM)
        await until(lambda: not is_alive(pid), "the agent's end")
        parent.thaw()
        await self.received(parent, load.sent)
        self.assert_nothing_lost(sequences(parent.lines()), load.sent)

    async def test_promise_2_messages_without_a_metric_do_not_block(self) -> None:
        """Broken, refused and raising messages are acknowledged in their turn, and counted."""
        broker = Mosquitto.start(self)
        load = await Load.connect(self, broker.port, qos=1)
        self.configure(self.tasmota(broker, 'self_metrics_interval = "200ms"'))
        parent = await self.start()
        await self.subscribed(parent, load)
        bad = (b"{", b"", b"\xff\xfe", b'"text"', b'{"ENERGY":{"Power":"a"}}', b"[" * 5000)
        for payload in bad * INFLIGHT:
            load.publish("tele/plug00/SENSOR", payload, qos=1)
        load.send(100)
        await self.received(parent, load.sent)
        count = len(bad) * INFLIGHT + 100
        await until(lambda: broker.log.count("PUBACK from agent") == count, "all acknowledgements")
        await until(
            lambda: _count(parent, "tasmota", "dropped") >= 4 * INFLIGHT, "the count of the dropped"
        )

    async def test_promise_3_a_stop_is_over_in_time(self) -> None:
        """With a stalled reader the agent is gone within drain_timeout, and says what is lost."""
        broker = Mosquitto.start(self, settings=QUIET)
        load = await Load.connect(self, broker.port)
        self.configure(self.tasmota(broker, 'drain_timeout = "2s"', qos=0))
        parent = await self.start()
        await self.subscribed(parent, load)
        pid = parent.agent_pid
        parent.freeze()
        load.send(5000)
        await load.barrier()
        parent.signal_agent(signal.SIGTERM)
        await until(lambda: not is_alive(pid), "the agent's end within drain_timeout", 2 + 1.5)
        parent.thaw()
        await until(lambda: parent.exits, "the exit")
        self.assertEqual(parent.exits, [0])
        if self.log_is_read_while_frozen:
            self.assertTrue(self.lines_with(parent, "were not read", "E"))

    async def test_promise_3_an_idle_stop_takes_200_ms(self) -> None:
        """With nothing left to write: the best of ten, since other things run here too."""
        broker = Mosquitto.start(self)
        self.configure(self.tasmota(broker))
        parent = self.parent(restart_delay_s=0.1)
        parent.start()
        taken: list[float] = []
        while not taken or (len(taken) < 10 and min(taken) > 0.2):
            await self.said(parent, "Connected to", times=1 + len(taken))
            await pause(0.3)
            taken.append(await self.time_to_stop(parent))
        self.assertLessEqual(min(taken), 0.2)

    async def time_to_stop(self, parent: Any) -> float:
        pid = parent.agent_pid
        began_s = time.monotonic()
        parent.signal_agent(signal.SIGTERM)
        await until(lambda: not is_alive(pid), "the agent's end", 5)
        return time.monotonic() - began_s

    async def test_promise_4_a_reload_replaces_modules_and_loses_nothing(self) -> None:
        """New settings hold at once, retained discovery comes again, nothing is lost at QoS 0.

        Another module takes its time to stop: meanwhile no one wants what the broker sends.
        """
        broker = Mosquitto.start(self)
        load = await Load.connect(self, broker.port, rate=1000)
        slow = self.probe("stop_slowly")
        self.configure(self.tasmota(broker, qos=0) + slow)
        parent = await self.start()
        await self.subscribed(parent, load)
        load.start()
        await pause(0.3)
        name = '\n[modules.tasmota.friendly_name_overrides]\nplug00 = "renamed"\n'
        self.configure(self.tasmota(broker, qos=0) + name + slow)
        parent.signal_agent(signal.SIGHUP)
        await self.said(parent, "modules tasmota, probe restarted", "I")
        await self.subscribed(parent, load, 2)
        await pause(0.3)
        load.stop()
        await self.received(parent, load.sent)
        self.assert_complete(sequences(parent.lines()), load.sent)
        names = re.findall(rb"friendly=(\S+?)[, ].*energy_total", bytes(parent.output))
        self.assertEqual(names[-len(load.devices) :].count(b"renamed"), 1)
        self.assertEqual(len(re.findall("New client connected from .* as agent", broker.log)), 1)

    async def test_promise_4_a_reload_while_the_reader_stalls(self) -> None:
        """Reading is paused for two reasons then; when both are gone nothing is lost."""
        broker = Mosquitto.start(self, settings=QUIET)
        load = await Load.connect(self, broker.port, rate=1500)
        marks = 'queue_high_mark = "32KiB"\nqueue_low_mark = "16KiB"'
        self.configure(self.tasmota(broker, marks, qos=0))
        parent = await self.start()
        await self.subscribed(parent, load)
        parent.freeze()
        load.start()
        for _ in range(2):
            await pause(0.7)
            parent.signal_agent(signal.SIGHUP)
        await pause(0.3)
        parent.thaw()
        await self.said(parent, "modules tasmota restarted", "I", times=2)
        load.stop()
        await self.received(parent, load.sent)
        self.assert_complete(sequences(parent.lines()), load.sent)

    async def test_promise_5_a_stalled_reader(self) -> None:
        """Bounded memory, the connection stays, and at QoS 1 nothing is lost."""
        broker = Mosquitto.start(self, settings=[*QUIET, "max_queued_messages 0"])
        flood = await Load.connect(self, broker.port, rate=4000, name="zero")
        load = await Load.connect(self, broker.port, rate=300, qos=1, name="one")
        marks = 'queue_high_mark = "256KiB"\nqueue_low_mark = "64KiB"'
        self.configure(self.tasmota(broker, marks, keepalive=f"{KEEPALIVE_S}s"))
        parent = await self.start()
        await self.subscribed(parent, load, 2)  # of both loads
        load.start()
        flood.start()
        await pause(1)
        pid = parent.agent_pid
        before = memory_bytes(pid)
        parent.freeze()
        await pause(self.stall_s)
        grown = memory_bytes(pid) - before
        flood.stop()
        load.stop()
        parent.thaw()
        await self.received(parent, load.sent, 60)
        self.assert_nothing_lost(sequences(parent.lines()), load.sent)
        self.assertLess(grown, 4 * MEBI)
        self.assertEqual((parent.agent_pid, parent.starts), (pid, 1))
        self.assertEqual(broker.ended_connections("agent"), 0)
        self.assertEqual(self.lines_with(parent, "Lost the connection"), [])

    async def test_promise_5_what_the_default_of_the_broker_loses(self) -> None:
        """Mosquitto keeps 1,000 messages and a window: with a stalled reader the rest is lost."""
        broker = Mosquitto.start(self, settings=QUIET)
        load = await Load.connect(self, broker.port, qos=1)
        self.configure(self.tasmota(broker))
        parent = await self.start()
        await self.subscribed(parent, load)
        load.send(100)
        await self.received(parent, load.sent)
        parent.freeze()
        await pause(0.2)
        count = 5000
        load.send(count)
        await until(lambda: load.acknowledged == 100 + count, "the broker's acknowledgements")
        await pause(0.5)
        parent.thaw()
        await until(lambda: _total(parent) >= 100 + QUEUED, "what the broker kept")
        await pause(1)
        arrived = _total(parent) - 100
        self.assertGreaterEqual(arrived, QUEUED)
        # A read that was under way, or a few acknowledgements, let some more through.
        self.assertLess(arrived, QUEUED + 2 * WINDOW + 20 * INFLIGHT)


def _count(parent: Any, module: str, field: str) -> int:
    """Return a field of the latest of the self-metrics of a module, 0 if there is none yet."""
    start = f"metrics_agent,module={module} ".encode()
    rows = [line for line in parent.lines() if line.startswith(start)]
    return int(parse_line(rows[-1])["fields"].get(field, 0)) if rows else 0


def _total(parent: Any) -> int:
    return sum(map(len, sequences(parent.lines()).values()))


@with_both_mosquittos
class HarnessDeliveryTests(Delivery, AgentCase):
    """Under the harness."""


class TelegrafDeliveryTests(OnTelegraf, Delivery, AgentCase):
    """Under Telegraf."""

    stall_s = 20.0
    log_is_read_while_frozen = False
