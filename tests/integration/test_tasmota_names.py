"""Names of devices come before their messages, and no message is lost for that.

A point without the device's name is another series in the database; a message that is acknowledged
before it was looked at is lost with the process.
"""

from __future__ import annotations

import signal
from typing import Any

from line_protocol_parser import parse_line

from tests.integration.broker import Mosquitto, with_both_mosquittos
from tests.integration.case import QUIET, logged
from tests.integration.load import Load, announcement
from tests.integration.mqtt_agent import MqttCase
from tests.integration.watching import pause, sequences, until

BACKLOG = 10_000
EVERYTHING = "max_queued_messages 0"


class Names:
    """What holds for both versions."""

    timeout = 180

    async def test_kill_soon_after_a_start_loses_nothing(self) -> None:
        """Of devices that announce nothing either: no message is acknowledged and kept back."""
        broker = Mosquitto.start(self, settings=[*QUIET, EVERYTHING])
        load = await Load.connect(self, broker.port, rate=400, qos=1, announced=False)
        parent = await self.run_at(broker)
        await self.subscribed(parent, load)
        load.start()
        for round_ in range(1, 5):
            await self.connected(parent, times=round_)
            await pause(0.4 * round_)
            parent.signal_agent(signal.SIGKILL)
            await until(lambda round_=round_: len(parent.exits) == round_, "the end")
        load.stop()
        await self.received(parent, load.sent)
        self.assert_nothing_lost(sequences(parent.lines()), load.sent)

    async def test_messages_kept_at_qos_0(self) -> None:
        """Ten thousand that the broker kept come before the announcements: all have the name."""
        await self.backlog(0, "queue_qos0_messages true", EVERYTHING)

    async def test_messages_kept_at_qos_1(self) -> None:
        """The same; the broker sends no more than a few before it gets acknowledgements."""
        await self.backlog(1, EVERYTHING)

    async def backlog(self, qos: int, *settings: str) -> None:
        """Have the broker keep messages while the agent is away."""
        broker = Mosquitto.start(self, settings=[*QUIET, *settings])
        load = await Load.connect(self, broker.port, devices=100, qos=qos)
        parent = await self.run_at(broker, qos=qos)
        await self.subscribed(parent, load)
        await parent.stop()
        (self.directory / "state/tasmota/devices.json").unlink()
        load.send(BACKLOG)
        await load.barrier()
        parent.start()
        await self.received(parent, load.sent, 60)
        self.assert_complete(sequences(parent.lines()), load.sent)
        self.assertEqual(
            self.names(parent), {device: {f"Name of {device}"} for device in load.sent}
        )

    async def test_a_broker_without_retained_messages(self) -> None:
        """Names that were announced once are known after restarts, orderly or not."""
        broker = Mosquitto.start(self, settings=QUIET)
        load = await Load.connect(self, broker.port, announced=False)
        parent = await self.run_at(broker)
        await self.subscribed(parent, load)
        load.send(10)
        await self.received(parent, load.sent)
        self.assertEqual(self.names(parent), {device: {None} for device in load.sent})
        for number, device in enumerate(load.devices):
            load.publish(*announcement("plug", number, device))
        await self.said(parent, "Discovered")
        file = self.directory / "state/tasmota/devices.json"
        await until(file.exists, "the state file")
        before = len(parent.lines())
        for times, kill in enumerate((True, False), 2):
            if kill:
                parent.signal_agent(signal.SIGKILL)
            else:
                await parent.stop()
                parent.start()
            await self.subscribed(parent, load, times)
            load.send(10)
            await self.received(parent, load.sent)
        found = self.names(parent, before)
        self.assertEqual(found, {device: {f"Name of {device}"} for device in load.sent})
        faults = [said for said in parent.log if said.level in "WE"]
        self.assertEqual(faults, [], logged(parent.log))

    def names(self, parent: Any, first: int = 0) -> dict[str, set[str | None]]:
        """Return the names in the lines of each device, None for a line without one."""
        found: dict[str, set[str | None]] = {}
        for line in parent.lines()[first:]:
            tags = parse_line(line)["tags"]
            found.setdefault(tags["device"], set()).add(tags.get("friendly"))
        return found


class Mqtt311NameTests(Names, MqttCase):
    """MQTT 3.1.1."""


@with_both_mosquittos
class Mqtt5NameTests(Names, MqttCase):
    """MQTT 5."""

    protocol = "5"
