"""Discovery messages: what a device says of itself.

Tolerant by purpose: of some thirty keys only those a collector needs are read, and one that has an
unexpected type is taken as absent, so that a new firmware, a shutter's ``sho`` and ``sht`` or a
user's device name cannot make a device invisible. A name that is longer than the firmware's own is
cut; a topic cannot be, so one that is too long or invalid costs the announcement.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar, cast

from attrs import frozen

from metrics_agent.errors import PayloadError
from metrics_agent.json_payload import loads
from metrics_agent.limits import (
    TASMOTA_MESSAGE_BYTES,
    TASMOTA_NAME_CHARS,
    TASMOTA_TOPIC_CHARS,
    TASMOTA_TOPIC_LEVELS,
)
from metrics_agent.modules.tasmota.topics import (
    DEFAULT_FULL_TOPIC,
    DEFAULT_PREFIXES,
    Identity,
    TopicShape,
    build_base,
)
from metrics_agent.topic_filters import valid_topic

__all__ = ["DeviceConfig", "parse_config", "read_config"]

_Shared = TypeVar("_Shared", bound="str | tuple[str, ...]")
_Drop = Callable[[str, str], object]

_VERSION = 1
_SHORT_ID_DIGITS = 6
_STATE_TEXTS = 2
_FRIENDLY_NAMES = 32
"""The most that are read; the firmware has 8 (MAX_FRIENDLYNAMES)."""
_LONGEST_SUBTOPIC = "/ENERGYTOTAL"

# The firmware escapes friendly names but not the device name, which comes right before them.
_NAME_BEGINS = '"dn":"'
_NAME_ENDS = '","fn":['


@frozen(weakref_slot=False)
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
        own_replies: replies have topics of their own (SetOption4), POWER instead of RESULT.
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
    own_replies: bool = False

    @property
    def shape(self) -> TopicShape:
        """The shape of the device's topics."""
        return TopicShape.of(self.full_topic, self.prefixes, self.topic.count("/") + 1)

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


def _ignore(_reason: str, _where: str) -> None:
    """Take what is left out."""


def parse_config(payload: bytes, drop: _Drop = _ignore) -> DeviceConfig:
    """Read the payload of ``tasmota/discovery/<MAC>/config``; not the empty one of a removal.

    Args:
        payload: the bytes.
        drop: called with ``name_too_long`` and where, for each name that is cut or ignored.

    Raises:
        PayloadError: ``invalid_json`` and its like, ``not_an_object``, ``discovery_version`` for
            another version than 1, ``no_topic`` without a usable ``t``, ``topic_too_long`` and
            ``bad_topic`` where the device's topics are invalid.
    """
    return read_config(_load(payload), drop)


def read_config(document: object, drop: _Drop = _ignore) -> DeviceConfig:
    """Read a discovery message that is parsed already.

    Raises:
        PayloadError: as `parse_config` does for what is wrong beyond the syntax.
    """
    if not isinstance(document, dict):
        raise PayloadError("not_an_object", f"a discovery message is a {type(document).__name__}")
    version = document.get("ver", _VERSION)
    if version != _VERSION:
        raise PayloadError("discovery_version", f"expected 1, got {version!r:.40}")
    topic = _topic_part("t", document.get("t"))
    if not topic:
        raise PayloadError("no_topic", "a discovery message without a text as 't'")
    names = _friendly_names(document.get("fn"), drop)
    device_name = _name(document, "dn", drop)
    if names and names[0] == device_name:
        device_name = names[0]
    full_topic = _one_of_each(_topic_part("ft", document.get("ft"))) or DEFAULT_FULL_TOPIC
    states = [_payload("state", text, drop) for text in _texts(document, "state")[:_STATE_TEXTS]]
    prefixes = [_topic_part("tp", text) for text in _texts(document, "tp")]
    config = DeviceConfig(
        topic=topic,
        device_name=device_name,
        friendly_names=names,
        # Few name it in their topics, and the others need no memory for it.
        hostname=_topic_part("hn", document.get("hn")) if "%hostname%" in full_topic else "",
        mac=_name(document, "mac", drop),
        # What thousands of devices have in common is kept once.
        full_topic=full_topic,
        prefixes=_one_of_each((prefixes[0], prefixes[1], prefixes[2]))
        if len(prefixes) == len(DEFAULT_PREFIXES)
        else DEFAULT_PREFIXES,
        online=_one_of_each(_payload("onln", document.get("onln"), drop)) or "Online",
        offline=_one_of_each(_payload("ofln", document.get("ofln"), drop)) or "Offline",
        states=_one_of_each((states[0], states[1]))
        if len(states) == _STATE_TEXTS and all(states)
        else ("OFF", "ON"),
        deep_sleep=document.get("dslp") == 1,
        own_replies=_own_replies(document.get("so")),
    )
    _check_topics(config)
    return config


