"""Home Assistant's functions of numbers, for the second tier."""

from __future__ import annotations

import math
import statistics
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from metrics_agent.modules.hadiscovery.templates import plain
from metrics_agent.modules.hadiscovery.templates.faults import TemplateError
from metrics_agent.modules.hadiscovery.templates.plain import NO_DEFAULT, refuse

__all__ = ["CONSTANTS", "NUMBER_FILTERS", "NUMBER_FUNCTIONS", "is_number"]

_Function = Callable[..., Any]

_PACKED: Final = frozenset(
    order + kind for order in ("", "@", "=", "<", ">", "!") for kind in "cbB?hHiIlLqQefd"
)


def _unary(name: str) -> _Function:
    function: _Function = getattr(math, name)

    def call(value: Any, default: Any = NO_DEFAULT) -> Any:
        try:
            return function(float(value))
        except (ValueError, TypeError):
            return refuse(name, value, default)

    return call


def _log(value: Any, base: Any = math.e, default: Any = NO_DEFAULT) -> Any:
    try:
        return math.log(float(value), float(base))
    except (ValueError, TypeError):
        return refuse("log", value, default)


def _statistic(name: str, function: _Function) -> _Function:
    def call(*args: Any, default: Any = NO_DEFAULT) -> Any:
        if args and isinstance(args[0], Iterable):
            values: Any = args[0]
            if len(args) > 1 and default is NO_DEFAULT:
                default = args[1]
        elif len(args) > 1:
            values = args
        else:
            raise TypeError(f"{name} expected a list or several numbers")
        try:
            return function(values)
        except (TypeError, statistics.StatisticsError):
            return refuse(name, args[0], default)

    return call


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number, or the text of one."""
    try:
        return math.isfinite(float(value))
    except (ValueError, TypeError):
        return False


def _clamp(value: Any, min_value: Any, max_value: Any) -> Any:
    return max(float(min_value), min(float(max_value), float(value)))


def _bitwise_and(first_value: Any, second_value: Any) -> Any:
    return first_value & second_value


def _bitwise_or(first_value: Any, second_value: Any) -> Any:
    return first_value | second_value


def _bitwise_xor(first_value: Any, second_value: Any) -> Any:
    return first_value ^ second_value


def _pack(value: Any, format_string: Any) -> Any:
    if format_string not in _PACKED:
        raise TemplateError("it packs something else than one number")
    try:
        return struct.pack(format_string, value)
    except struct.error:
        return None


def _unpack(value: Any, format_string: Any, offset: int = 0) -> Any:
    if format_string not in _PACKED:
        raise TemplateError("it unpacks something else than one number")
    try:
        return struct.unpack_from(format_string, value, offset)[0]
    except struct.error:
        return None


def _sum(iterable: Any, start: Any = 0) -> Any:
    # Each step of a sum of lists would copy what is there.
    for each in (*iterable, start):
        if not isinstance(each, int | float):
            raise TypeError(f"sum got a {type(each).__name__}")
    return sum(iterable, start)


CONSTANTS: Final[Mapping[str, float]] = {"e": math.e, "pi": math.pi, "tau": math.tau}

NUMBER_FUNCTIONS: Final[Mapping[str, _Function]] = {
    "average": _statistic("average", statistics.fmean),
    "bitwise_and": _bitwise_and,
    "bitwise_or": _bitwise_or,
    "bitwise_xor": _bitwise_xor,
    "bool": plain.to_bool,
    "clamp": _clamp,
    "float": plain.to_float,
    "int": plain.to_int,
    "is_number": is_number,
    "log": _log,
    "median": _statistic("median", statistics.median),
    "pack": _pack,
    "unpack": _unpack,
    **{name: _unary(name) for name in ("acos", "asin", "atan", "cos", "sin", "sqrt", "tan")},
}
"""Filters that are functions too."""

NUMBER_FILTERS: Final[Mapping[str, _Function]] = {
    **NUMBER_FUNCTIONS,
    "abs": abs,
    "add": plain.add,
    "multiply": plain.multiply,
    "round": plain.round_number,
    "sum": _sum,
}
