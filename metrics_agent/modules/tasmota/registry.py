"""The devices that are known, found by the base of a message's topic with one dict lookup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from sys import getsizeof
from typing import Final

from metrics_agent.limits import (
    TASMOTA_DEVICE_BYTES,
    TASMOTA_DEVICES,
    TASMOTA_LONG_NAMES_BYTES,
    TASMOTA_STRANGERS,
)
from metrics_agent.modules.tasmota.device import Device, DeviceNaming
from metrics_agent.modules.tasmota.discovery import DeviceConfig
from metrics_agent.modules.tasmota.filters import MAX_SHAPES
from metrics_agent.modules.tasmota.topics import DEFAULT_FULL_TOPIC, DEFAULT_PREFIXES, TopicShape

__all__ = ["Registry"]

_PREFIXES: Final = frozenset({"stat", "tele"})
# Measured, with an ordinary first series; beside these come the texts of a device, or of a stranger
# those of a base.
_DEVICE_BYTES: Final = 550
_STRANGER_BYTES: Final = 700
_BASE_BYTES: Final = 110
_ORDINARY: Final = frozenset(
    {DEFAULT_FULL_TOPIC, *DEFAULT_PREFIXES, "Online", "Offline", "ON", "OFF"}
)


class _Stranger:
    """A device that did not announce itself, and the bases it sends on: thousands, if it wants."""

    __slots__ = ("bases", "device", "size_bytes")

    def __init__(self, device: Device) -> None:
        self.device = device
        self.bases: list[str] = []
        self.size_bytes = _STRANGER_BYTES + getsizeof(device.topic) + getsizeof(device.command_base)

    def add(self, base: str) -> None:
        self.bases.append(base)
        self.size_bytes += _BASE_BYTES + getsizeof(base)

    def remove(self, base: str) -> None:
        self.bases.remove(base)
        self.size_bytes -= _BASE_BYTES + getsizeof(base)


class Registry:
    """Devices by hardware address and by base, bounded in number and bytes.

    A *stranger* is a device that sends without having announced itself.

    Each announced device brings room for itself, and what those with many or long names take
    beyond that has a limit of its own: a few that are hostile cannot keep out ordinary ones.

    Args:
        naming: how devices are named.
        shapes: the shapes that strangers may have.
    """

    def __init__(self, naming: DeviceNaming, shapes: Iterable[TopicShape]) -> None:
        self._naming = naming
        self._shapes = dict.fromkeys(shapes)
        # The one that announced itself last is last.
        self._by_mac: dict[str, Device] = {}
        # Known from an earlier run; they have not announced themselves since the start.
        self._remembered: set[str] = set()
        self._by_base: dict[str, Device] = {}
        # In the order they came: the oldest is forgotten first.
        self._strangers: dict[str, _Stranger] = {}
        self._size_bytes = 0
        self._strangers_bytes = 0
        self.find = self._by_base.get
        self.get = self._by_mac.get

    def __len__(self) -> int:
        return len(self._by_mac)

    @property
    def announced(self) -> int:
        """How many devices have announced themselves since the start."""
        return len(self._by_mac) - len(self._remembered)

    @property
    def seen_any(self) -> bool:
        """Whether any device announced itself, or one that is not known sent something."""
        return bool(self.announced or self._strangers)

    @property
    def shapes(self) -> Iterator[TopicShape]:
        """The shapes of the devices that announced themselves, each once."""
        configs = (device.config for device in self._by_mac.values())
        return iter({config.shape: None for config in configs if config is not None})

    def discover(self, mac: str, config: DeviceConfig) -> Device | None:
        """Take a device's announcement.

        Returns:
            The device, with fresh series if it changed; None if there is no room for it.
        """
        self._remembered.discard(mac)
        known = self._by_mac.get(mac)
        if known is not None and known.config == config:
            self._by_mac[mac] = self._by_mac.pop(mac)
            return known
        if not self._has_room(config, known):
            return None
        if known is not None:
            self.remove(mac)
        self._size_bytes += _size_of(config)
        device = Device(config.topic, self._naming, config)
        if known is not None:
            device.succeed(known)
        # Of two equal texts one is kept.
        self._by_mac[config.mac if config.mac == mac else mac] = device
        for base in config.bases:
            stranger = self._forget_stranger(base)
            if stranger is not None:
                device.succeed(stranger)
            self._by_base[base] = device
        if len(self._shapes) < MAX_SHAPES:
            self._shapes[config.shape] = None
        return device

    def restore(self, mac: str, config: DeviceConfig) -> bool:
        """Take what was known of a device in an earlier run; False if there is no need or room."""
        if mac in self._by_mac or self.discover(mac, config) is None:
            return False
        self._remembered.add(mac)
        return True

    def latest(self, most: int) -> list[str]:
        """Return the addresses of devices that announced themselves last, the latest first."""
        return list(islice(reversed(self._by_mac), most))

    def unheard(self) -> Iterator[tuple[str, str]]:
        """Yield address and topic of each device that announced itself and sent nothing since.

        Devices that sleep most of the time are left out.
        """
        for mac, device in self._by_mac.items():
            asleep = device.config is not None and device.config.deep_sleep
            if not device.has_sent and not asleep and mac not in self._remembered:
                yield mac, device.topic

    def forget_silent(self) -> int:
        """Forget devices of an earlier run that neither announced themselves nor sent anything.

        Returns:
            How many.
        """
        silent = [mac for mac in self._remembered if not self._by_mac[mac].has_sent]
        for mac in silent:
            self.remove(mac)
        return len(silent)

    def _has_room(self, config: DeviceConfig, instead_of: Device | None) -> bool:
        count = len(self._by_mac) + 1
        size_bytes = self._size_bytes + _size_of(config)
        if instead_of is not None and instead_of.config is not None:
            count -= 1
            size_bytes -= _size_of(instead_of.config)
        return (
            count <= TASMOTA_DEVICES
            and size_bytes <= count * TASMOTA_DEVICE_BYTES + TASMOTA_LONG_NAMES_BYTES
        )

    def remove(self, mac: str) -> Device | None:
        """Forget a device; returns it, or None if it was not known."""
        self._remembered.discard(mac)
        device = self._by_mac.pop(mac, None)
        if device is None or device.config is None:
            return None
        self._size_bytes -= _size_of(device.config)
        for base in device.config.bases:
            # Two devices with the same topic: the later one keeps it.
            if self._by_base.get(base) is device:
                del self._by_base[base]
        return device

    def sharing(self, mac: str, config: DeviceConfig) -> str:
        """Return the address of another device with the same topics, or an empty text.

        One of an earlier run that has not announced itself since may be gone.
        """
        for base in config.bases:
            other = self._by_base.get(base)
            if other is None or other is self._by_mac.get(mac):
                continue
            if other.config is not None and other.config.mac not in self._remembered:
                return other.config.mac
        return ""

    def stranger(self, base: str) -> Device:
        """Return the device that sends on a base without having announced itself."""
        topic, command_base = self._identify(base)
        stranger = self._strangers.get(topic)
        if stranger is None:
            device = Device(topic, self._naming, command_base=command_base)
            stranger = _Stranger(device)
        else:
            # Not the oldest any more, so that room is not made of itself.
            del self._strangers[topic]
            self._strangers_bytes -= stranger.size_bytes
        stranger.add(base)
        self._make_room(stranger.size_bytes)
        self._strangers[topic] = stranger
        self._strangers_bytes += stranger.size_bytes
        self._by_base[base] = stranger.device
        return stranger.device

    def bridge(self, base: str) -> Device | None:
        """Return the bridge that sends on a base for a device behind it; None for other bases."""
        unknown = ""
        for shape in self._shapes:
            bridge = shape.bridge_of(base)
            known = self.find(bridge) if bridge is not None else None
            if known is not None:
                return known
            unknown = unknown or bridge or ""
        return self.stranger(unknown) if unknown else None

    def _make_room(self, size_bytes: int) -> None:
        """Forget the oldest strangers until there is room for another."""
        most_bytes = TASMOTA_STRANGERS * TASMOTA_DEVICE_BYTES
        while self._strangers and (
            len(self._strangers) >= TASMOTA_STRANGERS
            or self._strangers_bytes + size_bytes > most_bytes
        ):
            oldest = self._strangers.pop(next(iter(self._strangers)))
            self._strangers_bytes -= oldest.size_bytes
            for base in oldest.bases:
                del self._by_base[base]

    def _identify(self, base: str) -> tuple[str, str]:
        """Return the name of the device at a base, and where it takes commands if that is known."""
        for shape in self._shapes:
            bases = shape.bases(base)
            if bases is not None:
                return shape.topic_of(base) or base, bases[0]
        levels = [level for level in base.split("/") if level not in _PREFIXES]
        return "/".join(levels) or base, ""

    def _forget_stranger(self, base: str) -> Device | None:
        """Make room for the device that a base now belongs to; return who was there."""
        known = self._by_base.get(base)
        if known is None or known.config is not None:
            return None
        stranger = self._strangers[known.topic]
        self._strangers_bytes -= stranger.size_bytes
        stranger.remove(base)
        del self._by_base[base]
        if stranger.bases:
            self._strangers_bytes += stranger.size_bytes
        else:
            del self._strangers[known.topic]
        return known


def _size_of(config: DeviceConfig) -> int:
    """Return the memory of an announced device: above all that of its own texts."""
    own = (config.topic, config.device_name, config.mac, config.hostname)
    often_shared = (config.full_topic, config.online, config.offline)
    texts = [*own, *config.friendly_names, *config.bases]
    texts += [
        text for text in (*often_shared, *config.prefixes, *config.states) if text not in _ORDINARY
    ]
    return _DEVICE_BYTES + sum(map(getsizeof, texts))
