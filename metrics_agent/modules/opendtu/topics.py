"""What OpenDTU publishes by MQTT: topics and texts -> readings; no clock, no log, no socket.

Each value has a topic of its own. They come in a burst each publish interval: first what the DTU
knows itself (``status/*``, with the time of the last message from the inverter), then, if the radio
brought something, the channels. `Gathering` collects a burst, so that a point has all its fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from attrs import define, field, frozen

from metrics_agent.catalogue import DEVICE, ELECTRICITY
from metrics_agent.json_payload import text_number
from metrics_agent.metric import FieldValue
from metrics_agent.modules.opendtu.decode import (
    MAX_STRINGS,
    RADIO_KEYS,
    STATUS_KEYS,
    TOTAL,
    read_status,
    without_counters_never_heard,
)
from metrics_agent.modules.opendtu.onbattery import (
    AGES,
    PartTopic,
    part_topic,
    without_zeros_of_no_phase,
)
from metrics_agent.modules.opendtu.quantities import (
    DC,
    METER_PART,
    WHOLE,
    Drop,
    Quantity,
    Table,
    read_value,
)
from metrics_agent.modules.opendtu.reading import Inverter, Part, String
from metrics_agent.modules.opendtu.tracker import MAX_KNOWN

__all__ = ["DTU", "DtuBurst", "Gathering", "is_taken", "read_text"]

DTU: Final = "dtu"
"""The device of the DTU itself."""

_SERIAL: Final = re.compile(r"[0-9a-f]{10,16}")
_PHASE: Final = re.compile(r"(voltage|current) ph([1-3])(?:-n)?")
_BETWEEN_PHASES: Final = re.compile(r"voltage ph[1-3]-ph[1-3]")
_MAX_TEXT: Final = 128
_SECOND_NS: Final = 1_000_000_000
_LONGEST_AGE_S: Final = 24 * 3600.0
_EARLY_S: Final = 60.0
"""A clock that is ahead by more is wrong."""
_MAX_PARTS: Final = 4 * MAX_KNOWN
_FLAGS: Final = {"0": False, "1": True}
_SWITCHES: Final = frozenset({"reachable", "producing"})

_total = {
    **METER_PART,
    "dc/power": WHOLE["powerdc"],
    "dc/irradiation": DC["irradiation"],
}


@frozen
class _Chip:
    """One value of the DTU's own board, and what it is multiplied with."""

    field: str
    factor: float = 1.0


_CHIP: Final = {
    "uptime": _Chip(DEVICE.key("uptime")),
    "rssi": _Chip(DEVICE.key("signal")),
    "temperature": _Chip(DEVICE.key("temperature")),
    "heap/free": _Chip(DEVICE.key("heap"), 1 / 1024),
}


@define
class _Pending:
    """What has come of one inverter in this burst."""

    status: dict[str, object] = field(factory=dict)
    radio: dict[str, object] = field(factory=dict)
    updated_s: float | None = None
    values: dict[str, float] = field(factory=dict)
    strings: dict[int, dict[str, float]] = field(factory=dict)
    phases: dict[int, dict[str, float]] = field(factory=dict)
    keys: dict[int, set[str]] = field(factory=dict)


@frozen
class DtuBurst:
    """What a burst amounts to.

    Attributes:
        inverters: their readings.
        total: all inverters together.
        parts: the battery, chargers, the power meter.
        chip: fields of ``device`` of the DTU itself.
    """

    inverters: tuple[Inverter, ...]
    total: Part | None
    parts: tuple[Part, ...]
    chip: Mapping[str, FieldValue]


