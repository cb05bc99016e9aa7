"""Topics and filters of MQTT as texts: which are valid, and which topics a filter has. Pure."""

from __future__ import annotations

import re
from typing import Final

from metrics_agent.limits import TOPIC_LEVELS

__all__ = ["covers", "has_wildcard", "inner_filter", "text_fault", "valid_filter", "valid_topic"]

_MAX_BYTES: Final = 65_535
# MQTT 3.1.1, 1.5.3, and MQTT 5, 1.5.4: a receiver may close the connection for these, and mosquitto
# does.
_NON_CHARACTERS: Final = "".join(
    chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF)
)
_FORBIDDEN: Final = re.compile(f"[\\x00-\\x1f\\x7f-\\x9f\\ufdd0-\\ufdef{_NON_CHARACTERS}]")


def valid_filter(text: str) -> str | None:
    """Say why a text cannot be subscribed to, or None if it can."""
    reason = text_fault(text) or _levels_fault(text)
    if reason is not None:
        return reason
    levels = text.split("/")
    return _prefix_fault(levels) or _wildcard_fault(levels)


def valid_topic(text: str) -> str | None:
    """Say why a text cannot be published to, or None if it can."""
    reason = text_fault(text) or _levels_fault(text)
    if reason is None and has_wildcard(text):
        return "a topic has no wildcard"
    return reason


def text_fault(text: str) -> str | None:
    """Say why MQTT cannot carry a text at all, or None if it can."""
    if not text:
        return "it is empty"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "it is not encodable as UTF-8"
    if size > _MAX_BYTES:
        return f"it has {size} bytes, at most {_MAX_BYTES} are possible"
    if found := _FORBIDDEN.search(text):
        return f"it holds the forbidden character U+{ord(found[0]):04X}"
    return None


def _levels_fault(text: str) -> str | None:
    levels = text.count("/") + 1
    if levels > TOPIC_LEVELS:
        return f"it has {levels} levels, at most {TOPIC_LEVELS} are possible"
    return None


def _prefix_fault(levels: list[str]) -> str | None:
    if levels[0] == "$share":
        group, inner = levels[1:2], levels[2:]
        if group in ([], [""], ["+"], ["#"]) or inner in ([], [""]):
            return "a shared subscription is $share/<group>/<filter>"
    elif levels in (["$queue"], ["$queue", ""]):
        return "a queue subscription is $queue/<filter>"
    return None


def _wildcard_fault(levels: list[str]) -> str | None:
    for level in levels:
        if level not in {"+", "#"} and ("+" in level or "#" in level):
            return f"a wildcard replaces a whole level, got {level!r}"
    return "# may only be the last level" if "#" in levels[:-1] else None


def has_wildcard(text: str) -> bool:
    """Say whether a valid filter has more than one topic."""
    return "+" in text or "#" in text


def inner_filter(topic_filter: str) -> str:
    """Return what the topics of a shared subscription are matched against; else the filter."""
    if topic_filter.startswith("$share/"):
        return topic_filter.split("/", 2)[2]
    return topic_filter.removeprefix("$queue/")


def covers(wide: str, narrow: str) -> bool:
    """Say whether every topic of the filter ``narrow`` is one of the filter ``wide``."""
    wanted = wide.split("/")
    given = narrow.split("/")
    if given[0].startswith("$") and wanted[0] != given[0]:
        return False  # a wildcard does not stand for it, see `SubscriptionTable._find`
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index == len(given) or given[index] == "#":
            return False
        if level not in {"+", given[index]}:
            return False
    return len(wanted) == len(given)
