"""One device: its names, and the series of its points, made once each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import count
from sys import getsizeof
from typing import Final, TypeAlias

from attrs import field, frozen

from metrics_agent.bounded import BoundedCache
from metrics_agent.catalogue import ELECTRICITY
from metrics_agent.limits import SERIES_CACHE_BYTES
from metrics_agent.metric import Series
from metrics_agent.modules.tasmota.discovery import DeviceConfig

__all__ = ["Device", "DeviceNaming"]

_VENDOR = "tasmota"
# The one meter the Go agent read; its tags did not name it.
_ORIGINAL_METER = "MT175"
# A Series, its tags and its prefix, the key and its place in the cache; then its texts.
_SERIES_BYTES: Final = 250
# A payload decides what the first series is; one that is larger than an ordinary one is kept with
# those that have a bound.
_FIRST_SERIES_BYTES: Final = 800

_DEFAULT_NAME: Final = re.compile(r"(?:Tasmota|Sonoff)[0-9]{0,2}")
"""Of a device, and with a number of its second and further outputs."""

_Key: TypeAlias = "str | tuple[str, str, str]"


@frozen
class DeviceNaming:
    """How devices are named in tags.

    Attributes:
        overrides: names by ``<t>`` or ``<t>.<i>``, channels counted from 0 as the Go agent did.
        original: tags as the Go agent wrote them: ``device=<t>.<i>`` instead of a channel.
        series: of all devices, beyond the first of each: what a payload makes up has one bound.
        numbers: distinguish the devices in it, and one device before and after an announcement.
    """

    overrides: Mapping[str, str]
    original: bool = False
    series: BoundedCache[tuple[int | None, str, str, str], Series] = field(
        factory=lambda: BoundedCache(SERIES_CACHE_BYTES), eq=False, repr=False
    )
    numbers: Iterator[int] = field(factory=count, eq=False, repr=False)


class Device:
    """A device and what is remembered of it between messages.

    Args:
        topic: its name in its topics, the tag ``device``.
        naming: how to name it.
        config: what it said of itself; None while that is unknown.
        command_base: where it takes commands; empty if that is unknown.

    Attributes:
        asked_at_s: when per-channel totals were last asked for, on the reactor's clock.
        asked_for: the sum for which they were asked.
        never_ask: the device does not know the command.
    """

    __slots__ = (
        "_command_base",
        "_first",
        "_first_key",
        "_naming",
        "_number",
        "asked_at_s",
        "asked_for",
        "config",
        "never_ask",
        "topic",
    )

    def __init__(
        self,
        topic: str,
        naming: DeviceNaming,
        config: DeviceConfig | None = None,
        command_base: str = "",
    ) -> None:
        self.topic = topic
        self.config = config
        self._command_base = command_base
        self.asked_at_s: float | None = None
        self.asked_for: float | None = None
        self.never_ask = False
        self._naming = naming
        # Most devices have one series, and need no number.
        self._number: int | None = None
        self._first_key: _Key = ""
        self._first: Series | None = None

    def succeed(self, earlier: Device) -> None:
        """Take over what is remembered of a device that has announced itself again."""
        self.asked_at_s = earlier.asked_at_s
        self.asked_for = earlier.asked_for

    @property
    def has_sent(self) -> bool:
        """Whether it has sent something that gave a point."""
        return self._first is not None or self._number is not None

    @property
    def command_base(self) -> str:
        """The base of the topics it takes commands on; empty if that is unknown."""
        return self.config.command_base if self.config else self._command_base

    def series(self, measurement: str, channel: str = "", sensor: str = "") -> Series:
        """Return the series of a measurement, of one channel or sensor of the device.

        Args:
            measurement: its name.
            channel: counted from 1, or ``l1_l2``; empty for the device as a whole.
            sensor: name of the object in the payload; empty where the measurement has none.
        """
        # Most first ones have neither: a name is found faster than a tuple, and needs no memory.
        first_key = (measurement, channel, sensor) if channel or sensor else measurement
        first = self._first
        if first is not None and first_key == self._first_key:
            return first
        series = self._naming.series.get((self._number, measurement, channel, sensor))
        return self._make(measurement, channel, sensor) if series is None else series

    def _make(self, measurement: str, channel: str, sensor: str) -> Series:
        tags = self._tags(measurement, channel, sensor)
        series = Series(measurement, tags)
        size_bytes = _SERIES_BYTES + getsizeof(sensor) + sum(map(getsizeof, tags.values()))
        if self._first is None and size_bytes <= _FIRST_SERIES_BYTES:
            self._first_key = (measurement, channel, sensor) if channel or sensor else measurement
            self._first = series
        else:
            if self._number is None:
                self._number = next(self._naming.numbers)
            key = (self._number, measurement, channel, sensor)
            self._naming.series.put(key, series, size_bytes)
        return series

    def _tags(self, measurement: str, channel: str, sensor: str) -> dict[str, str]:
        # Two phases (l1_l2) have no name of their own, as in Go.
        index = str(int(channel) - 1) if channel.isdecimal() else ""
        # fn names what is switched, not a meter's phases or a chip's inputs.
        own_names = not sensor
        tags = {"vendor": _VENDOR, "device": self.topic, "channel": channel, "sensor": sensor}
        if self._naming.original and measurement == ELECTRICITY.name:
            own_names = False
            if index and not sensor:
                tags |= {"device": f"{self.topic}.{index}", "channel": ""}
            elif sensor == _ORIGINAL_METER and not index:
                tags["sensor"] = ""
        tags["friendly"] = self._friendly(index, own_names=own_names)
        return {name: value for name, value in tags.items() if value}

    def _friendly(self, index: str, *, own_names: bool) -> str:
        """Find the name of a channel counted from 0, or of the whole device.

        Args:
            index: the channel, empty for the device.
            own_names: a channel may have a name of its own, from ``fn``.
        """
        overrides = self._naming.overrides
        if index and (name := overrides.get(f"{self.topic}.{index}")):
            return name
        if (own_names or not index) and (name := overrides.get(self.topic)):
            return name
        if self.config is None:
            return ""
        names = self.config.friendly_names
        at = int(index) if index and own_names else 0
        name = (names[at] if at < len(names) else "") or (names[0] if names else "")
        device_name = self.config.device_name
        # What the firmware calls all devices yields to a name that was set.
        if not name or (_DEFAULT_NAME.fullmatch(name) and not _DEFAULT_NAME.fullmatch(device_name)):
            return device_name or name
        return name
