"""Readings -> points: what is new in a reading, when it was measured, and what is to be believed.

A DTU repeats what it knows. A message comes when the radio brought something, and again every ten
seconds with the same values and a larger age. So the age says when the values were measured, and
values whose time has not moved on are a repetition and not sent again. The DTU also changes
values itself: it can set those of an inverter that does not answer any more to 0, and at midnight
the yield of the day. Such a change has the old age, so its time is that of the message.

After its own start a DTU knows nothing and says 0 until it hears an inverter: such readings are
left out, and the yields of all inverters together as long as one of them is missing in the sum.

Pure but for what it remembers: no clock, no log, no socket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from metrics_agent.catalogue import ELECTRICITY, INVERTER
from metrics_agent.metric import FieldValue, Metric
from metrics_agent.modules.opendtu.naming import InverterNames
from metrics_agent.modules.opendtu.quantities import ONLY_WHEN_REACHABLE, Drop
from metrics_agent.modules.opendtu.reading import Fields, Frame, Inverter, Part

__all__ = ["MAX_KNOWN", "Tracker"]

SECOND_NS: Final = 1_000_000_000
MAX_KNOWN: Final = 64
"""Inverters that are remembered; more are not believed to be there."""

_SAME_UPDATE_NS: Final = 2 * SECOND_NS
"""Ages are whole seconds and messages are under way: so much closer is the same time."""
_CLOCK_SET_NS: Final = 60 * SECOND_NS
"""Values cannot get older than they were: our clock was set back."""
_REPEAT_AGE_S: Final = 9.0
"""What is new is sent within a second or two; from here on it is the repetition of ten seconds."""
_OLDEST_S: Final = 24 * 3600.0
_FRESH_S: Final = 60.0
_FRESH_NS: Final = 60 * SECOND_NS
_STATUS_EVERY_NS: Final = 60 * SECOND_NS
_LOOK_ROUND_NS: Final = 11 * SECOND_NS
"""Each inverter has its turn within ten seconds."""
_GONE_NS: Final = 60 * SECOND_NS
_BELIEVED_AT: Final = 3
"""So many lower totals in a row are believed: the counter was set."""
_TOLERANCE_KWH: Final = 0.01
"""A sum of float32 may be a little lower than before."""

_TEMPERATURE: Final = INVERTER.key("temperature")
_DATA_AGE: Final = INVERTER.key("data_age")
_VOLTAGE: Final = ELECTRICITY.key("voltage")
_ENERGY_TOTAL: Final = ELECTRICITY.key("energy_total")
_ENERGY_TODAY: Final = ELECTRICITY.key("energy_today")
_TELLING: Final = ("reachable", "producing", "limit_relative", "limit_absolute", "events")
"""Fields whose change is worth a point of its own."""


class _Known:
    """What is remembered of one inverter."""

    __slots__ = ("heard", "measured", "polled", "seen_ns", "told", "told_ns", "updated_ns")

    def __init__(self) -> None:
        self.heard = True
        self.polled: bool | None = None
        self.seen_ns = 0
        self.updated_ns: int | None = None
        self.measured: tuple[object, ...] = ()
        self.told: list[FieldValue | None] = []
        self.told_ns = 0

    def is_newer(self, updated_ns: int) -> bool:
        """Say whether the radio has brought something since."""
        before_ns = self.updated_ns
        return (
            before_ns is None
            or updated_ns > before_ns + _SAME_UPDATE_NS
            or updated_ns < before_ns - _CLOCK_SET_NS
        )

    def remember(self, reading: Inverter, updated_ns: int | None) -> None:
        """Note the values, and when the radio brought the last ones."""
        self.measured = reading.measured
        self.updated_ns = updated_ns


class Tracker:
    """Makes points of readings and remembers what it takes to know what is new.

    Args:
        naming: of the series.
        drop: called with what is left out.
    """

    def __init__(self, naming: InverterNames, drop: Drop) -> None:
        self._naming = naming
        self._drop = drop
        self._known: dict[str, _Known] = {}
        self._totals: dict[tuple[str, str, int], tuple[float, int]] = {}
        self._first_ns: int | None = None
        self._total: tuple[Fields, int] = ({}, 0)

    @property
    def serials(self) -> tuple[str, ...]:
        """The inverters that were seen, in the order of their first message."""
        return tuple(self._known)

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
            known = self._known[reading.serial] = _Known()
        known.seen_ns = received_ns
        known.heard = reading.heard
        known.polled = reading.polled
        if not reading.heard:
            self._drop(reading.serial, "never_heard", "all values")
            # It counts as reachable until it was asked some times, which says nothing.
            told = {} if reading.reachable else self._status(reading, known, received_ns)
            return self._own(reading, told, received_ns)
        time_ns = self._measured_ns(reading, known, received_ns)
        if time_ns is None:
            return self._own(reading, self._status(reading, known, received_ns), received_ns)
        status = self._status(reading, known, received_ns, is_new=True)
        metrics = list(self._electricity(reading, time_ns))
        temperature = self._believed(reading, reading.values, (_TEMPERATURE,))
        if received_ns - time_ns <= _FRESH_NS:
            return metrics + self._own(reading, {**status, **temperature}, time_ns)
        # What the DTU knows itself is of now.
        return (
            metrics
            + self._own(reading, temperature, time_ns)
            + self._own(reading, status, received_ns)
        )

    def _measured_ns(self, reading: Inverter, known: _Known, received_ns: int) -> int | None:
        """Return when the values were measured, None if there are no new ones."""
        age_s = reading.age_s
        if not any(reading.measured):
            return None
        if age_s is None:
            return received_ns
        updated_ns = received_ns - round(age_s * SECOND_NS)
        is_newer = age_s <= _FRESH_S if reading.sent_when_new else known.is_newer(updated_ns)
        is_same = reading.measured == known.measured and not reading.sent_when_new
        known.remember(reading, updated_ns if is_newer else known.updated_ns)
        if is_same and (not is_newer or age_s >= _REPEAT_AGE_S):
            return None
        # At dusk the DTU says 0 for an inverter that does not answer: that is so now.
        is_zeroed = not reading.reachable and reading.values.get(_VOLTAGE) == 0
        if is_zeroed or not is_newer:
            return received_ns
        if age_s <= _OLDEST_S:
            return updated_ns
        self._drop(reading.serial, "stale", "all values")
        return None

    def _electricity(self, reading: Inverter, time_ns: int) -> Iterator[Metric]:
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
            self._check_total(fields, serial, channel)
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

    def _check_total(self, values: dict[str, float], device: str, channel: int) -> None:
        """Take out a counter that runs backwards, unless it goes on doing so."""
        total = values.get(_ENERGY_TOTAL)
        if total is None:
            return
        key = (device, _ENERGY_TOTAL, channel)
        highest, refused = self._totals.get(key, (total, 0))
        if total >= highest - _TOLERANCE_KWH or refused + 1 >= _BELIEVED_AT:
            self._totals[key] = (total, 0)
            return
        self._totals[key] = (highest, refused + 1)
        self._drop(device, "lower_total", f"channel {channel}" if channel else "the whole")
        del values[_ENERGY_TOTAL]

    def _status(
        self, reading: Inverter, known: _Known, received_ns: int, *, is_new: bool = False
    ) -> dict[str, FieldValue]:
        """Return how the inverter is doing: with new values, on a change, and once a minute."""
        told = [reading.status.get(name) for name in _TELLING]
        is_due = received_ns - known.told_ns >= _STATUS_EVERY_NS or received_ns < known.told_ns
        if not reading.status or not (is_new or is_due or told != known.told):
            return {}
        known.told, known.told_ns = told, received_ns
        fields: dict[str, FieldValue] = dict(reading.status)
        if reading.heard and reading.age_s is not None:
            fields[_DATA_AGE] = reading.age_s
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
            values.pop(_ENERGY_TODAY, None)
            values.pop(_ENERGY_TOTAL, None)
        self._check_total(values, part.device, 0)
        before, told_ns = self._total
        elapsed_ns = received_ns - told_ns
        if not values or (values == before and 0 <= elapsed_ns < _STATUS_EVERY_NS):
            return []
        self._total = (dict(values), received_ns)
        return [Metric(self._naming.part(part.measurement, part.device), values, received_ns)]

    def _is_whole(self, near: list[_Known], received_ns: int, *, complete: bool) -> bool:
        if not complete and (
            self._first_ns is None or 0 <= received_ns - self._first_ns < _LOOK_ROUND_NS
        ):
            return False
        # At night none is polled; by day one that is not is none of the sum.
        polled = [known for known in near if known.polled is not False] or near
        return all(known.heard for known in polled)

    def part(self, part: Part, received_ns: int) -> list[Metric]:
        """Return the point of a battery, a charger, the power meter; none if it says nothing."""
        values = dict(sorted(part.values.items()))
        self._check_total(values, part.device, 0)
        if not values:
            return []
        return [Metric(self._naming.part(part.measurement, part.device), values, received_ns)]
