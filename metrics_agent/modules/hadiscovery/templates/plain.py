"""Filters of Home Assistant that both tiers have; each takes Jinja2's undefined too, and ours."""

from __future__ import annotations

import math
from typing import Any, Final

from metrics_agent.modules.hadiscovery.templates.faults import (
    MAX_TEXT,
    TemplateError,
    excerpt,
)

__all__ = [
    "NO_DEFAULT",
    "add",
    "lower",
    "multiply",
    "refuse",
    "replace",
    "round_number",
    "text_of",
    "to_bool",
    "to_float",
    "to_int",
    "trim",
    "upper",
]

NO_DEFAULT: Final[Any] = object()
_MAX_INT_TEXT: Final = 4300
_MAX_DECIMALS: Final = 308
_TRUE: Final = frozenset({"1", "true", "yes", "on", "enable"})
_FALSE: Final = frozenset({"0", "false", "no", "off", "disable"})


def refuse(name: str, value: object, default: Any) -> Any:
    """Return the default for an input that a filter cannot use.

    Raises:
        ValueError: there is none.
    """
    if default is NO_DEFAULT:
        raise ValueError(f"{name} got {excerpt(value)} and no default")
    return default


def to_float(value: Any, default: Any = NO_DEFAULT) -> Any:
    """Return the value as a float."""
    try:
        return float(value)
    except (ValueError, TypeError):
        return refuse("float", value, default)


def to_int(value: Any, default: Any = NO_DEFAULT, base: int = 10) -> Any:
    """Return the value as an integer, cut towards zero."""
    try:
        if isinstance(value, str):
            if len(value) > _MAX_INT_TEXT:
                raise TemplateError(f"int got a text of {len(value):,} characters")
            return int(value, base)
        return int(value)
    except (ValueError, TypeError):
        try:
            return int(float(value))  # "42.23" is 42
        except (ValueError, TypeError, OverflowError):
            return refuse("int", value, default)


def to_bool(value: Any, default: Any = NO_DEFAULT) -> Any:
    """Return the value as a boolean."""
    if isinstance(value, str):
        word = value.lower().strip()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    elif isinstance(value, bool):
        return value
    elif isinstance(value, int | float):
        return value != 0
    return refuse("bool", value, default)


def round_number(
    value: Any, precision: Any = 0, method: str = "common", default: Any = NO_DEFAULT
) -> Any:
    """Round a value; without decimals it is an integer."""
    try:
        if isinstance(precision, int) and precision > _MAX_DECIMALS:
            raise TemplateError(f"round got a precision of more than {_MAX_DECIMALS}")
        multiplier = float(10**precision)
        if method == "ceil":
            value = math.ceil(float(value) * multiplier) / multiplier
        elif method == "floor":
            value = math.floor(float(value) * multiplier) / multiplier
        elif method == "half":
            value = round(float(value) * 2) / 2
        else:
            value = round(float(value), precision)
        return int(value) if precision == 0 else value
    except (ValueError, TypeError):
        return refuse("round", value, default)


def multiply(value: Any, amount: Any, default: Any = NO_DEFAULT) -> Any:
    """Multiply the value as a float."""
    try:
        return float(value) * amount
    except (ValueError, TypeError):
        return refuse("multiply", value, default)


def add(value: Any, amount: Any, default: Any = NO_DEFAULT) -> Any:
    """Add to the value as a float."""
    try:
        return float(value) + amount
    except (ValueError, TypeError):
        return refuse("add", value, default)


def text_of(value: Any) -> str:
    """Return the value as text."""
    return value if isinstance(value, str) else str(value)


def lower(value: Any) -> str:
    """Return the value in lower case."""
    return text_of(value).lower()


def upper(value: Any) -> str:
    """Return the value in upper case."""
    return text_of(value).upper()


def trim(value: Any, chars: str | None = None) -> str:
    """Return the value without blanks around it."""
    return text_of(value).strip(chars)


def replace(s: Any, old: Any, new: Any, count: int | None = None) -> str:
    """Replace a part of a text, within bounds."""
    text, old, new = str(s), str(old), str(new)
    count = -1 if count is None else count
    if len(new) > len(old):
        found = text.count(old) if count < 0 else min(text.count(old), count)
        if len(text) + found * (len(new) - len(old)) > MAX_TEXT:
            raise TemplateError(f"replace would make more than {MAX_TEXT:,} characters")
    return text.replace(old, new, count)
