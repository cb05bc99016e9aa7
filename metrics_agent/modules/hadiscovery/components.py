"""Discovery payload of one entity -> `EntityConfig`: what each component has of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from metrics_agent.errors import PayloadError
from metrics_agent.limits import HADISCOVERY_NAME_CHARS, HADISCOVERY_OPTIONS
from metrics_agent.modules.hadiscovery.checks import (
    boolean,
    exact_integer,
    integer,
    limited_text,
    number,
    one_of,
    positive_int,
    publish_topic,
    refuse,
    state_topic,
    text,
)
from metrics_agent.modules.hadiscovery.classes import (
    BINARY_CLASSES,
    CLASS_UNITS,
    STATE_CLASSES,
    TEXT_CLASSES,
    preferred_unit,
)
from metrics_agent.modules.hadiscovery.entity_config import EntityConfig, InputConfig
from metrics_agent.modules.hadiscovery.other_keys import check_other_keys
from metrics_agent.modules.hadiscovery.schema import Compile, Reader

__all__ = ["COMPONENTS", "SUPPORTED", "read_entity"]

COMPONENTS: Final = frozenset(
    {
        *("alarm_control_panel", "binary_sensor", "button", "camera", "climate", "cover"),
        *("date", "datetime", "device_automation", "device_tracker", "event", "fan"),
        *("humidifier", "image", "infrared", "lawn_mower", "light", "lock", "notify"),
        *("number", "scene", "select", "sensor", "siren", "switch", "tag", "text", "time"),
        *("update", "vacuum", "valve", "water_heater"),
    }
)
"""All that Home Assistant knows."""

_SENSOR_CLASSES: Final = frozenset(CLASS_UNITS)
_SWITCH_CLASSES: Final = frozenset({"outlet", "switch"})
_COVER_CLASSES: Final = frozenset(
    {
        *("awning", "blind", "curtain", "damper", "door", "garage", "gate", "shade", "shutter"),
        "window",
    }
)
_HUMIDIFIER_CLASSES: Final = frozenset({"humidifier", "dehumidifier"})
_VALVE_CLASSES: Final = frozenset({"gas", "water"})
_POSITIONS: Final = {"position_open": 100, "position_closed": 0}
_TILTS: Final = {"tilt_max": 100, "tilt_min": 0}
_UNITS: Final = {"C": "°C", "F": "°F"}
_Fields = dict[str, Any]


def _class(known: frozenset[str]) -> Callable[[str, object], str]:
    return one_of(known, lower=True)


def _input(reader: Reader, role: str, topic_key: str, *template_keys: str) -> Iterator[InputConfig]:
    """Yield an input if the payload has its topic."""
    topic = reader.read(topic_key, state_topic)
    found: list[tuple[Any, Any]] = [reader.template(key) for key in template_keys]
    template = next((each for _, each in found if each is not None), None)
    if topic is not None:
        # The text that the template has: many entities have the same.
        yield InputConfig(role, topic, None if template is None else template.text, template)


def _sensor(reader: Reader) -> _Fields:
    reader.require("state_topic", state_topic)
    reader.read("force_update", boolean)
    device_class = reader.read_nullable("device_class", _class(_SENSOR_CLASSES)) or ""
    state_class = reader.read_nullable("state_class", _class(STATE_CLASSES)) or ""
    precision = reader.read("suggested_display_precision", positive_int)
    unit = _unit(reader)
    options = _options(reader, device_class, state_class, unit)
    reader.check_template("last_reset_value_template")
    if "last_reset_value_template" in reader and state_class != "total":
        raise PayloadError("invalid_config", "last_reset_value_template without state_class total")
    if state_class == "measurement_angle" and unit != "°":
        raise refuse("unit_of_measurement", unit, "° for the state class measurement_angle")
    allowed = CLASS_UNITS.get(device_class)
    if unit and allowed is not None and unit not in allowed:
        raise refuse("unit_of_measurement", unit, f"one of the class {device_class}")
    is_text = device_class in TEXT_CLASSES
    if is_text and (unit or state_class):
        raise PayloadError("invalid_config", f"class {device_class} with a unit or a state class")
    return {
        "inputs": tuple(_input(reader, "state", "state_topic", "value_template")),
        "device_class": device_class,
        "state_class": state_class,
        "unit": unit,
        "options": options,
        "numeric": not is_text
        and bool(state_class or unit or device_class or precision is not None),
        "expire_after": reader.read("expire_after", positive_int),
    }


def _unit(reader: Reader) -> str:
    unit = reader.read_nullable("unit_of_measurement", _unit_text)
    return preferred_unit(unit) if unit and unit.strip() else ""


def _unit_text(key: str, value: object) -> str:
    return limited_text(key, value, HADISCOVERY_NAME_CHARS)


def _options(reader: Reader, device_class: str, state_class: str, unit: str) -> tuple[object, ...]:
    if reader.payload.get("options") is None:
        if "options" in reader:
            raise PayloadError("invalid_config", "options is empty")
        return ()
    found = reader.payload["options"]
    options = found if isinstance(found, list) else [found]
    if not options or device_class != "enum" or state_class or unit:
        raise PayloadError("invalid_config", "options is empty, or without the class enum")
    if len(options) > HADISCOVERY_OPTIONS:
        raise PayloadError("too_long", f"{len(options)} options, limit {HADISCOVERY_OPTIONS}")
    return tuple([text("options", each) if isinstance(each, str) else None for each in options])


def _binary_sensor(reader: Reader) -> _Fields:
    reader.require("state_topic", state_topic)
    reader.read("force_update", boolean)
    return {
        "inputs": tuple(_input(reader, "state", "state_topic", "value_template")),
        "device_class": reader.read_nullable("device_class", _class(BINARY_CLASSES)) or "",
        "on": reader.read("payload_on", text, "ON"),
        "off": reader.read("payload_off", text, "OFF"),
        "off_delay": reader.read("off_delay", positive_int),
        "expire_after": reader.read("expire_after", positive_int),
    }


def _number(reader: Reader) -> _Fields:
    reader.require("command_topic", publish_topic)
    least, most = reader.read("min", number, 1.0), reader.read("max", number, 100.0)
    if least > most:
        raise refuse("max", most, f"no less than min, {least}")
    if reader.read("step", number, 1.0) < 1e-3:  # noqa: PLR2004 - Home Assistant's least
        raise refuse("step", reader.payload["step"], "at least 0.001")
    return {
        "inputs": tuple(_input(reader, "state", "state_topic", "value_template")),
        "device_class": reader.read_nullable("device_class", _class(_SENSOR_CLASSES - TEXT_CLASSES))
        or "",
        "unit": preferred_unit(reader.read_nullable("unit_of_measurement", _unit_text) or ""),
        "least": least,
        "most": most,
        "reset": reader.read("payload_reset", text, "None"),
    }


def _switch(reader: Reader) -> _Fields:
    reader.require("command_topic", publish_topic)
    on, off = reader.read("payload_on", text, "ON"), reader.read("payload_off", text, "OFF")
    return {
        "inputs": tuple(_input(reader, "state", "state_topic", "value_template")),
        "device_class": reader.read_nullable("device_class", _class(_SWITCH_CLASSES)) or "",
        "on": reader.read("state_on", text) or on,
        "off": reader.read("state_off", text) or off,
    }


def _temperatures(reader: Reader, *more: str) -> Iterator[InputConfig]:
    yield from _input(
        reader,
        "current_temperature",
        "current_temperature_topic",
        "current_temperature_template",
        *more,
    )
    yield from _input(
        reader,
        "target_temperature",
        "temperature_state_topic",
        "temperature_state_template",
        *more,
    )


def _humidities(reader: Reader, *more: str) -> Iterator[InputConfig]:
    yield from _input(
        reader, "current_humidity", "current_humidity_topic", "current_humidity_template", *more
    )
    yield from _input(
        reader,
        "target_humidity",
        "target_humidity_state_topic",
        "target_humidity_state_template",
        *more,
    )


def _temperature_unit(key: str, value: object) -> str:
    found = _UNITS.get(str(value).upper())
    if found is None:
        raise refuse(key, value, "C or F")
    return found


def _climate(reader: Reader) -> _Fields:
    least = reader.read("min_humidity", number, 30.0)
    most = reader.read("max_humidity", number, 99.0)
    if not 0 <= least < most <= 100:  # noqa: PLR2004 - per cent
        raise PayloadError("invalid_config", "min_humidity is not below max_humidity")
    return {
        "inputs": (
            *_temperatures(reader, "value_template"),
            *_humidities(reader, "value_template"),
            *_input(reader, "action", "action_topic", "action_template", "value_template"),
        ),
        "unit": reader.read("temperature_unit", _temperature_unit, "°C"),
    }


def _water_heater(reader: Reader) -> _Fields:
    return {
        "inputs": tuple(_temperatures(reader, "value_template")),
        "unit": reader.read("temperature_unit", _temperature_unit, "°C"),
    }


def _humidifier(reader: Reader) -> _Fields:
    reader.require("command_topic", publish_topic)
    reader.require("target_humidity_command_topic", publish_topic)
    least = reader.read("min_humidity", number, 0.0)
    most = reader.read("max_humidity", number, 100.0)
    if not 0 <= least < most <= 100:  # noqa: PLR2004 - per cent
        raise PayloadError("invalid_config", "min_humidity is not below max_humidity")
    return {
        "inputs": (
            *_input(reader, "state", "state_topic", "state_value_template"),
            *_humidities(reader),
        ),
        "device_class": reader.read_nullable("device_class", one_of(_HUMIDIFIER_CLASSES))
        or "humidifier",
        "on": reader.read("payload_on", text, "ON"),
        "off": reader.read("payload_off", text, "OFF"),
        "least": least,
        "most": most,
        "reset": reader.read("payload_reset_humidity", text, "None"),
    }


def _with_variables(reader: Reader, key: str, names: Mapping[str, int]) -> Reader:
    """Return a reader whose template has the variables of Home Assistant that it asks for."""
    template = reader.payload.get(key)
    used = [name for name in names if isinstance(template, str) and name in template]
    if not used:
        return reader
    values = {name: reader.payload.get(name, names[name]) for name in used}
    sets = "".join(f"{{% set {name} = {int(value)} %}}" for name, value in values.items())
    return Reader({**reader.payload, key: f"{sets}{template}"}, reader.compile)


def _positions(reader: Reader, check: Callable[[str, Any], int]) -> _Fields:
    return {
        "least": float(reader.read("position_closed", check, _POSITIONS["position_closed"])),
        "most": float(reader.read("position_open", check, _POSITIONS["position_open"])),
    }


def _cover(reader: Reader) -> _Fields:
    positions = _positions(reader, exact_integer)
    reader = _with_variables(reader, "position_template", {**_POSITIONS, **_TILTS})
    return {
        "inputs": tuple(_input(reader, "position", "position_topic", "position_template")),
        "device_class": reader.read_nullable("device_class", _class(_COVER_CLASSES)) or "",
        **positions,
    }


def _valve(reader: Reader) -> _Fields:
    positions = _positions(reader, integer)
    reader = _with_variables(reader, "value_template", _POSITIONS)
    reports = reader.read("reports_position", boolean, False)
    inputs = tuple(_input(reader, "position", "state_topic", "value_template"))
    return {
        "inputs": inputs if reports else (),
        "device_class": reader.read_nullable("device_class", _class(_VALVE_CLASSES)) or "",
        "state_words": (
            reader.read("state_opening", text, "opening"),
            reader.read("state_closing", text, "closing"),
        ),
        **positions,
    }


_COMPONENTS: Final[Mapping[str, Callable[[Reader], _Fields]]] = {
    "binary_sensor": _binary_sensor,
    "climate": _climate,
    "cover": _cover,
    "humidifier": _humidifier,
    "number": _number,
    "sensor": _sensor,
    "switch": _switch,
    "valve": _valve,
    "water_heater": _water_heater,
}
SUPPORTED: Final = frozenset(_COMPONENTS)
"""Those that have values for a database."""
_NEVER_CONFIG: Final = frozenset({"sensor", "binary_sensor"})


def read_entity(
    component: str, payload: Mapping[str, Any], compile_template: Compile
) -> EntityConfig:
    """Read the payload of an entity.

    Args:
        component: one of `SUPPORTED`.
        payload: with long keys and whole topics.
        compile_template: makes a template of its text; raises PayloadError.

    Raises:
        PayloadError: Home Assistant would refuse it, or it is over a limit.
    """
    reader = Reader(payload, compile_template)
    common = reader.common()
    if component in _NEVER_CONFIG and common["category"] == "config":
        raise PayloadError("invalid_config", "entity_category config of what cannot be set")
    check_other_keys(component, reader)
    return EntityConfig(component=component, **common, **_COMPONENTS[component](reader))
