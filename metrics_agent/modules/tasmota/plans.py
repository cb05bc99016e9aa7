"""Messages of several objects, read by a plan that was made once for all messages of their shape.

Theory of operation. ``decode_document`` finds out for each object and key what it means. A device
sends the same objects and keys each time, so the result is kept under the message's *shape*:
all names, the texts at its top (a switch's state among them), and the device's own words for on
and off. A plan has the series of each point, and for each field the number of the message that it
is.

A plan is not made from the tables but from what ``decode_document`` returns for made-up messages of
that shape: with a different number in each place it shows where each goes, with the
same number in all places that no field is computed, left out, or dependent on another. A field
that only special temperatures change (a sensor's "no answer") is marked, and such values are read
by ``decode_document``, as is everything that does not fit a plan: a null, another text, an array of
another length, an infinite number. A shape that gives a reason to drop anything, or has objects
within its objects, has no plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from operator import itemgetter
from sys import getsizeof
from typing import Any, Final

from attrs import frozen

from metrics_agent.bounded import BoundedCache
from metrics_agent.limits import TASMOTA_PLANS_BYTES
from metrics_agent.metric import FieldValue, Metric, Series
from metrics_agent.modules.tasmota.decode import decode_document, states_of
from metrics_agent.modules.tasmota.device import Device, DeviceNaming
from metrics_agent.modules.tasmota.meters import MeterTable
from metrics_agent.modules.tasmota.values import Drop, ignore_drop, point_time

__all__ = ["Plans"]

_FEW_MEMBERS: Final = 2
"""Time and one object, most often a plain ENERGY: ``decode_document`` is fast enough."""
_MOST_VALUES: Final = 128
_ENTRY_BYTES: Final = 600
_VALUE_BYTES: Final = 200
_NUMBERS: Final = frozenset({int, float})
_TEXTS: Final = frozenset({str})
_ORDINARY: Final = (0.0, 1, -1.0, 1e6)
"""Numbers that no field of a plan depends on."""
_SPECIAL: Final = (85.0, -127.0, -300.0)
"""Those that thermometers give without a measurement."""
_COLDEST: Final = -126.0
_POWER_ON: Final = (84.0, 86.0)
_OTHER_TEXTS: Final = ("", "x", "1", "C", "0x5ADF")
_new: Final = tuple.__new__

_Values = Sequence[object]
_Points = list[tuple[tuple[str, str, str], dict[str, FieldValue]]]


@frozen
class _Point:
    """One point of a plan.

    Attributes:
        series: measurement, channel and sensor.
        fields: their names.
        start, stop: where their numbers are in what the plan picks.
        constants: fields that the shape decides.
    """

    series: tuple[str, str, str]
    fields: tuple[str, ...]
    start: int
    stop: int
    constants: dict[str, FieldValue]


class _Plan:
    """How all messages of a shape are read.

    Args:
        lists: place and length of each array; its items come after all other values.
        numbers: the place of each number: first those of the points, then the others.
        texts: the places of texts within objects; none of them means anything.
        points: what is made of the numbers.
        sensitive: places in `numbers` of those that a special value would change.
    """

    __slots__ = ("_lists", "_numbers", "_points", "_sensitive", "_texts")

    def __init__(
        self,
        lists: Sequence[tuple[int, int]],
        numbers: Sequence[int],
        texts: Sequence[int],
        points: Sequence[_Point],
        sensitive: Sequence[int],
    ) -> None:
        self._lists = lists
        self._numbers = _picker(numbers)
        self._texts = _picker(texts) if texts else None
        self._points = points
        self._sensitive = sensitive

    def read(self, values: list[Any], device: Device, time_ns: int) -> list[Metric] | None:
        """Return the points of a message; None if its values do not fit.

        Args:
            values: as `_take_apart` gives them; the items of arrays are added.
            device: who sent it.
            time_ns: of the points.
        """
        for place, length in self._lists:
            items = values[place]
            if items.__class__ is not list or len(items) != length:
                return None
            values += items
        found = self._numbers(values)
        if not _NUMBERS.issuperset(map(type, found)):
            return None
        if self._texts is not None and not _TEXTS.issuperset(map(type, self._texts(values))):
            return None
        if not isfinite(sum(found)):
            return None
        low, high = _POWER_ON
        for place in self._sensitive:
            if not _COLDEST < found[place] < low and not high < found[place]:
                return None
        # Also makes an int a float, and a negative zero a zero.
        numbers = [each + 0.0 for each in found]
        metrics = []
        for point in self._points:
            fields = dict(zip(point.fields, numbers[point.start : point.stop], strict=False))
            if point.constants:
                fields.update(point.constants)
            metrics.append(_new(Metric, (device.series(*point.series), fields, time_ns)))
        return metrics


class _Entry:
    """A shape: its plan, or None where it has none or was seen once only."""

    __slots__ = ("judged", "plan")

    def __init__(self) -> None:
        self.judged = False
        self.plan: _Plan | None = None


class Plans:
    """Reads SENSOR messages, as ``decode_document`` does.

    Args:
        meters: the user's mappings by name of the object.
    """

    def __init__(self, meters: Mapping[str, MeterTable]) -> None:
        self._meters = meters
        self._entries: BoundedCache[tuple[object, ...], _Entry] = BoundedCache(TASMOTA_PLANS_BYTES)

    def decode(
        self, document: Mapping[str, object], device: Device, received_ns: int, drop: Drop
    ) -> list[Metric]:
        """Return the points of a message; see ``decode_document``."""
        if len(document) > _FEW_MEMBERS:
            shape, values = _take_apart(document, states_of(device))
            entry = self._entries.get(shape)
            if entry is None:
                self._note(shape, values)
            elif not entry.judged:
                # One that is seen once may have a text that is another each time.
                entry.judged = True
                entry.plan = _Model(document, values, device, self._meters).plan()
            if entry is not None and entry.plan is not None:
                metrics = entry.plan.read(values, device, point_time(document, received_ns))
                if metrics is not None:
                    return metrics
        return decode_document(document, device, received_ns, drop, self._meters)

    def _note(self, shape: tuple[object, ...], values: _Values) -> None:
        if len(values) > _MOST_VALUES:
            return
        texts = [each for each in shape if each.__class__ is str]
        keys = [each for each in shape[1:] if each.__class__ is tuple]
        size_bytes = _ENTRY_BYTES + sum(map(getsizeof, [shape, *texts, *keys]))
        size_bytes += sum(getsizeof(key) + _VALUE_BYTES for each in keys for key in each)
        self._entries.put(shape, _Entry(), size_bytes)


class _Model:
    """A message by which a plan is made.

    Args:
        document: the message.
        values: its values, as `_take_apart` gives them.
        device: who sent it.
        meters: the user's mappings.
    """

    def __init__(
        self,
        document: Mapping[str, object],
        values: list[object],
        device: Device,
        meters: Mapping[str, MeterTable],
    ) -> None:
        self._document = document
        self._device = device
        self._meters = meters
        self._values = values.copy()
        self._lists: list[tuple[int, int]] = []
        self._arrays: list[tuple[int, slice]] = []
        for place, items in enumerate(values):
            if isinstance(items, list):
                start = len(self._values)
                self._values += items
                self._lists.append((place, len(items)))
                self._arrays.append((place, slice(start, len(self._values))))
        kinds = [value.__class__ for value in self._values]
        self._numbers = [place for place, kind in enumerate(kinds) if kind in _NUMBERS]
        self._texts = [place for place, kind in enumerate(kinds) if kind is str]
        self._others = len(kinds) - len(self._numbers) - len(self._texts) - len(self._lists)

    def plan(self) -> _Plan | None:
        """Return the plan of the message's shape; None if there is none."""
        if not self._numbers or self._others or len(self._values) > _MOST_VALUES:
            return None
        points = self._points_if_alike()
        if not points:
            return None
        place_of = {_marker(place): place for place in self._numbers}
        specials = [(n, dict(self._points(_always(n), drop=ignore_drop))) for n in _SPECIAL]
        planned: list[_Point] = []
        used: list[int] = []
        sensitive: list[int] = []
        for series, fields in points:
            start = len(used)
            read = {name: value for name, value in fields.items() if isinstance(value, float)}
            for name, marker in read.items():
                if marker not in place_of:
                    return None
                if any(found.get(series, {}).get(name) != n for n, found in specials):
                    sensitive.append(len(used))
                used.append(place_of[marker])
            constants = {name: value for name, value in fields.items() if name not in read}
            planned.append(_Point(series, tuple(read), start, len(used), constants))
        rest = [place for place in self._numbers if place not in used]
        return _Plan(self._lists, [*used, *rest], self._texts, planned, sensitive)

    def _points_if_alike(self) -> _Points:
        """Return the points, each number its marker; none if they depend on any value."""
        try:
            points = self._points(_marker)
            floored = self._points(lambda place: int(_marker(place)))
            if (
                floored == _mapped(points, lambda number: number // 1)
                and all(self._points(_marker, text) == points for text in _OTHER_TEXTS)
                and all(self._points(_always(n)) == _mapped(points, _always(n)) for n in _ORDINARY)
            ):
                return points
        except _DroppedError:
            pass
        return []

    def _points(
        self, number: Callable[[int], float], text: str | None = None, drop: Drop | None = None
    ) -> _Points:
        """Return what comes of the message with other values.

        Args:
            number: gives a number for a place.
            text: for all texts within objects; None for their own.
            drop: called with what is left out; by default that is an error.
        """
        values = self._values.copy()
        for place in self._numbers:
            values[place] = number(place)
        if text is not None:
            for place in self._texts:
                values[place] = text
        for place, items in self._arrays:
            values[place] = values[items]
        # Series that are made up are not those of the device.
        device = Device("probe", DeviceNaming({}), self._device.config)
        document = _put_together(self._document, values)
        found = decode_document(document, device, 0, drop or _refuse, self._meters)
        return [(_key_of(series), dict(fields)) for series, fields, _time_ns in found]


def _key_of(series: Series) -> tuple[str, str, str]:
    tags = series.tags
    return series.measurement, tags.get("channel", ""), tags.get("sensor", "")


class _DroppedError(Exception):
    """Something was left out of a message that is made up."""


def _refuse(_reason: str, _where: str) -> None:
    raise _DroppedError


def _marker(place: int) -> float:
    return 1001.5 + place


def _always(number: float) -> Callable[[float], float]:
    return lambda _: number


def _mapped(points: _Points, change: Callable[[float], float]) -> _Points:
    return [
        (
            series,
            {
                name: change(value) if isinstance(value, float) else value
                for name, value in fields.items()
            },
        )
        for series, fields in points
    ]


def _picker(places: Sequence[int]) -> Callable[[_Values], tuple[Any, ...]]:
    # Of a single place the getter would give no tuple.
    return itemgetter(*places, places[-1])


def _take_apart(
    document: Mapping[str, object], states: tuple[str, str]
) -> tuple[tuple[object, ...], list[object]]:
    """Return the shape of a message, and its values in their order."""
    shape: list[object] = [states]
    values: list[object] = []
    for name, content in document.items():
        kind = content.__class__
        if kind is dict:
            shape += name, (*content,)  # type: ignore[misc]  # a dict
            values += content.values()  # type: ignore[attr-defined]  # likewise
        elif kind is str:
            # The time is another in each message, and read by itself.
            shape += name, None if name == "Time" else content
        else:
            shape += name, kind
            values.append(content)
    return tuple(shape), values


def _put_together(document: Mapping[str, object], values: _Values) -> dict[str, object]:
    """Return a message of the same shape with other values."""
    rest = iter(values)
    return {
        name: {key: next(rest) for key in content}
        if isinstance(content, dict)
        else content
        if isinstance(content, str)
        else next(rest)
        for name, content in document.items()
    }
