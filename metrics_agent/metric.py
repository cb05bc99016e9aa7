"""What a module hands over: a point of one series."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from metrics_agent.devices.device import Device, KeptLine

__all__ = ["FieldValue", "Metric", "Series", "metric"]

_TAGS: Final = 8
_SHOWN: Final = 60
"""Characters of a name, and tags, that a log line has."""

FieldValue = float | int | bool | str
"""Measured numbers are floats, counters of our own ints; see docs/metrics.md."""


class Series:
    """A measurement with its tags: what stays the same from point to point.

    A module makes one Series a device (and channel) and uses it for every point, so that the
    encoded prefix, which the encoder keeps in it, is made once, and its device is found once.

    Args:
        measurement: name of the measurement, not empty.
        tags: tag names and values; a tag with an empty value is left out when encoded.
    """

    __slots__ = ("_device", "_kept", "_names", "_prefix", "_values", "measurement")

    measurement: str
    _names: tuple[str, ...]
    _values: tuple[str, ...]
    _prefix: bytes | None
    _device: Device | None
    _kept: KeptLine | None

    def __init__(self, measurement: str, tags: Mapping[str, str]) -> None:
        object.__setattr__(self, "measurement", measurement)
        tags = dict(tags)
        # To keep a dictionary for each of thousands of series would take twice as much.
        object.__setattr__(self, "_names", _one_of_each(tuple(tags)))
        object.__setattr__(self, "_values", tuple(tags.values()))
        object.__setattr__(self, "_prefix", None)
        object.__setattr__(self, "_device", None)
        object.__setattr__(self, "_kept", None)

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags: a copy."""
        return dict(zip(self._names, self._values, strict=True))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Series is immutable, cannot set {name!r}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Series):
            return NotImplemented
        return self.measurement == other.measurement and self.tags == other.tags

    def __hash__(self) -> int:
        return hash((self.measurement, frozenset(self.tags.items())))

    def describe(self) -> str:
        """Name the series for a log line: ``electricity (device 'x', channel '1')``; bounded."""
        tags = [f"{_shown(name)} {_shown(value)!r}" for name, value in [*self.tags.items()][:_TAGS]]
        name = _shown(self.measurement)
        return f"{name} ({', '.join(tags)})" if tags else name

    def __repr__(self) -> str:
        return f"Series({self.measurement!r}, {self.tags!r})"


@lru_cache(maxsize=256)
def _one_of_each(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return equal names that were seen before, if there were any lately."""
    return names


def _shown(text: object) -> str:
    # What is not plain text may run any code to show itself.
    return text[:_SHOWN] if type(text) is str else f"a {type(text).__name__}"


class Metric(NamedTuple):
    """One point, immutable; a tuple, since an attrs object costs four times as much to make.

    Attributes:
        series: measurement and tags.
        fields: at least one; the order does not matter.
        time_ns: nanoseconds since the epoch, or None where the reader shall set the time.
    """

    series: Series
    fields: Mapping[str, FieldValue]
    time_ns: int | None = None


def metric(
    measurement: str,
    tags: Mapping[str, str],
    fields: Mapping[str, FieldValue],
    time_ns: int | None = None,
) -> Metric:
    """Make a Metric of a series that is used once."""
    return Metric(Series(measurement, tags), fields, time_ns)
