"""Discovery payload of one entity -> `EntityConfig`: what all components have in common."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final

from metrics_agent.errors import PayloadError
from metrics_agent.limits import HADISCOVERY_LIST_ITEMS, HADISCOVERY_NAME_CHARS
from metrics_agent.modules.hadiscovery.checks import (
    boolean,
    limited_text,
    number,
    one_of,
    positive_int,
    refuse,
    state_topic,
    template_text,
    text,
    url,
)
from metrics_agent.modules.hadiscovery.entity_config import (
    AvailabilityConfig,
    AvailabilityTopic,
    DeviceInfo,
)
from metrics_agent.modules.hadiscovery.templates import Template, is_surely_valid

__all__ = ["Compile", "Reader", "read_availability", "read_device", "read_origin"]

Compile = Callable[[str], Template]
"""Makes a template of its text; raises PayloadError."""

_INVALID: Final = "template_invalid"
"""The reason for a template that Home Assistant refuses too."""
_CATEGORIES: Final = frozenset({"config", "diagnostic"})
_INTERVALS: Final = frozenset({"days", "hours", "minutes", "seconds", "milliseconds"})
_MODES: Final = frozenset({"all", "any", "latest"})
_ENCODINGS: Final = frozenset({"utf-8", "ascii", "iso8859-1", "cp1252", "utf-16", "utf-16-le"})
_DEVICE_TEXTS: Final = (
    *("name", "manufacturer", "model", "model_id", "hw_version", "sw_version"),
    *("serial_number", "suggested_area", "via_device"),
)
_DEVICE_KEYS: Final = frozenset(
    {*_DEVICE_TEXTS, "identifiers", "connections", "configuration_url", "child_device", "via_hub"}
)
_ORIGIN_KEYS: Final = frozenset({"name", "sw_version", "support_url"})
_AVAILABILITY_KEYS: Final = frozenset(
    {"topic", "payload_available", "payload_not_available", "value_template"}
)


class Reader:
    """Reads the keys of one payload.

    Args:
        payload: with long keys and whole topics.
        compile_template: see `Compile`.
    """

    def __init__(self, payload: Mapping[str, Any], compile_template: Compile) -> None:
        self.payload = payload
        self.compile = compile_template

    def __contains__(self, key: str) -> bool:
        return key in self.payload

    def read(self, key: str, check: Callable[[str, Any], Any], default: Any = None) -> Any:
        """Return a value that is optional and not null where it is there."""
        return check(key, self.payload[key]) if key in self.payload else default

    def read_nullable(self, key: str, check: Callable[[str, Any], Any]) -> Any:
        """Return a value that may be null, which means that it is not there."""
        value = self.payload.get(key)
        return None if value is None else check(key, value)

    def require(self, key: str, check: Callable[[str, Any], Any]) -> Any:
        """Return a value that has to be there."""
        if key not in self.payload:
            raise PayloadError("invalid_config", f"{key} is missing")
        return check(key, self.payload[key])

    def template(self, key: str) -> tuple[str | None, Template | None]:
        """Return the text of a template and what renders it; None twice if there is none."""
        found: str | None = self.read(key, template_text)
        if found is None:
            return None, None
        template = self.compile(found)
        return template.text, template  # many entities have the same text

    def check_template(self, key: str) -> None:
        """Check a template that nothing here renders."""
        template: str | None = self.read(key, template_text)
        if template is None or is_surely_valid(template):
            return
        try:
            self.compile(template)
        except PayloadError as error:
            # What Home Assistant alone can render is no reason to do without the values.
            if error.reason == _INVALID:
                raise

    def check_common(self) -> None:
        """Check what every entity may have and nothing here makes use of.

        Raises:
            PayloadError: Home Assistant would refuse the entity.
        """
        self.read("qos", _qos)
        self.read("icon", _icon)
        self.read("entity_picture", url)
        self.read("json_attributes_topic", state_topic)
        self.check_template("json_attributes_template")
        self.read("message_expiry_interval", _interval)
        self.read("group", _texts)
        self.read("default_entity_id", text)
        self.read("visible_by_default", boolean)

    def _device(self) -> DeviceInfo | None:
        device: DeviceInfo | None = self.read("device", read_device)
        if device is not None and "child_device" in self.payload["device"]:
            self.require("unique_id", text)
        return device

    def common(self) -> dict[str, Any]:
        """Return the arguments of `EntityConfig` that every entity has."""
        self.check_common()
        return {
            "availability": read_availability(self),
            "device": self._device(),
            "unique_id": self.read("unique_id", _name),
            "origin": self.read("origin", read_origin, ""),
            "name": self.read_nullable("name", text),
            "category": self.read("entity_category", one_of(_CATEGORIES), ""),
            "enabled": self.read("enabled_by_default", boolean, True),
            "encoding": self.read("encoding", _encoding, "utf-8"),
        }


def _name(key: str, value: object) -> str:
    return limited_text(key, value, HADISCOVERY_NAME_CHARS)


def _qos(key: str, value: object) -> int:
    found = positive_int(key, value)
    if found > 2:  # noqa: PLR2004 - those of MQTT
        raise refuse(key, value, "0, 1 or 2")
    return found


def _interval(key: str, value: object) -> None:
    """Check a time in seconds, or an object with days, hours, minutes, seconds."""
    if isinstance(value, int):
        positive_int(key, value)
    elif not isinstance(value, dict) or not value:
        raise refuse(key, value, "seconds, or an object with days, hours, minutes, seconds")
    else:
        for unit, count in value.items():
            if unit not in _INTERVALS or not 0 <= number(key, count) < inf:
                raise refuse(key, count, "a number from 0 of days, hours, minutes, seconds")


def _texts(key: str, value: object) -> None:
    for each in _as_list(value):
        text(key, each)


def _icon(key: str, value: object) -> str:
    if ":" not in str(value):
        raise refuse(key, value, "prefix:name")
    return str(value)


def _encoding(key: str, value: object) -> str:
    name = text(key, value)
    if not name:
        return ""
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        known = ""
    if known not in _ENCODINGS:
        raise refuse(key, value, "UTF-8, or another usual encoding of text")
    return known


def read_device(key: str, value: object) -> DeviceInfo:
    """Read the object ``device``."""
    if not isinstance(value, dict):
        raise refuse(key, value, "an object")
    for each in value:
        if each not in _DEVICE_KEYS:
            raise PayloadError("invalid_config", f"{key} has the unknown key {each!r:.60}")
    texts = {each: _name(f"{key}.{each}", value[each]) for each in _DEVICE_TEXTS if each in value}
    if "configuration_url" in value:
        url(f"{key}.configuration_url", value["configuration_url"])
    identifiers = tuple(
        _name(f"{key}.identifiers", each) for each in _as_list(value.get("identifiers"))
    )
    connections = tuple(
        _connection(f"{key}.connections", each) for each in _as_list(value.get("connections"))
    )
    if not identifiers and not connections:
        raise PayloadError("invalid_config", f"{key} has neither identifiers nor connections")
    via = texts.get("via_device", "")
    if via and via in identifiers:
        raise PayloadError("invalid_config", f"{key}: via_device is the device itself")
    if "child_device" in value:
        texts["name"], identifiers = _child(
            f"{key}.child_device", value["child_device"], identifiers
        )
        connections = ()
    return DeviceInfo(
        identifiers=identifiers,
        connections=connections,
        name=texts.get("name", ""),
        manufacturer=texts.get("manufacturer", ""),
        model=texts.get("model", ""),
        via_device=via,
    )


def _child(key: str, value: object, parents: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return name and identifiers of a part that is a device of its own."""
    if not isinstance(value, dict) or not value.keys() <= {"identifiers", "name"}:
        raise refuse(key, value, "an object with identifiers and a name")
    identifiers = tuple(
        _name(f"{key}.identifiers", each) for each in _as_list(value.get("identifiers"))
    )
    if not identifiers or not set(parents).isdisjoint(identifiers):
        raise PayloadError("invalid_config", f"{key} has no identifiers of its own")
    return _name(f"{key}.name", value.get("name", "")), identifiers


