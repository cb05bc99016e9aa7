"""A message on a discovery topic -> what it announces, in both forms.

The entity form has one entity a topic, ``<prefix>/<component>/[<node>/]<object>/config``. The
device form, ``<prefix>/device/[<node>/]<object>/config``, has all of a device, with what they
share at its top. Both are read into the same: a component, an id and a payload with long keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from metrics_agent.errors import PayloadError
from metrics_agent.json_payload import loads
from metrics_agent.limits import (
    HADISCOVERY_COMPONENTS,
    HADISCOVERY_CONFIG_BYTES,
    HADISCOVERY_NAME_CHARS,
    HADISCOVERY_TOPIC_CHARS,
)
from metrics_agent.modules.hadiscovery.abbreviations import expand
from metrics_agent.modules.hadiscovery.checks import (
    limited_text,
    publish_topic,
    state_topic,
    text,
)
from metrics_agent.modules.hadiscovery.components import COMPONENTS
from metrics_agent.modules.hadiscovery.schema import (
    Compile,
    Reader,
    read_availability,
    read_device,
    read_origin,
)
from metrics_agent.modules.hadiscovery.shared_texts import shared

__all__ = ["Announced", "Discovery", "Place", "parse_discovery", "parse_topic"]

_DEVICE: Final = "device"
_PATH: Final = re.compile(r"([a-z_]+)/(?:([a-zA-Z0-9_-]+)/)?([a-zA-Z0-9_-]+)/config", re.ASCII)
_NOT_ENTITIES: Final = frozenset({"device_automation", "tag"})
_SHARED: Final = (
    *("availability", "availability_mode", "availability_template", "availability_topic"),
    *("command_topic", "encoding", "message_expiry_interval", "payload_available"),
    *("payload_not_available", "state_topic", "qos"),
)
"""Options of a device payload that its components inherit."""
_DEVICE_KEYS: Final = frozenset({*_SHARED, "device", "origin", "components", "child_devices"})


@frozen
class Place:
    """What a discovery topic says.

    Attributes:
        component: ``sensor``, ``light`` ... or ``device`` for the device form.
        node: empty if the topic has none.
        object: the object id.
    """

    component: str
    node: str
    object: str

    @property
    def is_device(self) -> bool:
        """Whether the payload is a device with its entities."""
        return self.component == _DEVICE


@frozen
class Announced:
    """One entity of a message.

    Attributes:
        component: one that Home Assistant knows.
        id: its discovery id: node and object id with a blank between them.
        object: its part of the id that names the value, without the device's.
        payload: with long keys and whole topics; None for a removal.
    """

    component: str
    id: str
    object: str
    payload: Mapping[str, Any] | None


@frozen
class Discovery:
    """What a message announces.

    Attributes:
        announced: entities, in order.
        removes_all: everything that was announced on this topic is gone.
        migrates: it will be announced on another topic: only what has an id and a device goes.
    """

    announced: tuple[Announced, ...] = ()
    removes_all: bool = False
    migrates: bool = False


def parse_topic(prefix: str, topic: str) -> Place:
    """Return what a topic says.

    Args:
        prefix: of all discovery topics.
        topic: below it.

    Raises:
        PayloadError: it is not one of Home Assistant's, or too long to be kept.
    """
    if len(topic) > HADISCOVERY_TOPIC_CHARS:
        raise PayloadError(
            "topic_too_long", f"{len(topic)} characters, limit {HADISCOVERY_TOPIC_CHARS}"
        )
    found = _PATH.fullmatch(topic.removeprefix(f"{prefix}/"))
    component, node, object_id = found.groups() if found is not None else ("", None, "")
    if component != _DEVICE and component not in COMPONENTS:
        raise PayloadError("illegal_topic", "Home Assistant has no such topic")
    # Many entities have the same.
    return Place(shared(component), node or "", shared(object_id))


def parse_discovery(place: Place, data: bytes, compile_template: Compile) -> Discovery:
    """Read a message on a discovery topic.

    Raises:
        PayloadError: it cannot be used; what was announced there before stays in force.
    """
    if not data:
        return Discovery(removes_all=True)
    payload = _read_object(data)
    if _is_migration(payload):
        return Discovery(removes_all=True, migrates=True)
    if not payload and not place.is_device:
        return Discovery(removes_all=True)
    payload = expand(payload)
    if place.is_device:
        return Discovery(tuple(_read_components(place, payload, compile_template)))
    _replace_base(payload)
    discovery_id = f"{place.node} {place.object}" if place.node else place.object
    return Discovery((Announced(place.component, discovery_id, place.object, payload),))


def _read_object(data: bytes) -> dict[str, Any]:
    if data.startswith(b"\xef\xbb\xbf") or b"\x00" in data:
        raise PayloadError("invalid_json", "a byte order mark or a NUL")
    payload = loads(data, max_bytes=HADISCOVERY_CONFIG_BYTES)
    if not isinstance(payload, dict):
        raise PayloadError("invalid_config", f"a JSON {type(payload).__name__}, expected an object")
    return payload


def _is_migration(payload: Mapping[str, Any]) -> bool:
    return payload in ({"migrate_discovery": True}, {"migr_discvry": True})


def _replace_base(payload: dict[str, Any]) -> None:
    """Put the topic base ``~`` into the topics of a payload."""
    if "~" not in payload:
        return
    base = str(payload.pop("~"))
    for key, value in payload.items():
        if key.endswith("topic") and isinstance(value, str):
            payload[key] = _with_base(value, base)
    availability = payload.get("availability")
    for each in availability if isinstance(availability, list) else [availability]:
        if isinstance(each, dict) and isinstance(each.get("topic"), str):
            each["topic"] = _with_base(each["topic"], base)


def _with_base(topic: str, base: str) -> str:
    if topic.endswith("~"):  # of two it is the one that counts
        return f"{topic[:-1]}{base}"
    return f"{base}{topic[1:]}" if topic.startswith("~") else topic


def _read_components(
    place: Place, payload: dict[str, Any], compile_template: Compile
) -> Iterator[Announced]:
    """Yield the entities of a device payload; all of it is checked before the first one."""
    for key, component, device in _check_device_payload(payload, compile_template):
        platform = component.pop("platform")
        object_id = f"{place.node} {key}" if place.node else key
        discovery_id = f"{place.object} {object_id}"
        if not component:
            yield Announced(platform, discovery_id, key, None)
            continue
        component |= {"device": device, "origin": payload["origin"]}
        for option in _SHARED:
            if option in payload and option not in component:
                component[option] = payload[option]
        _replace_base(component)
        yield Announced(platform, discovery_id, key, component)


def _check_device_payload(
    payload: dict[str, Any], compile_template: Compile
) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Return key, payload and device of each component."""
    for key in payload:
        if key not in _DEVICE_KEYS:
            raise PayloadError("invalid_config", f"a device payload has the key {key!r:.60}")
    for key in ("device", "origin"):
        if key not in payload:
            raise PayloadError("invalid_config", f"{key} is missing")
    device = payload["device"]
    read_device("device", device)
    if "child_device" in device:
        raise PayloadError("invalid_config", "child_device, expected child_devices")
    read_origin("origin", payload["origin"])
    reader = Reader(payload, compile_template)
    reader.read("state_topic", state_topic)
    reader.read("command_topic", publish_topic)
    reader.read("encoding", text)
    reader.check_common()
    read_availability(reader, strict=True)
    return list(_checked_components(payload, compile_template))


