"""Checks of single values of a discovery payload, as strict and as lenient as Home Assistant's.

Each returns the value in its final type, or raises `Refused`: one wrong optional value refuses
the whole entity, since Home Assistant does, and publishers test with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final
from urllib.parse import urlsplit

from metrics_agent.errors import PayloadError
from metrics_agent.limits import (
    HADISCOVERY_INTEGER,
    HADISCOVERY_TEXT_CHARS,
    HADISCOVERY_TOPIC_CHARS,
    HADISCOVERY_TOPIC_LEVELS,
)
from metrics_agent.modules.hadiscovery.shared_texts import shared
from metrics_agent.topic_filters import valid_filter, valid_topic

__all__ = [
    "boolean",
    "exact_integer",
    "integer",
    "limited_text",
    "number",
    "one_of",
    "positive_int",
    "publish_topic",
    "refuse",
    "state_topic",
    "template_text",
    "text",
    "url",
]

_SHOWN: Final = 60
_TRUE: Final = frozenset({"1", "true", "yes", "on", "enable"})
_FALSE: Final = frozenset({"0", "false", "no", "off", "disable"})


def refuse(key: str, value: object, expected: str) -> PayloadError:
    """Return the error for a value that refuses an entity."""
    return PayloadError("invalid_config", f"{key}: got {_shown(value)}, expected {expected}")


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{value!r:.{_SHOWN}}"


def text(key: str, value: object) -> str:
    """Return a value as text of bounded length: numbers and booleans in Python's notation."""
    return limited_text(key, value, HADISCOVERY_TEXT_CHARS)


def template_text(key: str, value: object) -> str:
    """Return a value as text of any length: templates have a bound of their own."""
    if value is None or isinstance(value, dict | list):
        raise refuse(key, value, "a text")
    return shared(value if type(value) is str else str(value))


def limited_text(key: str, value: object, most: int) -> str:
    """Return a value as text of at most so many characters."""
    checked = template_text(key, value)
    if len(checked) > most:
        raise PayloadError("too_long", f"{key}: {len(checked)} characters, limit {most}")
    return checked


def boolean(key: str, value: object) -> bool:
    """Return a boolean, which may be a word or a number."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    elif isinstance(value, bool | int | float):
        return bool(value)
    raise refuse(key, value, "true or false")


def positive_int(key: str, value: Any) -> int:
    """Return an integer from 0, which may be a text or have decimals."""
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError):
        found = -1
    if found < 0:
        raise refuse(key, value, "a number from 0")
    return _bounded(key, value, found)


def integer(key: str, value: Any) -> int:
    """Return an integer, which may be a text or have decimals."""
    try:
        found = int(value)
    except (TypeError, ValueError, OverflowError):
        raise refuse(key, value, "an integer") from None
    return _bounded(key, value, found)


def exact_integer(key: str, value: Any) -> int:
    """Return an integer that is written as one."""
    if not isinstance(value, int):
        raise refuse(key, value, "an integer")
    return _bounded(key, value, value)


def _bounded(key: str, value: object, found: int) -> int:
    """Refuse what no float or timer could take; Home Assistant fails on it later."""
    if abs(found) > HADISCOVERY_INTEGER:
        raise refuse(key, value, f"at most {HADISCOVERY_INTEGER}")
    return found


def number(key: str, value: Any) -> float:
    """Return a number, which may be a text."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise refuse(key, value, "a number") from None


def one_of(known: Collection[str], *, lower: bool = False) -> Callable[[str, object], str]:
    """Return a check for words of a set; with ``lower`` in any case."""

    def check(key: str, value: object) -> str:
        word = str(value)
        if lower:
            word = word.lower()
        if word not in known or isinstance(value, dict | list):
            raise refuse(key, value, "one of those that Home Assistant knows")
        return shared(word)

    return check


def url(key: str, value: object) -> str:
    """Return the address of a page."""
    found = str(value).strip()
    try:
        parts = urlsplit(found)
    except ValueError:
        raise refuse(key, value, "a URL") from None
    if parts.scheme not in {"http", "https", "homeassistant"} or not parts.netloc:
        raise refuse(key, value, "a URL")
    return found


def state_topic(key: str, value: object) -> str:
    """Return a filter that may be subscribed to on a publisher's word."""
    return _topic(key, text(key, value), valid_filter)


def publish_topic(key: str, value: object) -> str:
    """Return a topic that takes commands; this module never publishes to it."""
    return _topic(key, text(key, value), valid_topic)


def _topic(key: str, topic: str, fault: Callable[[str], str | None]) -> str:
    if len(topic) > HADISCOVERY_TOPIC_CHARS:
        raise PayloadError(
            "topic_too_long", f"{key}: {len(topic)} characters, limit {HADISCOVERY_TOPIC_CHARS}"
        )
    reason = fault(topic)
    if reason is None and topic.startswith("$"):
        reason = "it begins with $"
    if reason is None and topic.count("/") >= HADISCOVERY_TOPIC_LEVELS:
        reason = f"{topic.count('/') + 1} levels, limit {HADISCOVERY_TOPIC_LEVELS}"
    if reason is not None:
        raise PayloadError("bad_topic", f"{key} {topic!r:.{_SHOWN}}: {reason}")
    # Many entities have the same.
    return shared(topic)