def _as_list(value: object) -> list[Any]:
    if value is None:
        return []
    found = value if isinstance(value, list) else [value]
    if len(found) > HADISCOVERY_LIST_ITEMS:
        raise PayloadError("too_long", f"a list of {len(found)}")
    return found


def _connection(key: str, value: object) -> tuple[str, str]:
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - kind and address
        raise refuse(key, value, "a kind and an address")
    kind, address = (_name(key, each) for each in value)
    if kind == "mac":
        digits = address.replace(":", "").replace("-", "").replace(".", "").lower()
        if len(digits) == 12:  # noqa: PLR2004 - of a hardware address
            address = ":".join(digits[index : index + 2] for index in range(0, 12, 2))
    return kind, address


def read_origin(key: str, value: object) -> str:
    """Read the object ``origin``; returns its name."""
    if not isinstance(value, dict):
        raise refuse(key, value, "an object")
    for each in value:
        if each not in _ORIGIN_KEYS:
            raise PayloadError("invalid_config", f"{key} has the unknown key {each!r:.60}")
    if "name" not in value:
        raise PayloadError("invalid_config", f"{key} has no name")
    if "sw_version" in value:
        text(f"{key}.sw_version", value["sw_version"])
    if "support_url" in value:
        url(f"{key}.support_url", value["support_url"])
    return _name(f"{key}.name", value["name"])


def read_availability(reader: Reader, *, strict: bool = False) -> AvailabilityConfig:
    """Read what says whether an entity is there, in either of its two forms.

    Args:
        reader: of the payload.
        strict: unknown keys are refused, as they are at the top of a device.
    """
    mode: str = reader.read("availability_mode", one_of(_MODES), "latest")
    encoding: str = reader.read("encoding", _encoding, "utf-8")
    available: str = reader.read("payload_available", text, "online")
    not_available: str = reader.read("payload_not_available", text, "offline")
    template_text, template = reader.template("availability_template")
    topics: dict[str, AvailabilityTopic] = {}
    if "availability_topic" in reader:
        if "availability" in reader:
            raise PayloadError("invalid_config", "both availability and availability_topic")
        topic = reader.require("availability_topic", state_topic)
        topics[topic] = AvailabilityTopic(topic, available, not_available, template_text, template)
    for each in _as_list(reader.payload.get("availability")):
        if not isinstance(each, dict):
            raise refuse("availability", each, "objects")
        if strict and not each.keys() <= _AVAILABILITY_KEYS:
            raise refuse("availability", list(each), "no other keys at the top of a device")
        one = Reader(each, reader.compile)
        topic = one.require("topic", state_topic)
        template_text, template = one.template("value_template")
        # The last one of a topic counts, at the place of the first.
        topics[topic] = AvailabilityTopic(
            topic,
            one.read("payload_available", text, "online"),
            one.read("payload_not_available", text, "offline"),
            template_text,
            template,
        )
    return AvailabilityConfig(mode, tuple(topics.values()), encoding)
