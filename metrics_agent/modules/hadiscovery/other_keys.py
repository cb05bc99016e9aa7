"""Keys of payloads on which no value depends: one that is wrong refuses the entity all the same.

Home Assistant checks them, and publishers test with it. What a key is follows from its name, as it
does there: filters, topics for commands, templates, and the few lists below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from metrics_agent.errors import PayloadError
from metrics_agent.modules.hadiscovery.checks import (
    boolean,
    exact_integer,
    number,
    publish_topic,
    refuse,
    state_topic,
    text,
)
from metrics_agent.modules.hadiscovery.schema import Reader

__all__ = ["check_other_keys"]

_WRITABLE: Final = "command_template optimistic retain"
_KEYS: Final[Mapping[str, str]] = {
    "climate": """
        fan_mode_command_template fan_mode_command_topic fan_mode_state_template
        fan_mode_state_topic initial max_temp min_temp mode_command_template mode_command_topic
        mode_state_template mode_state_topic optimistic payload_off payload_on
        power_command_template power_command_topic preset_mode_command_template
        preset_mode_command_topic preset_mode_state_topic preset_mode_value_template retain
        swing_horizontal_mode_command_template swing_horizontal_mode_command_topic
        swing_horizontal_mode_state_template swing_horizontal_mode_state_topic
        swing_mode_command_template swing_mode_command_topic swing_mode_state_template
        swing_mode_state_topic target_humidity_command_template target_humidity_command_topic
        temp_step temperature_command_template temperature_command_topic
        temperature_high_command_template temperature_high_command_topic
        temperature_high_state_template temperature_high_state_topic
        temperature_low_command_template temperature_low_command_topic
        temperature_low_state_template temperature_low_state_topic
    """,
    "cover": """
        command_topic optimistic retain set_position_template set_position_topic state_closed
        state_closing state_open state_opening state_stopped state_topic tilt_command_template
        tilt_command_topic tilt_optimistic tilt_status_template tilt_status_topic value_template
    """,
    "humidifier": f"""
        {_WRITABLE} action_template action_topic mode_command_template mode_command_topic
        mode_state_template mode_state_topic payload_reset_mode target_humidity_command_template
    """,
    "number": _WRITABLE,
    "switch": _WRITABLE,
    "valve": "command_template command_topic optimistic retain state_closed state_open",
    "water_heater": """
        initial max_temp min_temp mode_command_template mode_command_topic mode_state_template
        mode_state_topic optimistic payload_off payload_on power_command_template
        power_command_topic retain temperature_command_template temperature_command_topic
    """,
}
_NUMBERS: Final = frozenset({"initial", "max_temp", "min_temp", "temp_step"})
_BOOLEANS: Final = frozenset({"optimistic", "retain", "tilt_optimistic"})
_PRECISIONS: Final = frozenset({0.1, 0.5, 1.0})
_NUMBER_MODES: Final = frozenset({"auto", "box", "slider"})
_OF_POSITIONS: Final = frozenset({"payload_close", "payload_open", "state_closed", "state_open"})
"""What a valve that reports its position cannot have."""


def _check_of(key: str) -> Callable[[str, Any], Any]:
    if key.endswith("_command_topic") or key in {"command_topic", "set_position_topic"}:
        return publish_topic
    if key.endswith("_topic"):
        return state_topic
    if key in _BOOLEANS:
        return boolean
    return number if key in _NUMBERS else text


_CHECKS: Final[Mapping[str, tuple[tuple[str, Callable[[str, Any], Any] | None], ...]]] = {
    component: tuple(
        (key, None if key.endswith("_template") else _check_of(key)) for key in keys.split()
    )
    for component, keys in _KEYS.items()
}
"""Of each component its keys, with None for a template."""


def check_other_keys(component: str, reader: Reader) -> None:
    """Check the keys of a component that make no value.

    Raises:
        PayloadError: Home Assistant would refuse the entity.
    """
    for key, check in _CHECKS.get(component, ()):
        if key not in reader:
            continue
        if check is None:
            reader.check_template(key)
        else:
            reader.read(key, check)
    own = _OWN.get(component)
    if own is not None:
        own(reader)


def _check_climate(reader: Reader) -> None:
    _check_together(reader, "preset_modes", "preset_mode_command_topic")
    if "none" in _listed(reader, "preset_modes"):
        raise refuse("preset_modes", ["none"], "no mode none")
    if "target_humidity_state_topic" in reader and "target_humidity_command_topic" not in reader:
        raise PayloadError("invalid_config", "target_humidity_state_topic without command topic")
    _check_precision(reader)


def _check_precision(reader: Reader) -> None:
    precision = reader.read("precision", number)
    if precision is not None and precision not in _PRECISIONS:
        raise refuse("precision", precision, "0.1, 0.5 or 1.0")


def _check_humidifier(reader: Reader) -> None:
    _check_together(reader, "modes", "mode_command_topic")
    reset = reader.read("payload_reset_mode", text, "None")
    if reset in _listed(reader, "modes"):
        raise PayloadError("invalid_config", "modes has payload_reset_mode")


def _check_number(reader: Reader) -> None:
    mode = reader.payload.get("mode", "auto")
    if not isinstance(mode, str) or mode not in _NUMBER_MODES:
        raise refuse("mode", mode, "auto, box or slider")


def _check_cover(reader: Reader) -> None:
    for key, needed in _COVER_NEEDS:
        if key in reader and needed not in reader:
            raise PayloadError("invalid_config", f"{key} without {needed}")
    for key in ("tilt_closed_value", "tilt_max", "tilt_min", "tilt_opened_value"):
        reader.read(key, exact_integer)


_COVER_NEEDS: Final = (
    ("set_position_topic", "position_topic"),
    ("value_template", "state_topic"),
    ("position_template", "position_topic"),
    ("set_position_template", "set_position_topic"),
    ("tilt_command_template", "tilt_command_topic"),
    ("tilt_status_template", "tilt_status_topic"),
)


def _check_valve(reader: Reader) -> None:
    if reader.read("reports_position", boolean, False) and _OF_POSITIONS & set(reader.payload):
        raise PayloadError("invalid_config", "payloads of a state, and it reports its position")


def _check_together(reader: Reader, one: str, other: str) -> None:
    if (one in reader) is not (other in reader):
        raise PayloadError("invalid_config", f"of {one} and {other} one is missing")


def _listed(reader: Reader, key: str) -> list[Any]:
    value = reader.payload.get(key)
    return value if isinstance(value, list) else [value]


_OWN: Final[Mapping[str, Callable[[Reader], None]]] = {
    "climate": _check_climate,
    "cover": _check_cover,
    "humidifier": _check_humidifier,
    "number": _check_number,
    "valve": _check_valve,
    "water_heater": _check_precision,
}