class Gathering:
    """Collects the messages of one DTU until they are taken.

    Args:
        prefix: the base topic with its slash.
        drop: called with what is left out.
    """

    def __init__(self, prefix: str, drop: Drop) -> None:
        self._prefix = prefix
        self._drop = drop
        # Whether all inverters that are polled are in reach, so also when none is polled, at night;
        # it may come in another burst.
        self._all_reachable = False
        # Names outlive a burst: they are retained, and some are sent rarely.
        self._names: dict[tuple[str, int], str] = {}
        self._clear()

    def _clear(self) -> None:
        self._inverters: dict[str, _Pending] = {}
        self._total: dict[str, float] = {}
        self._parts: dict[tuple[str, str, int], dict[str, float]] = {}
        self._ages: dict[str, float | None] = {}
        self._chip: dict[str, FieldValue] = {}

    def is_name(self, topic: str) -> bool:
        """Say whether a topic carries a name, which holds however old the message is."""
        levels = self._levels(topic)
        return levels[-1] == "name" and _SERIAL.fullmatch(levels[0]) is not None

    def add(self, topic: str, payload: bytes) -> bool:
        """Take one message.

        Returns:
            Whether there is something to take that was not there before.
        """
        first, *rest = self._levels(topic)
        text = payload[:_MAX_TEXT].decode("utf-8", "replace").strip()
        if _SERIAL.fullmatch(first):
            return self._add_inverter(first, rest, text)
        key = "/".join(rest).lower()
        if first in {"ac", "dc"}:
            return self._add_total(first, key, text)
        if first == DTU and key in _CHIP:
            return self._add_chip(key, text)
        if f"{first}/{key}" in AGES:
            self._ages[AGES[f"{first}/{key}"]] = text_number(text)
            return False
        found = part_topic(first, rest)
        return found is not None and self._add_part(found, key, text)

    def take(self, now_ns: int) -> DtuBurst:
        """Return what has come since the last time.

        Args:
            now_ns: the wall clock, for the age of values.
        """
        by_day = any(each.status.get("reachable") for each in self._inverters.values())
        unreached_is_unpolled = self._all_reachable and by_day
        inverters = [
            self._reading(serial, pending, now_ns, unreached_is_unpolled)
            for serial, pending in self._inverters.items()
        ]
        burst = DtuBurst(
            tuple(inverters),
            Part(TOTAL, ELECTRICITY.name, self._total) if self._total else None,
            tuple(
                Part(device, measurement, values, channel, _positive(self._ages.get(device)))
                for (device, measurement, channel), raw in self._parts.items()
                if (values := without_zeros_of_no_phase(device, channel, raw))
            ),
            self._chip,
        )
        self._clear()
        return burst

    def _levels(self, topic: str) -> list[str]:
        return topic.removeprefix(self._prefix).split("/")

    # Inverters.

    def _add_inverter(self, serial: str, rest: list[str], text: str) -> bool:
        if rest == ["name"]:
            return self._add_name(serial, 0, text)
        if len(rest) != 2:  # noqa: PLR2004 - <serial>/<group>/<key>
            return False
        group, key = rest
        if group in {"status", "radio"}:
            return self._add_status(serial, group, key, text)
        if not group.isdecimal() or not group.isascii() or int(group) > MAX_STRINGS:
            return False
        if key == "name":
            return self._add_name(serial, int(group), text)
        pending = self._pending(serial)
        return pending is not None and self._add_value(serial, pending, int(group), key, text)

    def _pending(self, serial: str) -> _Pending | None:
        pending = self._inverters.get(serial)
        if pending is None:
            if len(self._inverters) >= MAX_KNOWN:
                self._drop("", "too_many_devices", serial)
                return None
            pending = self._inverters[serial] = _Pending()
        return pending

    def _add_name(self, serial: str, channel: int, text: str) -> bool:
        if len(self._names) < MAX_KNOWN * MAX_STRINGS or (serial, channel) in self._names:
            self._names[serial, channel] = text
        return False

    def _add_status(self, serial: str, group: str, key: str, text: str) -> bool:
        pending = self._pending(serial)
        if pending is None:
            return False
        if key == "last_update":
            pending.updated_s = text_number(text)
        elif group == "radio":
            if key in RADIO_KEYS:
                pending.radio[key] = text_number(text)
        elif key in STATUS_KEYS:
            pending.status[key] = _FLAGS.get(text) if key in _SWITCHES else text_number(text)
        return True

    def _add_value(self, serial: str, pending: _Pending, channel: int, key: str, text: str) -> bool:
        where = f"{channel}/{key}"
        phase = None if channel else _PHASE.fullmatch(key)
        table: Table = DC if channel else WHOLE
        if phase is not None:
            quantity = WHOLE.get(phase[1])
            fields = pending.phases.setdefault(int(phase[2]), {})
        else:
            quantity = table.get(key)
            fields = pending.strings.setdefault(channel, {}) if channel else pending.values
        if quantity is None:
            if not _BETWEEN_PHASES.fullmatch(key):
                self._drop(serial, "unmapped_key", where)
            return False
        pending.keys.setdefault(channel, set()).add(key)
        value = read_text(text, quantity, lambda reason: self._drop(serial, reason, where))
        if value is not None:
            fields[quantity.field] = value
        return True

    def _reading(
        self, serial: str, pending: _Pending, now_ns: int, unreached_is_unpolled: bool
    ) -> Inverter:
        without_counters_never_heard(pending.values, pending.keys.get(0, ()))
        for number, fields in pending.strings.items():
            without_counters_never_heard(fields, pending.keys.get(number, ()))
        # Limits are published once they are known.
        status = read_status(pending.status, pending.radio, limits_are_known=True)
        reachable = pending.status.get("reachable")
        # Out of reach is what is not polled, and what does not answer.
        polled = True if reachable else None
        if reachable is False and unreached_is_unpolled:
            polled = False
        return Inverter(
            serial,
            name=self._names.get((serial, 0), ""),
            age_s=_age_s(pending.updated_s, now_ns),
            heard=pending.updated_s != 0,
            polled=polled,
            sent_when_new=True,
            status=status,
            values=pending.values,
            strings={
                number: String(self._names.get((serial, number), ""), fields)
                for number, fields in sorted(pending.strings.items())
            },
            phases=dict(sorted(pending.phases.items())),
        )

    # What is no inverter.

    def _add_total(self, group: str, key: str, text: str) -> bool:
        if key == "is_valid":
            self._all_reachable = text == "1"
            return False
        quantity = _total.get(key if group == "ac" else f"dc/{key}")
        if quantity is None:
            return False
        value = read_text(text, quantity, lambda reason: self._drop(TOTAL, reason, key))
        if value is not None:
            self._total[quantity.field] = value
        return value is not None

    def _add_part(self, topic: PartTopic, key: str, text: str) -> bool:
        place = (topic.device, topic.measurement, topic.channel)
        if place not in self._parts and len(self._parts) >= _MAX_PARTS:
            self._drop("", "too_many_devices", topic.device)
            return False
        quantity = topic.quantity
        if topic.spare and quantity.field in self._parts.get(place, ()):
            return False
        value = read_text(text, quantity, lambda reason: self._drop(topic.device, reason, key))
        if value is not None:
            self._parts.setdefault(place, {})[quantity.field] = value
        return value is not None

    def _add_chip(self, key: str, text: str) -> bool:
        value = text_number(text)
        if value is not None:
            self._chip[_CHIP[key].field] = round(value * _CHIP[key].factor, 3)
        return value is not None


