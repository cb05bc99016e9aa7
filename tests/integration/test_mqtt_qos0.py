"""What becomes of messages at QoS 0, by mosquitto's settings, as docs/deployment.md has it."""

from __future__ import annotations

import signal
from typing import Any

from tests.integration.broker import Mosquitto, with_both_mosquittos
from tests.integration.load import Load
from tests.integration.mqtt_agent import MqttCase
from tests.integration.watching import pause, sequences, until

COUNT = 50


@with_both_mosquittos
class Qos0Tests(MqttCase):
    """Devices send at QoS 0, the agent subscribes at QoS 1 and has a persistent session."""

    async def loaded(self, *settings: str) -> tuple[Mosquitto, Load, Any]:
        """Return a broker, devices, and an agent that has their first messages."""
        broker = Mosquitto.start(self, settings=settings)
        load = await Load.connect(self, broker.port, devices=1, qos=0)
        parent = await self.run_at(broker)
        await self.subscribed(parent, load)
        load.send(1)
        await self.received(parent, load.sent)
        # Where it is acknowledged, it does not come again.
        await pause(0.2)
        return broker, load, parent

    async def kept_while_away(self, *settings: str) -> int:
        """Return how many of COUNT messages arrive that were sent while the agent was away."""
        _broker, load, parent = await self.loaded(*settings)
        await parent.stop()
        load.send(COUNT)
        await load.barrier()
        parent.start()
        await self.subscribed(parent, load, times=2)
        await self.next_one(load, parent)
        return len(set(sequences(parent.lines())["plug00"])) - 2

    async def kept_over_a_kill(self, *settings: str) -> int:
        """Return how many of COUNT messages arrive that a killed agent had read and not handed on.

        Its reader stalls, so they are in the agent's own queue and in the pipe.
        """
        _broker, load, parent = await self.loaded(*settings)
        parent.freeze()
        load.send(COUNT)
        await load.barrier()
        await pause(0.5)
        parent.signal_agent(signal.SIGKILL)
        await until(lambda: parent.starts == 2, "the next process")
        parent.thaw()
        await self.subscribed(parent, load, times=2)
        await self.next_one(load, parent)
        return len(set(sequences(parent.lines())["plug00"])) - 2

    async def next_one(self, load: Load, parent: Any) -> None:
        """Send a message and wait for it: what comes before it is there or lost."""
        load.send(1)
        await self.received(parent, load.sent)

    async def test_while_the_agent_is_away(self) -> None:
        """Lost by default; kept with either setting."""
        self.assertEqual(await self.kept_while_away(), 0)
        self.assertEqual(await self.kept_while_away("queue_qos0_messages true"), COUNT)
        self.assertEqual(await self.kept_while_away("upgrade_outgoing_qos true"), COUNT)

    async def test_over_a_kill(self) -> None:
        """Only a message that is acknowledged comes again: the setting must be the right one."""
        self.assertEqual(await self.kept_over_a_kill(), 0)
        self.assertEqual(await self.kept_over_a_kill("queue_qos0_messages true"), 0)
        self.assertEqual(await self.kept_over_a_kill("upgrade_outgoing_qos true"), COUNT)
