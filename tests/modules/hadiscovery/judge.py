"""Plays a case that Home Assistant itself computed, and compares what the module stands by.

The format of a case is that of the files in ``adversarial``: configs, then steps, and after each
step the records of entities that have changed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from math import isclose
from pathlib import Path
from typing import Any, Final

from metrics_agent.interfaces import Message
from metrics_agent.modules.hadiscovery.components import SUPPORTED
from metrics_agent.modules.hadiscovery.config import HadiscoverySettings
from metrics_agent.modules.hadiscovery.entity import UNAVAILABLE, Entity
from metrics_agent.modules.hadiscovery.entity_config import DeviceInfo
from metrics_agent.modules.hadiscovery.service import HadiscoveryModule
from metrics_agent.testing import FakeContext, topic_matches

__all__ = ["Judge", "load"]

_SETTLED_S: Final = 3.0
_STATIC: Final = (
    *("unique_id", "native_unit", "device_class", "state_class", "expire_after"),
    *("entity_category", "enabled_by_default", "state_topic"),
)
_WITHOUT_STATE: Final = frozenset({"climate", "cover", "valve", "water_heater"})
"""Their state is none of the values that the module takes."""
_ATTRIBUTES: Final = {
    "current_temperature": "current_temperature",
    "target_temperature": "temperature",
    "current_humidity": "current_humidity",
    "target_humidity": "humidity",
    "action": "hvac_action",
    "position": "current_position",
}


def load(path: Path) -> dict[str, Any]:
    """Return a case."""
    case: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return case


class _Devices:
    """The devices of Home Assistant: one for all that have an id in common, which it never forgets.

    The module has none of that: what it writes follows from each announcement alone.
    """

    def __init__(self) -> None:
        self._found: list[DeviceInfo] = []

    def find(self, info: DeviceInfo) -> DeviceInfo | None:
        """Return what was said of a device up to now."""
        keys = {*info.keys}
        return next((each for each in self._found if not keys.isdisjoint(each.keys)), None)

    def take(self, info: DeviceInfo) -> None:
        """Take what is said of a device."""
        earlier = self.find(info)
        if earlier is not None:
            self._found.remove(earlier)
            info = DeviceInfo(
                identifiers=tuple(dict.fromkeys((*earlier.identifiers, *info.identifiers))),
                connections=tuple(dict.fromkeys((*earlier.connections, *info.connections))),
                name=info.name or earlier.name,
                manufacturer=info.manufacturer or earlier.manufacturer,
                model=info.model or earlier.model,
                via_device=info.via_device or earlier.via_device,
            )
        self._found.append(info)


class Judge:
    """A module with all entities enabled, and a broker that keeps retained messages.

    Args:
        case: to be played.
    """

    def __init__(self, case: Mapping[str, Any], **settings: Any) -> None:
        self.case = case
        self.context = FakeContext()
        taken = {
            "retained": "take",
            "texts": True,
            "config_entities": True,
            "disabled_entities": True,
            "ignore": (),
        }
        self.module = HadiscoveryModule(HadiscoverySettings(**{**taken, **settings}), self.context)
        self.module.startService()
        self._retained: dict[str, bytes] = {}
        self._devices = _Devices()
        self._known = len(self.context.subscriptions)
        self._holds_back = False

    def close(self) -> None:
        """Stop the module."""
        self.module.stopService()
        self.context.stop()

    def feed(self, message: Mapping[str, Any]) -> None:
        """Let time pass, then deliver a message."""
        self.context.advance(message.get("after_s", 0))
        topic = message["topic"]
        if topic is None:
            return
        payload = (
            base64.b64decode(message["payload_b64"])
            if "payload_b64" in message
            else message["payload"].encode("utf-8", "surrogatepass")
        )
        subscriptions = self.context.subscriptions
        is_config = topic.endswith("/config")
        if message.get("retain", is_config):
            self._retained[topic] = payload
            if not payload:
                del self._retained[topic]
        if any(each.active and topic_matches(each.topic_filter, topic) for each in subscriptions):
            self.context.deliver(topic, payload)
        for entity in self.module.registry.announced_on(topic):
            if entity.config.device is not None:
                self._devices.take(entity.config.device)
        self._deliver_retained()
        # What is due at once.
        self.context.advance(0)

    def _deliver_retained(self) -> None:
        while not self._holds_back and self._known < len(self.context.subscriptions):
            new = self.context.subscriptions[self._known]
            self._known += 1
            for topic, payload in list(self._retained.items()):
                if new.active and topic_matches(new.topic_filter, topic):
                    message = Message(topic, payload, 0, True, self.context.now_ns())
                    self.context.emit(new.handler(message))

    def play(self) -> Iterator[str]:
        """Yield each difference."""
        case = self.case
        for message in case.get("before", ()):
            self.feed({"retain": True, **message})
        # Announcements are handled before all that the broker has stored, see `subscribe`.
        self._holds_back = True
        for message in case["config"]:
            self.feed(message)
        self._holds_back = False
        self._deliver_retained()
        static = dict(case["entities"])
        current = dict(case["initial"])
        self.context.advance(_SETTLED_S)
        yield from self._compare("initial", static, current)
        passed_s = _SETTLED_S
        for index, (step, expected) in enumerate(zip(case["steps"], case["expected"], strict=True)):
            after_s = max(0.0, step.get("after_s", 0) - passed_s)
            self.feed({**step, "after_s": after_s})
            passed_s = 0.0
            if str(step["topic"]).endswith("/config"):
                self.context.advance(_SETTLED_S)
                passed_s = _SETTLED_S
            current.update(expected["entities"])
            static.update(expected.get("entities_changed", {}))
            for key in expected.get("entities_removed", ()):
                current.pop(key, None)
            yield from self._compare(f"step {index}", static, current)

    def _compare(
        self, when: str, static: Mapping[str, Any], current: Mapping[str, Any]
    ) -> Iterator[str]:
        wanted = {key for key in current if key.partition("|")[0] in SUPPORTED}
        found = {"|".join(key): entity for key, entity in self.module.registry.entities.items()}
        for key in sorted(wanted ^ set(found)):
            yield f"{when}: {key} is {'missing' if key in wanted else 'too much'}"
        for key in sorted(wanted & set(found)):
            for text in self._differences(found[key], static[key], current[key]):
                yield f"{when}: {key}: {text}"

    def _differences(
        self, entity: Entity, static: Mapping[str, Any], record: Mapping[str, Any]
    ) -> Iterator[str]:
        ours = _static_of(entity)
        for name in _STATIC:
            if name == "device_class" and entity.key[0] == "humidifier":
                continue
            if name == "state_topic" and entity.key[0] not in {"sensor", "binary_sensor"}:
                continue
            if ours[name] != static.get(name):
                yield f"{name} is {ours[name]!r}, expected {static.get(name)!r}"
        yield from _device_differences(entity, static.get("device"), self._devices)
        now_s = self.context.reactor.seconds()
        available = entity.is_available(now_s)
        if available is not record["available"]:
            yield f"available is {available}, expected {record['available']}"
        component = entity.key[0]
        if component not in _WITHOUT_STATE and entity.inputs:
            yield from _state_differences(entity, record)
        if component in _WITHOUT_STATE and record["available"]:
            yield from _attribute_differences(entity, record.get("attributes", {}))


def _static_of(entity: Entity) -> dict[str, Any]:
    config = entity.config
    return {
        "unique_id": config.unique_id,
        "native_unit": config.unit
        if config.component in {"sensor", "number"} and config.unit
        else None,
        "device_class": config.device_class or None,
        "state_class": config.state_class or None,
        "expire_after": config.expire_after,
        "entity_category": config.category or None,
        "enabled_by_default": config.enabled,
        "state_topic": config.inputs[0].topic if config.inputs else None,
    }


def _device_differences(
    entity: Entity, expected: Mapping[str, Any] | None, devices: _Devices
) -> Iterator[str]:
    if entity.config.device is None or expected is None:
        if (entity.config.device is None) is not (expected is None):
            yield f"device is {entity.config.device}, expected {expected}"
        return
    info = devices.find(entity.config.device)
    assert info is not None
    ours = {
        "identifiers": sorted(info.identifiers),
        "manufacturer": info.manufacturer or None,
        "model": info.model or None,
        "via_device": [info.via_device] if info.via_device else None,
    }
    if info.name:
        ours["name"] = info.name
    for name, value in ours.items():
        wanted = expected.get(name) or None
        if name == "identifiers":
            wanted = sorted(wanted or ())
        if name == "via_device" and wanted is None:
            continue
        if value != wanted:
            yield f"device.{name} is {value!r}, expected {wanted!r}"


def _state_differences(entity: Entity, record: Mapping[str, Any]) -> Iterator[str]:
    shown = entity.inputs[0].shown
    if entity.config.numeric:
        value = shown if isinstance(shown, float) else None
        wanted = record.get("value")
        if value != wanted and not (
            value is not None and wanted is not None and isclose(value, wanted)
        ):
            yield f"value is {value!r}, expected {wanted!r}"
        return
    if entity.key[0] == "number":
        state = record["state"]
        text = _state_of(shown)
        is_number = isinstance(shown, float) and state not in {"unknown", "unavailable"}
        if is_number and float(state) == shown:
            return
        if text != state:
            yield f"state is {text!r}, expected {state!r}"
        return
    text = _state_of(shown)
    if text != record["state"]:
        yield f"state is {text!r}, expected {record['state']!r}"


def _state_of(shown: object) -> str:
    if shown is UNAVAILABLE:
        return "unavailable"
    if isinstance(shown, bool):
        return "on" if shown else "off"
    return "unknown" if shown is None else str(shown)


def _attribute_differences(entity: Entity, attributes: Mapping[str, Any]) -> Iterator[str]:
    for each in entity.inputs:
        wanted = attributes.get(_ATTRIBUTES[each.config.role])
        shown = None if each.shown is UNAVAILABLE else each.shown
        is_fahrenheit = entity.config.unit == "°F" and "temperature" in each.config.role
        if isinstance(shown, float) and is_fahrenheit:
            shown = (shown - 32) / 1.8
        same = shown == wanted
        if isinstance(shown, float) and isinstance(wanted, float | int):
            # Rounded to what is displayed.
            same = abs(shown - wanted) <= 0.5
        if not same:
            yield f"{each.config.role} is {shown!r}, expected {wanted!r}"
