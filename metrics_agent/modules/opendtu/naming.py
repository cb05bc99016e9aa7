"""The series of the points: their tags, made once each."""

from __future__ import annotations

from collections.abc import Mapping
from sys import getsizeof
from typing import Final

from metrics_agent.bounded import BoundedCache
from metrics_agent.metric import Series

__all__ = ["InverterNames"]

_VENDOR: Final = "opendtu"
_CACHE_BYTES: Final = 1024 * 1024
"""Messages decide which series there are: memory for some 1,200; ten inverters have 100."""
_SERIES_BYTES: Final = 400


class InverterNames:
    """How inverters, their strings and the DTU's parts are named in tags.

    Args:
        overrides: names by serial number, by ``<serial>.<string from 1>`` or by a part's device.
        instance: the name of the module's instance: the parts of ``opendtu:garage`` become
            ``garage_total`` ..., since those of another DTU must not have the same tags.
    """

    def __init__(self, overrides: Mapping[str, str], instance: str) -> None:
        self._overrides = {key.lower(): name for key, name in overrides.items()}
        part = instance.partition(":")[2]
        self._prefix = f"{part}_" if part else ""
        self._series: BoundedCache[tuple[str, ...], Series] = BoundedCache(_CACHE_BYTES)

    def inverter(self, measurement: str, serial: str, name: str) -> Series:
        """Return the series of an inverter itself."""
        friendly = self._overrides.get(serial) or name
        return self._make(measurement, device=serial, friendly=friendly)

    def string(self, measurement: str, serial: str, name: str, number: int, own: str) -> Series:
        """Return the series of one string of panels.

        Args:
            measurement: its name.
            serial: of the inverter.
            name: of the inverter, empty if it has none.
            number: of the string, from 1.
            own: the string's own name, empty if it has none.
        """
        friendly = self._overrides.get(f"{serial}.{number}") or own
        friendly = friendly or self._overrides.get(serial) or name
        return self._make(measurement, device=serial, friendly=friendly, channel=str(number))

    def phase(self, measurement: str, serial: str, name: str, number: int) -> Series:
        """Return the series of one phase of a three-phase inverter, from 1."""
        friendly = self._overrides.get(serial) or name
        return self._make(
            measurement, device=serial, friendly=friendly, channel=str(number), sensor="phase"
        )

    def part(self, measurement: str, device: str, channel: int = 0) -> Series:
        """Return the series of something that is no inverter: the total, a battery ..."""
        device = f"{self._prefix}{device}"
        return self._make(
            measurement,
            device=device,
            friendly=self._overrides.get(device.lower(), ""),
            channel=str(channel) if channel else "",
        )

    def _make(
        self, measurement: str, device: str, friendly: str, channel: str = "", sensor: str = ""
    ) -> Series:
        key = (measurement, device, friendly, channel, sensor)
        series = self._series.get(key)
        if series is None:
            tags = {
                "vendor": _VENDOR,
                "device": device,
                "friendly": friendly,
                "channel": channel,
                "sensor": sensor,
            }
            series = Series(measurement, {name: value for name, value in tags.items() if value})
            # Each text may be in the key, and is in the encoded prefix.
            size_bytes = _SERIES_BYTES + 2 * sum(map(getsizeof, tags.values()))
            self._series.put(key, series, size_bytes)
        return series
