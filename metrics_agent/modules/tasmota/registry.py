"""The devices that are known, found by the base of a message's topic with one dict lookup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from metrics_agent.modules.tasmota.device import Device, Naming
from metrics_agent.modules.tasmota.discovery import DeviceConfig
from metrics_agent.modules.tasmota.filters import MAX_SHAPES
from metrics_agent.modules.tasmota.topics import Shape

__all__ = ["MAX_DEVICES", "MAX_STRANGERS", "Registry"]

MAX_DEVICES: Final = 100_000
MAX_STRANGERS: Final = 10_000
"""Devices without discovery that are remembered; beyond that the oldest are forgotten."""

_PREFIXES: Final = frozenset({"stat", "tele"})


class _Stranger(NamedTuple):
    device: Device
    bases: list[str]


class Registry:
    """Devices by hardware address and by base.

    A *stranger* is a device that sends without having announced itself.

    Args:
        naming: how devices are named.
        shapes: the shapes that strangers may have.
    """

    def __init__(self, naming: Naming, shapes: Iterable[Shape]) -> None:
        self._naming = naming
        self._shapes = dict.fromkeys(shapes)
        self._by_mac: dict[str, Device] = {}
        self._by_base: dict[str, Device] = {}
        # In the order they came: the oldest is forgotten first.
        self._strangers: dict[str, _Stranger] = {}
        self.find = self._by_base.get

    def __len__(self) -> int:
        return len(self._by_mac)

    @property
    def seen_any(self) -> bool:
        """Whether any device announced itself or sent something."""
        return bool(self._by_base)

    @property
    def shapes(self) -> Iterator[Shape]:
        """The shapes of the devices that announced themselves, each once."""
        configs = (device.config for device in self._by_mac.values())
        return iter({config.shape: None for config in configs if config is not None})

    def discover(self, mac: str, config: DeviceConfig) -> Device | None:
        """Take a device's announcement.

        Returns:
            The device, with fresh series if it changed; None if there are too many already.
        """
        known = self._by_mac.get(mac)
        if known is not None and known.config == config:
            return known
        if known is None and len(self._by_mac) >= MAX_DEVICES:
            return None
        if known is not None:
            self.remove(mac)
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

    def remove(self, mac: str) -> Device | None:
        """Forget a device; returns it, or None if it was not known."""
        device = self._by_mac.pop(mac, None)
        if device is None or device.config is None:
            return None
        for base in device.config.bases:
            # Two devices with the same topic: the later one keeps it.
            if self._by_base.get(base) is device:
                del self._by_base[base]
        return device

    def sharing(self, mac: str, config: DeviceConfig) -> str:
        """Return the address of another device with the same topics, or an empty text."""
        for base in config.bases:
            other = self._by_base.get(base)
            if other is None or other is self._by_mac.get(mac):
                continue
            if other.config is not None:
                return other.config.mac
        return ""

    def stranger(self, base: str) -> Device:
        """Return the device that sends on a base without having announced itself."""
        topic, command_base = self._identify(base)
        stranger = self._strangers.get(topic)
        if stranger is None:
            if len(self._strangers) >= MAX_STRANGERS:
                oldest = self._strangers.pop(next(iter(self._strangers)))
                for old in oldest.bases:
                    del self._by_base[old]
            device = Device(topic, self._naming, command_base=command_base)
            stranger = self._strangers[topic] = _Stranger(device, [])
        stranger.bases.append(base)
        self._by_base[base] = stranger.device
        return stranger.device

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
        stranger.bases.remove(base)
        del self._by_base[base]
        if not stranger.bases:
            del self._strangers[known.topic]
        return known
