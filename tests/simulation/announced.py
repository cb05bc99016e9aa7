"""Devices that announce themselves to Home Assistant, and change while the agent runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from attrs import define

from tests.simulation.broker import ModelBroker
from tests.simulation.clock import SimClock
from tests.simulation.configuration import ANNOUNCED
from tests.simulation.ledger import Ledger
from tests.simulation.moments import rename_some

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["ANNOUNCED_KINDS", "AnnouncedDevices"]

_OFTEN_AWAY: Final = "h1q1"
"""The one that says whether it is there. What comes before that is known gives nothing: after each
start of the module, until the retained message is here, perhaps behind those of a session."""
_SETTLED_S: Final = 1.0
"""How long an announcement is on its way where all works."""
_AGAIN_S: Final = 10.0
"""How often a device announces itself, as many do: not every broker has kept it."""


@define(eq=False)
class _Device:
    """One of them.

    Attributes:
        name: of it; its last digit is the QoS that it sends at.
        topic: of its values.
        generation: of its name and its entities.
        is_there: it is announced.
        is_online: what it says of itself.
        changes: its messages may give nothing.
    """

    name: str
    topic: str
    generation: int = 0
    is_there: bool = True
    is_online: bool = True
    changes: bool = False

    @property
    def qos(self) -> int:
        return int(self.name[-1])

    @property
    def says_whether_it_is_there(self) -> bool:
        return self.name == _OFTEN_AWAY

    @property
    def availability(self) -> str:
        return f"ha/{self.name}/availability"


class AnnouncedDevices:
    """See the module.

    Args:
        clock: of the simulation.
        broker: that they all use.
        ledger: takes note of what the broker took.
    """

    def __init__(self, clock: SimClock, broker: ModelBroker, ledger: Ledger) -> None:
        self._clock = clock
        self._broker = broker
        self._ledger = ledger
        self.devices = [_Device(name, f"ha/{name}/state") for name in ANNOUNCED]
        self._is_settled = False
        # Without stored announcements it is known from an earlier run which there are, if at all.
        self._may_be_unknown = not broker.options.retained_for_wildcards

    def announce(self) -> None:
        """Announce all now, and again and again."""
        for device in self.devices:
            self.announce_one(device)
        self._clock.later(_AGAIN_S, self.announce)

    def announce_one(self, device: _Device) -> None:
        """Publish who a device is, and whether it is there: both retained."""
        if not self._broker.up:
            return
        for topic, payload in self._announcements(device):
            self._broker.publish(topic, payload if device.is_there else b"", 0, retain=True)
        if device.says_whether_it_is_there:
            word = b"online" if device.is_online else b"offline"
            self._broker.publish(device.availability, word, 0, retain=True)

    def _announcements(self, device: _Device) -> Iterator[tuple[str, bytes]]:
        """Yield one for each of two entities that share a topic."""
        for key, kind, unit in (("energy", "energy", "kWh"), ("power", "power", "W")):
            document = {
                "name": key,
                "unique_id": f"{device.name}_{key}",
                "state_topic": device.topic,
                "value_template": f"{{{{ value_json.{key} }}}}",
                "device_class": kind,
                "unit_of_measurement": unit,
                "state_class": "total_increasing" if kind == "energy" else "measurement",
                "device": {
                    "identifiers": [device.name],
                    "name": f"Name_{device.generation}",
                    "manufacturer": "sim",
                },
            }
            if device.says_whether_it_is_there:
                document["availability_topic"] = device.availability
            topic = f"homeassistant/sensor/{device.name}/{key}/config"
            yield topic, json.dumps(document).encode()

    def send(self, device: _Device, number: int) -> None:
        """Publish a number."""
        broker, key = self._broker, (device.name, device.qos, number)
        payload = b'{"energy":%d,"power":%d}' % (number, number)
        if broker.up and device.is_there and broker.publish(device.topic, payload, device.qos):
            self._ledger.sent[key] = self._clock.now_s
            if self._may_give_nothing(device):
                self._ledger.nothing.add(key)

    def may_be_unknown(self) -> None:
        """Take note that announcements may come later than they are waited for."""
        self._may_be_unknown = True
        names = {device.name for device in self.devices}
        self._ledger.nothing |= {key for key in self._ledger.sent if key[0] in names}

    def change(self, device: _Device) -> None:
        """Take note that messages of a device may come before or after what is announced."""
        device.changes = True
        self._ledger.nothing |= {key for key in self._ledger.sent if key[0] == device.name}

    def settle(self) -> None:
        """Announce all once more; when they have come the agent knows all."""
        for device in self.devices:
            self.announce_one(device)
        self._clock.run(_SETTLED_S)
        self._is_settled = True

    def given_up(self) -> Iterator[str]:
        """Yield the topics of which there may be no subscription."""
        return (device.topic for device in self.devices if device.changes or self._may_be_unknown)

    def _may_give_nothing(self, device: _Device) -> bool:
        return not self._is_settled and (
            device.changes or device.says_whether_it_is_there or self._may_be_unknown
        )

    def have_subscribers(self) -> bool:
        """Say whether all that they send is subscribed to."""
        return all(self._broker.has_subscriber(device.topic) for device in self.devices)


def _choose(world: World) -> _Device | None:
    if "hadiscovery" not in world.scope.modules:
        return None
    return world.chance.choice(world.devices.announced.devices)


def _renamed(world: World) -> None:
    """Announce another name, and have Tasmota devices do so."""
    rename_some(world)
    device = _choose(world)
    if device is not None:
        device.generation += 1
        world.devices.announced.announce_one(device)


def _moved(world: World) -> None:
    """Announce another topic."""
    device, devices = _choose(world), world.devices.announced
    if device is not None:
        devices.change(device)
        device.topic = f"ha/{device.name}/{world.chance.choice(('state', 'sensors', 'x'))}"
        devices.announce_one(device)


def _removed(world: World) -> Callable[[], None] | None:
    """Withdraw a device, and announce it again."""
    device, devices = _choose(world), world.devices.announced
    if device is None:
        return None
    devices.change(device)
    device.is_there = False
    devices.announce_one(device)

    def heal() -> None:
        device.is_there = True
        devices.announce_one(device)

    return heal


def _offline(world: World) -> Callable[[], None] | None:
    """Have a device say that it is not there; it is heard only when it is there again."""
    devices = world.devices.announced
    device = next(each for each in devices.devices if each.says_whether_it_is_there)
    if "hadiscovery" not in world.scope.modules:
        return None
    device.is_online = False
    devices.announce_one(device)

    def heal() -> None:
        device.is_online = True
        devices.announce_one(device)

    return heal


ANNOUNCED_KINDS: Final = {
    "device_renamed": _renamed,
    "device_moved": _moved,
    "device_removed": _removed,
    "device_offline": _offline,
}
"""What devices do; others must not notice."""