def _checked_components(
    payload: dict[str, Any], compile_template: Compile
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    device = payload["device"]
    parts = [(payload.get("components", {}), device), *_child_devices(payload)]
    if "components" not in payload and len(parts) == 1:
        raise PayloadError("invalid_config", "components is missing")
    found: set[str] = set()
    for components, of_device in parts:
        if not isinstance(components, dict):
            raise PayloadError("invalid_config", "components is not an object")
        if len(found) + len(components) > HADISCOVERY_COMPONENTS:
            raise PayloadError("too_long", f"over {HADISCOVERY_COMPONENTS} components")
        for key, component in components.items():
            limited_text("a component's key", key, HADISCOVERY_NAME_CHARS)
            platform = component.get("platform") if isinstance(component, dict) else None
            if not isinstance(platform, str) or platform not in COMPONENTS:
                raise PayloadError("invalid_config", f"component {key!r:.60} has no known platform")
            is_entity = platform not in _NOT_ENTITIES
            if key in found or (of_device is not device and not is_entity):
                raise PayloadError("invalid_config", f"component {key!r:.60} cannot be there")
            if is_entity and len(component) > 1:
                Reader(component, compile_template).require("unique_id", text)
            found.add(key)
            yield key, component, of_device


def _child_devices(payload: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the components of each child device, and the device with that child."""
    children = payload.get("child_devices", [])
    if not isinstance(children, list):
        raise PayloadError("invalid_config", "child_devices is not a list")
    if len(children) > HADISCOVERY_COMPONENTS:
        raise PayloadError("too_long", f"{len(children)} child devices")
    for child in children:
        if not isinstance(child, dict) or "components" not in child:
            raise PayloadError("invalid_config", "a child device has no components")
        own = {key: value for key, value in child.items() if key != "components"}
        device = {**payload["device"], "child_device": own}
        read_device("device", device)
        yield child["components"], device
