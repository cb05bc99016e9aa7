"""Discovery messages: what a device says of itself.

Tolerant by purpose: of some thirty keys only those a collector needs are read, and one that has an
unexpected type is taken as absent, so that a new firmware, a shutter's ``sho`` and ``sht`` or a
user's device name cannot make a device invisible.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from sys import intern
from typing import TypeVar, cast

from attrs import frozen

from metrics_agent.errors import PayloadError
from metrics_agent.json_payload import loads
from metrics_agent.modules.tasmota.topics import (
    DEFAULT_FULL_TOPIC,
    DEFAULT_PREFIXES,
    Identity,
    Shape,
    build_base,
)

__all__ = ["DeviceConfig", "parse_config"]

_Texts = TypeVar("_Texts", bound="tuple[str, ...]")

_VERSION = 1
_SHORT_ID_DIGITS = 6
_STATE_TEXTS = 2

# The firmware escapes friendly names but not the device name, which stands right before them.
_DEVICE_NAME = re.compile(r'"dn":"(.*?)",(?="fn":\[)', re.DOTALL)


@frozen
class DeviceConfig:
    """What a collector needs of a discovery message.

    Attributes:
        topic: ``t``, the device's name in its topics; may contain slashes.
        device_name: ``dn``, empty if there is none.
        friendly_names: ``fn`` without the unused slots at its end; empty texts for others.
        hostname: for the token of the FullTopic; empty where that has none.
        mac: for another token, and to name the device by.
        full_topic: ``ft``.
        prefixes: ``tp``: for commands, status and telemetry.
        online, offline: the payloads of LWT.
        states: the texts for off and on.
        deep_sleep: the device is offline most of the time, as it should be.
    """

    topic: str
    device_name: str = ""
    friendly_names: tuple[str, ...] = ()
    hostname: str = ""
    mac: str = ""
    full_topic: str = DEFAULT_FULL_TOPIC
    prefixes: tuple[str, str, str] = DEFAULT_PREFIXES
    online: str = "Online"
    offline: str = "Offline"
    states: tuple[str, str] = ("OFF", "ON")
    deep_sleep: bool = False

    @property
    def shape(self) -> Shape:
        """The shape of the device's topics."""
        return Shape.of(self.full_topic, self.prefixes, self.topic.count("/") + 1)

    @property
    def command_base(self) -> str:
        """The base of the topics the device takes commands on."""
        return build_base(self.full_topic, self.prefixes[0], self._identities()[0], command=True)

    @property
    def bases(self) -> tuple[str, ...]:
        """The bases of the topics the device sends on.

        ``%id%`` is the whole MAC address for the firmware, its last six digits for others who
        wrote about it: both are given.
        """
        found = {
            build_base(self.full_topic, prefix, identity): None
            for prefix in self.prefixes[1:]
            for identity in self._identities()
        }
        return tuple(found)

    def _identities(self) -> tuple[Identity, ...]:
        whole = Identity(self.topic, self.hostname, self.mac)
        if "%id%" not in self.full_topic:
            return (whole,)
        return (whole, whole._replace(id=self.mac[-_SHORT_ID_DIGITS:]))


def parse_config(payload: bytes) -> DeviceConfig:
    """Read the payload of ``tasmota/discovery/<MAC>/config``; not the empty one of a removal.

    Raises:
        PayloadError: ``invalid_json`` and its like, ``not_an_object``, ``discovery_version`` for
            another version than 1, ``no_topic`` without a usable ``t``.
    """
    document = _load(payload)
    if not isinstance(document, dict):
        raise PayloadError("not_an_object", f"a discovery message is a {type(document).__name__}")
    version = document.get("ver", _VERSION)
    if version != _VERSION:
        raise PayloadError("discovery_version", f"expected 1, got {version!r:.40}")
    topic = _text(document, "t")
    if not topic:
        raise PayloadError("no_topic", "a discovery message without a text as 't'")
    names = _friendly_names(document.get("fn"))
    device_name = _text(document, "dn")
    if names and names[0] == device_name:
        device_name = names[0]
    full_topic = intern(_text(document, "ft")) or DEFAULT_FULL_TOPIC
    states = _texts(document, "state")
    prefixes = _texts(document, "tp")
    return DeviceConfig(
        topic=topic,
        device_name=device_name,
        friendly_names=names,
        # Few name it in their topics, and the others need no memory for it.
        hostname=_text(document, "hn") if "%hostname%" in full_topic else "",
        mac=_text(document, "mac"),
        # What thousands of devices have in common is kept once.
        full_topic=full_topic,
        prefixes=_one_of_each((prefixes[0], prefixes[1], prefixes[2]))
        if len(prefixes) == len(DEFAULT_PREFIXES)
        else DEFAULT_PREFIXES,
        online=intern(_text(document, "onln")) or "Online",
        offline=intern(_text(document, "ofln")) or "Offline",
        states=_one_of_each((states[0], states[1]))
        if len(states) >= _STATE_TEXTS
        else ("OFF", "ON"),
        deep_sleep=document.get("dslp") == 1,
    )


@lru_cache(maxsize=64)
def _shared(values: tuple[str, ...]) -> tuple[str, ...]:
    return values


def _one_of_each(values: _Texts) -> _Texts:
    """Return an equal tuple that was seen before, if there was one lately."""
    return cast("_Texts", _shared(values))


def _load(payload: bytes) -> object:
    try:
        return loads(payload)
    except PayloadError:
        text = payload.decode("utf-8", "replace")
        repaired, count = _DEVICE_NAME.subn(_escape_name, text, count=1)
        if not count:
            raise
        return loads(repaired.encode())


def _escape_name(found: re.Match[str]) -> str:
    return f'"dn":{json.dumps(found[1], ensure_ascii=False)},'


def _text(document: dict[str, object], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _texts(document: dict[str, object], key: str) -> list[str]:
    """Return a list of texts, an empty one if anything else stands there."""
    value = document.get(key)
    if not isinstance(value, list):
        return []
    found = [item for item in value if isinstance(item, str)]
    return found if len(found) == len(value) else []


def _friendly_names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    names = [item if isinstance(item, str) else "" for item in value]
    while names and not names[-1]:
        names.pop()
    return tuple(names)
