"""The memory limit is reached, somewhere: the agent works afterwards, or a new one does."""

from __future__ import annotations

import resource
import time
from typing import Any

from tests.faults.case import TOP, FaultCase
from tests.faults.outside_case import QUICK
from tests.faults.test_outside_machine import MEBI, limit_memory
from tests.integration.broker import Mosquitto
from tests.integration.load import Load
from tests.integration.mqtt_agent import announcement
from tests.integration.watching import pause, until

ANNOUNCEMENTS = 40_000
A_TURN = 1000
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


class MemoryTests(FaultCase):
    """Announcements until there is no memory left, with limits that are reached here and there."""

    async def test_storm(self) -> None:
        """The agent is never seen running without a connection; it ends, or it works."""
        broker = Mosquitto.start(self, settings=["max_queued_messages 0"])
        lines = "".join(f'{key} = "{value}"\n' for key, value in QUICK.items())
        # A start restores the devices that were known, tens of thousands here.
        self.healthy_beside(
            f'[modules.tasmota]\nenabled = true\nbroker = "{broker.url}"\n{lines}',
            TOP.replace('module_start_timeout = "500ms"\n', ""),
        )
        parent = await self.start_beside()
        await self.said(parent, f"Connected to tcp://127.0.0.1:{broker.port}", "I")
        load = await Load.connect(self, broker.port, devices=2, rate=200)
        for more in (1, 3, 6, 10):
            await until(lambda: parent.agent_pid, "an agent")
            pid = parent.agent_pid
            limit_memory(pid, more * MEBI)
            await self.storm(load)
            await pause(2)
            if parent.agent_pid == pid:
                resource.prlimit(pid, resource.RLIMIT_AS, NO_LIMIT)
            await self.works(parent, load)
        self.assertNotIn(0, parent.exits)
        await parent.stop()

    async def storm(self, load: Load) -> None:
        """Announce many devices."""
        for first in range(0, ANNOUNCEMENTS, A_TURN):
            for number in range(first, first + A_TURN):
                topic = f"tasmota/discovery/{number:012X}/config"
                load.publish(topic, announcement(f"storm{number:06d}", f"{number:012X}"))
            await pause(0)
        await load.barrier()

    async def works(self, parent: Any, load: Load) -> None:
        """Telemetry arrives within a bounded time, of this process or of the next."""
        had, deadline_s = len(parent.output), time.monotonic() + 40
        while b"electricity," not in bytes(parent.output[had:]):
            self.assertLess(time.monotonic(), deadline_s, [said.text for said in parent.log[-20:]])
            load.send(2)
            await pause(0.2)
