"""What a rendered payload means for a value of an entity, by Home Assistant's rules.

Each reader takes the entity's config and a text, and returns the value: a number, a boolean, a
text, None for "unknown", or one of `Odd`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timezone
from enum import Enum
from math import isfinite
from typing import Final

from metrics_agent.errors import PayloadError
from metrics_agent.json_payload import loads
from metrics_agent.modules.hadiscovery.entity_config import EntityConfig
from metrics_agent.modules.hadiscovery.templates import parse_datetime

__all__ = ["IGNORED", "REFUSED", "Odd", "Read", "Value", "read_number", "reader_of"]

Value = float | bool | str | None


class Odd(Enum):
    """What a text may mean instead of a value."""

    IGNORED = "ignored"
    REFUSED = "refused"


IGNORED: Final = Odd.IGNORED
"""The message does not concern the value."""
REFUSED: Final = Odd.REFUSED
"""The message takes the place of the last one, and Home Assistant refuses to show it."""
Read = Callable[[EntityConfig, str], "Value | Odd"]

_NONE: Final = "None"
_LONGEST_STATE: Final = 255
_MOST_NUMBER_CHARS: Final = 400
"""A longer number would take longer than linear time; the largest float has 309 digits."""
_PER_CENT: Final = 100
_ACTIONS: Final = frozenset(
    {"cooling", "defrosting", "drying", "fan", "heating", "idle", "off", "preheating"}
)


def read_number(text: str) -> float | None:
    """Return a text as Python's ``float`` reads it; None if it is no finite number."""
    if len(text) > _MOST_NUMBER_CHARS:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def reader_of(config: EntityConfig, role: str) -> Read:
    """Return what reads the values of one role of an entity."""
    if config.component == "sensor":
        if config.numeric:
            return _numeric_state
        return _TEXT_READERS.get(config.device_class, _text_state)
    return _READERS[config.component, role]


def _numeric_state(_config: EntityConfig, text: str) -> Value | Odd:
    if text == _NONE:
        return None
    if not text:
        return IGNORED
    value = read_number(text)
    return REFUSED if value is None else value


def _text_state(config: EntityConfig, text: str) -> Value | Odd:
    if text == _NONE:
        return None
    if config.options and text not in config.options:
        return IGNORED
    return text if len(text) <= _LONGEST_STATE else None


def _timestamp(_config: EntityConfig, text: str) -> Value | Odd:
    when = _parse_when(text)
    if when is None:
        return None
    if when.tzinfo is None:
        return REFUSED
    try:
        return when.astimezone(timezone.utc).isoformat(timespec="seconds")
    except OverflowError:  # before the year 1, or after 9999
        return REFUSED


def _date(_config: EntityConfig, text: str) -> Value | Odd:
    when = _parse_when(text)
    return None if when is None else date(when.year, when.month, when.day).isoformat()


def _parse_when(text: str) -> datetime | None:
    try:
        return parse_datetime(text)
    except (ValueError, OverflowError):
        return None


def _binary_state(config: EntityConfig, text: str) -> Value | Odd:
    return _on_off(config, text) if text.strip() else IGNORED


def _on_off(config: EntityConfig, text: str) -> Value | Odd:
    if text == config.on:
        return True
    if text == config.off:
        return False
    return None if text == _NONE else IGNORED


def _switch_state(config: EntityConfig, text: str) -> Value | Odd:
    # None last, and of equal payloads the later one, as a dictionary has them.
    if text == _NONE:
        return None
    if text == config.off:
        return False
    return True if text == config.on else IGNORED


def _humidifier_state(config: EntityConfig, text: str) -> Value | Odd:
    return _on_off(config, text) if text else IGNORED


def _number_state(config: EntityConfig, text: str) -> Value | Odd:
    if not text.strip():
        return IGNORED
    if text == config.reset:
        return None
    value = read_number(text)
    if value is None or not config.least <= value <= config.most:
        return IGNORED
    return value


def _measured(_config: EntityConfig, text: str) -> Value | Odd:
    """Read a temperature or humidity of a climate or water heater."""
    if text == _NONE:
        return None
    value = read_number(text)
    return IGNORED if value is None else value


def _current_humidity(config: EntityConfig, text: str) -> Value | Odd:
    return _whole_per_cent(config, text, 0, _PER_CENT)


def _target_humidity(config: EntityConfig, text: str) -> Value | Odd:
    return _whole_per_cent(config, text, config.least, config.most)


def _whole_per_cent(config: EntityConfig, text: str, least: float, most: float) -> Value | Odd:
    if text == config.reset:
        return None
    value = read_number(text)
    if value is None or not least <= round(value) <= most:
        return IGNORED
    return float(round(value))


def _action(_config: EntityConfig, text: str) -> Value | Odd:
    if text == _NONE:
        return None
    return text if text in _ACTIONS else IGNORED


def _position(config: EntityConfig, text: str) -> Value | Odd:
    """Read the position of a cover: a number, or an object with one."""
    found = _object(text)
    return _percentage(config, _number_of(found.get("position")) if found else text)


def _valve_position(config: EntityConfig, text: str) -> Value | Odd:
    found = _object(text)
    state: object = text
    if found is not None:
        if "position" not in found:
            return IGNORED
        state, text = found.get("state"), _number_of(found["position"])
    if state == _NONE:
        return None
    # The word for a valve that moves says nothing of its position.
    return IGNORED if state in config.state_words and state == text else _percentage(config, text)


def _number_of(value: object) -> str:
    """Return a member of an object as ``float`` would take it."""
    if isinstance(value, str):
        return value
    return repr(float(value)) if isinstance(value, int | float) else ""


def _object(text: str) -> Mapping[str, object] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        found = loads(text.encode("utf-8", "replace"))
    except PayloadError:
        return None
    return found if isinstance(found, dict) else None


def _percentage(config: EntityConfig, text: str) -> Value | Odd:
    value = read_number(text)
    span = config.most - config.least
    if value is None or not span:
        return IGNORED
    return min(100.0, max(0.0, (value - config.least) * _PER_CENT // span))


_TEXT_READERS: Final[Mapping[str, Read]] = {
    "date": _date,
    "timestamp": _timestamp,
    "uptime": _timestamp,
}
_READERS: Final[Mapping[tuple[str, str], Read]] = {
    ("binary_sensor", "state"): _binary_state,
    ("climate", "action"): _action,
    ("climate", "current_humidity"): _measured,
    ("climate", "current_temperature"): _measured,
    ("climate", "target_humidity"): _measured,
    ("climate", "target_temperature"): _measured,
    ("cover", "position"): _position,
    ("humidifier", "current_humidity"): _current_humidity,
    ("humidifier", "state"): _humidifier_state,
    ("humidifier", "target_humidity"): _target_humidity,
    ("number", "state"): _number_state,
    ("switch", "state"): _switch_state,
    ("valve", "position"): _valve_position,
    ("water_heater", "current_temperature"): _measured,
    ("water_heater", "target_temperature"): _measured,
}