def is_taken(prefix: str, topic: str) -> bool:
    """Say whether a topic belongs to what a DTU publishes and `Gathering` takes.

    Args:
        prefix: the base topic with its slash.
        topic: any.
    """
    if not topic.startswith(prefix):
        return False
    first, *rest = topic.removeprefix(prefix).split("/")
    of_all = first in {"ac", "dc", DTU} or _SERIAL.fullmatch(first) is not None
    return bool(rest) and (of_all or part_topic(first, rest) is not None)


def read_text(text: str, quantity: Quantity, drop: Callable[[str], None]) -> float | None:
    """Return a value of MQTT in our unit; see `read_value`."""
    value = text_number(text)
    if value is None:
        drop("not_a_number")
        return None
    return read_value(value, quantity, drop, quantity.unit, _decimals(text))


def _decimals(text: str) -> int:
    return len(text.partition(".")[2]) if text.replace(".", "", 1).isdecimal() else 6


def _age_s(updated_s: float | None, now_ns: int) -> float | None:
    """Return the age of values; None where the DTU's clock is not set or far from ours."""
    if not updated_s or not -_EARLY_S < now_ns / _SECOND_NS - updated_s < _LONGEST_AGE_S:
        return None
    # In whole nanoseconds: a float of seconds since 1970 is only good to some hundred of them.
    return max(0, now_ns - round(updated_s) * _SECOND_NS) / _SECOND_NS


def _positive(age_s: float | None) -> float | None:
    return age_s if age_s is not None and age_s >= 0 else None
