"""Readings -> points: what is new in a reading, when it was measured, and what is to be believed.

A DTU repeats what it knows. A message comes when the radio brought something, and again every ten
seconds with the same values and a larger age. So the age says when the values were measured, and
values whose time has not moved on are a repetition and not sent again. The DTU also changes
values itself: it can set those of an inverter that does not answer any more to 0, and at midnight
the yield of the day. Such a change has the old age. What has changed is of now; all else is still
what the inverter said last, and was sent then.

After its own start a DTU knows nothing and says 0 until it hears an inverter: such readings are
left out, and the yields of all inverters together as long as one of them is missing in the sum.
A new connection may be one to a DTU that has just started.

Pure but for what it remembers: no clock, no log, no socket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from metrics_agent.catalogue import ELECTRICITY, INVERTER
from metrics_agent.metric import FieldValue, Metric
from metrics_agent.modules.opendtu.counters import ENERGY_TODAY, ENERGY_TOTAL, Counters
from metrics_agent.modules.opendtu.naming import InverterNames
from metrics_agent.modules.opendtu.news import OLDEST_S, SECOND_NS, Known, is_newer, read_news
from metrics_agent.modules.opendtu.quantities import ONLY_WHEN_REACHABLE, Drop
from metrics_agent.modules.opendtu.reading import Fields, Frame, Inverter, Part

__all__ = ["MAX_KNOWN", "Tracker"]

MAX_KNOWN: Final = 64
"""Inverters that are remembered; more are not believed to be there."""

_FRESH_NS: Final = 60 * SECOND_NS
_STATUS_EVERY_NS: Final = 60 * SECOND_NS
_LOOK_ROUND_NS: Final = 11 * SECOND_NS
"""Each inverter has its turn within ten seconds."""
_GONE_NS: Final = 60 * SECOND_NS
_UNCHANGED_NS: Final = 300 * SECOND_NS
"""Values without an age that stay the same for so long are not repeated any more: the DTU also
sends what it has not received again for hours."""
_MAX_PARTS: Final = 4 * MAX_KNOWN

_TEMPERATURE: Final = INVERTER.key("temperature")
_DATA_AGE: Final = INVERTER.key("data_age")
_SHOWN: Final = ("reachable", "producing", "limit_relative", "limit_absolute", "events")
"""Fields whose change is worth a point of its own."""


class _KnownPart:
    """What is remembered of something that is no inverter."""

    __slots__ = ("changed_ns", "updated_ns", "values", "written_ns")

    def __init__(self) -> None:
        self.values: Fields = {}
        self.changed_ns = 0
        self.written_ns = 0
        self.updated_ns: int | None = None

    def is_due(self, values: Fields, received_ns: int) -> bool:
        """Say whether values without an age are worth a point.

        They are when they change, and once a minute for some minutes.
        """
        if values != self.values or received_ns < self.written_ns:
            self.values, self.changed_ns, self.written_ns = values, received_ns, received_ns
            return True
        if (
            received_ns - self.written_ns < _STATUS_EVERY_NS
            or received_ns - self.changed_ns > _UNCHANGED_NS
        ):
            return False
        self.written_ns = received_ns
        return True


class Tracker:
    """Makes points of readings and remembers what it takes to know what is new.

    Args:
        naming: of the series.
        drop: called with what is left out.
    """

    def __init__(self, naming: InverterNames, drop: Drop) -> None:
        self._naming = naming
        self._drop = drop
        self._known: dict[str, Known] = {}
        self._counters = Counters(drop)
        self._parts: dict[tuple[str, str, int], _KnownPart] = {}
        self._first_ns: int | None = None
        self._total: tuple[Fields, int] = ({}, 0)

    @property
    def serials(self) -> tuple[str, ...]:
        """The inverters that were seen, in the order of their first message."""
        return tuple(self._known)

    def restart(self) -> None:
        """Begin again: the DTU may have, and have heard none of its inverters since."""
        self._first_ns = None
        for known in self._known.values():
            known.heard, known.polled = False, None

    def frame(self, frame: Frame, received_ns: int) -> list[Metric]:
        """Return the points of a message of the socket.

        Args:
            frame: the message.
            received_ns: when it came.
        """
        metrics: list[Metric] = []
        for inverter in frame.inverters:
            metrics += self.inverter(inverter, received_ns)
        if frame.inverters and self._first_ns is None:
            self._first_ns = received_ns
        if frame.total is not None:
            alone = len(frame.inverters) == 1
            metrics += self.total(frame.total, received_ns, complete=not alone)
        for part in frame.parts:
            metrics += self.part(part, received_ns)
        return metrics

    # Inverters.

    def inverter(self, reading: Inverter, received_ns: int) -> list[Metric]:
        """Return the points of one inverter; none if there is nothing new."""
        known = self._known.get(reading.serial)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._drop("", "too_many_devices", reading.serial)
                return []
            known = self._known[reading.serial] = Known()
        known.seen_ns = received_ns
        known.heard = reading.heard
        if reading.polled is not None:
            known.polled = reading.polled
        if not reading.heard:
            self._drop(reading.serial, "never_heard", "all values")
            # It counts as reachable until it was asked some times, which says nothing.
            status = {} if reading.reachable else self._status(reading, known, received_ns)
            return self._own(reading, status, received_ns)
        news = read_news(reading, known, received_ns)
        if news is not None and received_ns - news[1] > OLDEST_S * SECOND_NS:
            self._drop(reading.serial, "stale", "all values")
            news = None
        if news is None:
            return self._own(reading, self._status(reading, known, received_ns), received_ns)
        status = self._status(reading, known, received_ns, is_new=True)
        new, time_ns = news
        metrics = list(self._electricity(new, time_ns, received_ns))
        temperature = self._believed(new, new.values, (_TEMPERATURE,))
        if received_ns - time_ns <= _FRESH_NS:
            return metrics + self._own(reading, {**status, **temperature}, time_ns)
        # What the DTU knows itself is of now.
        return (
            metrics
            + self._own(reading, temperature, time_ns)
            + self._own(reading, status, received_ns)
        )

    def _electricity(self, reading: Inverter, time_ns: int, received_ns: int) -> Iterator[Metric]:
        measurement, serial, name = ELECTRICITY.name, reading.serial, reading.name
        naming = self._naming
        points = [(naming.inverter(measurement, serial, name), reading.values, 0)]
        points += [
            (naming.string(measurement, serial, name, number, string.name), string.values, number)
            for number, string in reading.strings.items()
        ]
        points += [
            (naming.phase(measurement, serial, name, number), phase, -number)
            for number, phase in reading.phases.items()
        ]
        for series, values, channel in points:
            names = [name for name in values if name != _TEMPERATURE]
            fields = self._believed(reading, values, names)
            self._counters.check(fields, serial, channel, received_ns)
            if fields:
                yield Metric(series, fields, time_ns)

    def _believed(
        self, reading: Inverter, values: Fields, names: Iterable[str]
    ) -> dict[str, float]:
        """Return fields by name, without what cannot be known of an inverter out of reach."""
        return {
            name: values[name]
            for name in sorted(names)
            if name in values
            and (values[name] or reading.reachable or name not in ONLY_WHEN_REACHABLE)
        }

    def _status(
        self, reading: Inverter, known: Known, received_ns: int, *, is_new: bool = False
    ) -> dict[str, FieldValue]:
        """Return how the inverter is doing: with new values, on a change, and once a minute."""
        shown = [reading.status.get(name) for name in _SHOWN]
        is_due = received_ns - known.status_ns >= _STATUS_EVERY_NS or received_ns < known.status_ns
        if not reading.status or not (is_new or is_due or shown != known.status):
            return {}
        known.status, known.status_ns = shown, received_ns
        fields: dict[str, FieldValue] = dict(reading.status)
        if reading.heard and reading.age_s is not None and not known.clock_is_off:
            fields[_DATA_AGE] = round(reading.age_s, 3)
        return fields

    def _own(
        self, reading: Inverter, fields: Mapping[str, FieldValue], time_ns: int
    ) -> list[Metric]:
        if not fields:
            return []
        series = self._naming.inverter(INVERTER.name, reading.serial, reading.name)
        return [Metric(series, dict(sorted(fields.items())), time_ns)]

    # What is no inverter.

    def total(self, part: Part, received_ns: int, *, complete: bool) -> list[Metric]:
        """Return the point of all inverters together; none if it is the same as before.

        Args:
            part: the sums.
            received_ns: when they came.
            complete: every inverter is known by now; else some time is given for that.
        """
        near = [
            known for known in self._known.values() if abs(received_ns - known.seen_ns) < _GONE_NS
        ]
        if near and not any(known.heard for known in near):
            return []
        values = dict(sorted(part.values.items()))
        if not self._is_whole(near, received_ns, complete=complete):
            # The yields would be those of some: a dip in a counter.
            values.pop(ENERGY_TODAY, None)
            values.pop(ENERGY_TOTAL, None)
        self._counters.check(values, part.device, 0, received_ns)
        before, written_ns = self._total
        elapsed_ns = received_ns - written_ns
        if not values or (values == before and 0 <= elapsed_ns < _STATUS_EVERY_NS):
            return []
        self._total = (dict(values), received_ns)
        return [Metric(self._naming.part(part.measurement, part.device), values, received_ns)]

    def _is_whole(self, near: list[Known], received_ns: int, *, complete: bool) -> bool:
        if not complete and (
            self._first_ns is None or 0 <= received_ns - self._first_ns < _LOOK_ROUND_NS
        ):
            return False
        # At night none is polled; by day one that is not is none of the sum.
        polled = [known for known in near if known.polled is not False] or near
        return all(known.heard for known in polled)

    def part(self, part: Part, received_ns: int) -> list[Metric]:
        """Return the point of a battery, a charger, the power meter; none if nothing is new."""
        key = (part.measurement, part.device, part.channel)
        known = self._parts.get(key)
        if known is None:
            if len(self._parts) >= _MAX_PARTS:
                self._drop("", "too_many_devices", part.device)
                return []
            known = self._parts[key] = _KnownPart()
        values = dict(sorted(part.values.items()))
        time_ns = received_ns
        if part.age_s is not None:
            time_ns -= round(part.age_s * SECOND_NS)
            if not is_newer(time_ns, known.updated_ns):
                return []
            known.updated_ns = time_ns
            if part.age_s > OLDEST_S:
                self._drop(part.device, "stale", "all values")
                return []
        elif not known.is_due(dict(values), received_ns):
            return []
        self._counters.check(values, part.device, part.channel, received_ns)
        if not values:
            return []
        series = self._naming.part(part.measurement, part.device, part.channel)
        return [Metric(series, values, time_ns)]
