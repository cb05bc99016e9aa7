"""Attributes and items of values, as Jinja2's immutable sandbox finds them.

Jinja2 looks for an attribute of Python's object before the key of a JSON object, so
``value_json.items`` is a method even where the payload has such a key. A method that only reads is
a value in Jinja2; here it is an error, because no metric is a method.
"""

from __future__ import annotations

from typing import Any, Final

from metrics_agent.modules.hadiscovery.templates.faults import TemplateError

__all__ = ["NOWHERE", "TAKEN_NAMES", "attribute", "item"]

NOWHERE: Final = object()
"""What `attribute` and `item` return for what is undefined."""

TAKEN_NAMES: Final = frozenset(
    name
    for kind in (dict, list, tuple, str, bytes, int, float, bool, type(None), complex)
    for name in dir(kind)
)
"""Names that are attributes of some value."""

_CHANGING: Final = {
    dict: frozenset({"clear", "pop", "popitem", "setdefault", "update"}),
    list: frozenset({"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"}),
}


def attribute(value: Any, name: str) -> Any:
    """Return what ``value.name`` is."""
    if hasattr(value, name):
        return _own(value, name)
    try:
        return value[name]
    except (TypeError, LookupError):
        return NOWHERE


def item(value: Any, key: Any) -> Any:
    """Return what ``value[key]`` is."""
    try:
        return value[key]
    except (TypeError, LookupError):
        if isinstance(key, str) and hasattr(value, key):
            return _own(value, key)
        return NOWHERE


def _own(value: Any, name: str) -> Any:
    kind = value.__class__
    if name.startswith("_") or name in _CHANGING.get(kind, ()):
        return NOWHERE  # the sandbox makes it undefined
    found = getattr(value, name)
    if not callable(found):
        return found  # the year of a datetime
    raise TemplateError(f"{name} is a method of every {kind.__name__} and no value")