def _own_replies(options: object) -> bool:
    """Read SetOption4; what is kept over a restart has no other option."""
    return options is True or (isinstance(options, dict) and options.get("4") == 1)


def _check_topics(config: DeviceConfig) -> None:
    """Refuse a device whose topics MQTT, a broker or the firmware itself cannot have."""
    for base in (config.command_base, *config.bases):
        topic = base + _LONGEST_SUBTOPIC
        if len(topic) > TASMOTA_TOPIC_CHARS:
            raise _too_long("topic", topic)
        if topic.count("/") >= TASMOTA_TOPIC_LEVELS:
            levels = topic.count("/") + 1
            raise PayloadError(
                "topic_too_long",
                f"{topic:.80}... has {levels} levels, limit {TASMOTA_TOPIC_LEVELS}",
            )
        # Else its filter made a shared subscription, or read the broker's own topics.
        reason = "it begins with $" if topic.startswith("$") else valid_topic(topic)
        if reason is not None:
            raise PayloadError("bad_topic", f"the topic {base!r:.80}: {reason}")


# Not sys.intern: in Python 3.12 what is interned is never freed.
@lru_cache(maxsize=256)
def _shared(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    return value


def _one_of_each(value: _Shared) -> _Shared:
    """Return an equal value that was seen before, if there was one lately."""
    return cast("_Shared", _shared(value))


def _load(payload: bytes) -> object:
    try:
        return loads(payload, max_bytes=TASMOTA_MESSAGE_BYTES)
    except PayloadError as error:
        if error.reason == "too_long":
            raise
        text = payload.decode("utf-8", "replace")
        before, begins, rest = text.partition(_NAME_BEGINS)
        name, ends, after = rest.partition(_NAME_ENDS)
        if not (begins and ends):
            raise
        escaped = json.dumps(name, ensure_ascii=False)
        return loads(f'{before}"dn":{escaped},"fn":[{after}'.encode())


def _too_long(key: str, text: str) -> PayloadError:
    return PayloadError(
        "topic_too_long",
        f"'{key}' has {len(text)} characters, at most {TASMOTA_TOPIC_CHARS} are possible",
    )


def _topic_part(key: str, value: object) -> str:
    """Return a text that becomes a part of topics."""
    text = value if isinstance(value, str) else ""
    if len(text) > TASMOTA_TOPIC_CHARS:
        raise _too_long(key, text)
    return text


def _cut(where: str, value: object, drop: _Drop) -> str:
    """Return a text, as much of it as a name can have."""
    text = value if isinstance(value, str) else ""
    if len(text) > TASMOTA_NAME_CHARS:
        drop(
            "name_too_long",
            f"{where} {text:.40}..., {len(text)} characters, limit {TASMOTA_NAME_CHARS}",
        )
        text = text[:TASMOTA_NAME_CHARS]
    return text


def _name(document: dict[str, object], key: str, drop: _Drop) -> str:
    return _cut(key, document.get(key), drop)


def _payload(where: str, value: object, drop: _Drop) -> str:
    """Return a text that is compared with payloads: it cannot be cut, so a long one is absent."""
    return "" if _cut(where, value, drop) != value else value


def _texts(document: dict[str, object], key: str) -> list[str]:
    """Return a list of texts, an empty one for any other value."""
    value = document.get(key)
    if not isinstance(value, list):
        return []
    found = [item for item in value if isinstance(item, str)]
    return found if len(found) == len(value) else []


def _friendly_names(value: object, drop: _Drop) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    names = [_cut("fn", item, drop) for item in value[:_FRIENDLY_NAMES]]
    while names and not names[-1]:
        names.pop()
    return tuple(names)
