"""What the second tier may call: filters, tests, functions and methods, each for its steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Final

from jinja2 import filters as of_jinja
from jinja2.exceptions import FilterArgumentError, UndefinedError
from jinja2.runtime import Undefined
from jinja2.tests import TESTS
from jinja2.utils import pass_environment

from metrics_agent.errors import PayloadError
from metrics_agent.json_payload import loads
from metrics_agent.modules.hadiscovery.templates import plain, times
from metrics_agent.modules.hadiscovery.templates.faults import TemplateError
from metrics_agent.modules.hadiscovery.templates.meter import ELEMENT, Meter
from metrics_agent.modules.hadiscovery.templates.numbers import (
    NUMBER_FILTERS,
    NUMBER_FUNCTIONS,
    is_number,
)
from metrics_agent.modules.hadiscovery.templates.operators import MAX_WIDTH, printf, str_format
from metrics_agent.modules.hadiscovery.templates.plain import NO_DEFAULT, refuse
from metrics_agent.modules.hadiscovery.templates.regex import Regex

__all__ = ["filters", "functions", "methods", "operations", "tests"]

_Function = Callable[..., Any]
_PARSING: Final = 4


def _charged(meter: Meter, function: _Function) -> _Function:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        meter.read(*args, *kwargs.values())
        return function(*args, **kwargs)

    return call


def _all_charged(meter: Meter, table: Mapping[str, _Function]) -> dict[str, _Function]:
    return {name: _charged(meter, function) for name, function in table.items()}


def _extreme(name: str) -> _Function:
    """Return the filter ``min`` or ``max``; as a function it takes several values too."""
    of_list: _Function = getattr(of_jinja, f"do_{name}")

    @pass_environment
    def call(environment: Any, *args: Any, case_sensitive: Any = False) -> Any:
        if len(args) == 1 and not isinstance(args[0], Iterable):
            raise TypeError(f"{name} expected a list or several values")
        return of_list(environment, args[0] if len(args) == 1 else args, case_sensitive)

    return call


def _iif(value: Any, if_true: Any = True, if_false: Any = False, if_none: Any = NO_DEFAULT) -> Any:
    if value is None and if_none is not NO_DEFAULT:
        return if_none
    return if_true if value else if_false


def _is_defined(value: Any) -> Any:
    if isinstance(value, Undefined):
        value()  # raises in Jinja2's words
    return value


def _contains(value: Any, other: Any) -> bool:
    return other in value


def _type_name(value: Any) -> str:
    return type(value).__name__


def _to_json(
    value: Any, ensure_ascii: Any = False, pretty_print: Any = False, sort_keys: Any = False
) -> str:
    if pretty_print:
        raise TemplateError("it makes JSON of several lines")
    if ensure_ascii:
        return json.dumps(value, sort_keys=bool(sort_keys))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=bool(sort_keys))


def _html_json(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    for char in "<>&'":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _parsed(meter: Meter) -> _Function:
    def from_json(value: Any, default: Any = NO_DEFAULT) -> Any:
        meter.spend(_PARSING * meter.read(value))
        try:
            return loads(value if isinstance(value, bytes) else value.encode())
        except (PayloadError, ValueError, AttributeError):
            return refuse("from_json", value, default)

    return from_json


_FREE: Final[Mapping[str, _Function]] = {
    "count": len,
    "d": of_jinja.do_default,
    "default": of_jinja.do_default,
    "first": of_jinja.do_first,
    "iif": _iif,
    "is_defined": _is_defined,
    "last": of_jinja.do_last,
    "length": len,
    "typeof": _type_name,
}
"""What looks at no more than the first or last of many."""

_TIMES: Final[Mapping[str, _Function]] = {
    "as_datetime": times.as_datetime,
    "as_local": times.as_local,
    "as_timestamp": times.as_timestamp,
}

_READING: Final[Mapping[str, _Function]] = {
    **NUMBER_FILTERS,
    **_TIMES,
    "capitalize": of_jinja.do_capitalize,
    "contains": _contains,
    "from_hex": bytes.fromhex,
    "lower": plain.lower,
    "max": _extreme("max"),
    "min": _extreme("min"),
    "ord": ord,
    "string": plain.text_of,
    "timestamp_custom": times.timestamp_custom,
    "timestamp_local": times.timestamp_local,
    "timestamp_utc": times.timestamp_utc,
    "title": of_jinja.do_title,
    "to_json": _to_json,
    "tojson": _html_json,
    "trim": plain.trim,
    "truncate": of_jinja.do_truncate,
    "upper": plain.upper,
}
"""What makes nothing much longer than what it reads."""


class _Making:
    """Filters that can make more than they read.

    Args:
        meter: what they may take.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def listed(self, value: Any) -> list[Any]:
        self._meter.read(value)
        if isinstance(value, str | bytes):
            self._meter.make(len(value), ELEMENT)
        return list(value)

    def reverse(self, value: Any) -> Any:
        self._meter.read(value)
        if isinstance(value, str):
            return value[::-1]
        if not isinstance(value, Iterable):
            raise FilterArgumentError("argument must be iterable")
        return self.listed(value)[::-1]

    def sort(self, value: Any, reverse: Any = False, case_sensitive: Any = False) -> list[Any]:
        self._meter.spend(3 * self._meter.read(value))
        key = None if case_sensitive else of_jinja.ignore_case
        return sorted(self.listed(value), key=key, reverse=bool(reverse))

    def join(self, value: Any, d: Any = "") -> str:
        parts = [str(each) for each in self.listed(value)]
        between = plain.text_of(d)
        self._meter.make(sum(map(len, parts)) + len(parts) * len(between))
        return between.join(parts)

    def concatenated(self, values: list[Any]) -> str:
        """Join values as the operator ``~`` does."""
        self._meter.read(values)
        text = "".join(map(str, values))
        self._meter.make(len(text))
        return text

    def replace(self, s: Any, old: Any, new: Any, count: Any = None) -> str:
        self._meter.read(s, old, new)
        result = plain.replace(s, old, new, count)
        self._meter.make(len(result))
        return result

    def form(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if args and kwargs:
            raise TypeError("format got arguments with names and without")
        self._meter.read(value)
        return printf(self._meter, plain.text_of(value), kwargs or args)

    def split(self, text: str, sep: Any = None, maxsplit: int = -1) -> list[str]:
        return text.split(sep, self._pieces(text, sep, maxsplit))

    def rsplit(self, text: str, sep: Any = None, maxsplit: int = -1) -> list[str]:
        return text.rsplit(sep, self._pieces(text, sep, maxsplit))

    def _pieces(self, text: str, sep: Any, maxsplit: int) -> int:
        self._meter.read(text)
        most = len(text) // 2 if sep is None else text.count(sep)
        self._meter.make(1 + (min(most, maxsplit) if maxsplit >= 0 else most), ELEMENT)
        return maxsplit

    def zfill(self, text: str, width: int) -> str:
        if width > MAX_WIDTH:
            raise TemplateError(f"it has a width of more than {MAX_WIDTH}")
        self._meter.read(text)
        return text.zfill(width)

    def format(self, text: str, *args: Any, **kwargs: Any) -> str:
        self._meter.read(text)
        return str_format(self._meter, text, *args, **kwargs)

    def joined(self, text: str, values: Any) -> str:
        if not isinstance(values, str | list | tuple):
            raise TypeError("join got no list")
        self._meter.make(self._meter.read(values) + len(values) * len(text))
        return text.join(values)


def filters(meter: Meter) -> dict[str, _Function]:
    """Return the filters of templates, by name."""
    making, regex = _Making(meter), Regex(meter)
    return {
        **_FREE,
        **_all_charged(meter, _READING),
        "format": making.form,
        "from_json": _parsed(meter),
        "join": making.join,
        "list": making.listed,
        "regex_findall": regex.findall,
        "regex_findall_index": regex.findall_index,
        "regex_match": regex.match,
        "regex_replace": regex.replace,
        "regex_search": regex.search,
        "replace": making.replace,
        "reverse": making.reverse,
        "sort": making.sort,
    }


def operations(meter: Meter) -> dict[str, _Function]:
    """Return the functions that `allowed` puts in the place of expressions, by name."""

    def read(value: Any) -> Any:
        meter.read(value)
        return value

    def sliced(value: Any, start: Any, stop: Any, step: Any) -> Any:
        meter.read(value)
        return value[start:stop:step]

    return {"concatenated": _Making(meter).concatenated, "read": read, "sliced": sliced}


def functions(meter: Meter) -> dict[str, _Function]:
    """Return the functions of templates, by name."""
    return {
        "iif": _iif,
        "typeof": _type_name,
        **_all_charged(
            meter,
            {**NUMBER_FUNCTIONS, **_TIMES, "max": _extreme("max"), "min": _extreme("min")},
        ),
    }


def tests(meter: Meter) -> dict[str, _Function]:
    """Return the tests of templates, by name."""
    free = (
        *("boolean", "defined", "divisibleby", "even", "false", "float", "integer", "iterable"),
        *("mapping", "none", "number", "odd", "sameas", "sequence", "string", "true"),
        "undefined",
    )
    reading = (
        *("==", "!=", "<", "<=", ">", ">=", "eq", "equalto", "ge", "greaterthan", "gt", "in"),
        *("le", "lessthan", "lower", "lt", "ne", "upper"),
    )
    known: Mapping[str, Any] = TESTS
    regex = Regex(meter)
    return {
        **{name: known[name] for name in free},
        **_all_charged(meter, {name: known[name] for name in reading}),
        **_all_charged(meter, {"contains": _contains, "is_number": is_number}),
        "datetime": lambda value: isinstance(value, datetime),
        "list": lambda value: isinstance(value, list),
        "match": regex.match,
        "search": regex.search,
        "string_like": lambda value: isinstance(value, str | bytes | bytearray),
        "tuple": lambda value: isinstance(value, tuple),
    }


_STR_METHODS: Final = (
    *("capitalize", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdecimal"),
    *("isdigit", "islower", "isnumeric", "isspace", "isupper", "lower", "lstrip", "partition"),
    *("removeprefix", "removesuffix", "rfind", "rpartition", "rstrip", "startswith", "strip"),
    *("swapcase", "title", "upper"),
)


def methods(meter: Meter) -> dict[str, _Function]:
    """Return the methods of templates, by name; each takes the value first."""
    making = _Making(meter)
    table: dict[str, dict[type, _Function]] = {
        **{name: {str: _charged(meter, getattr(str, name))} for name in _STR_METHODS},
        "format": {str: making.format},
        "get": {dict: dict.get},
        "isoformat": {datetime: datetime.isoformat},
        "items": {dict: dict.items},
        "join": {str: making.joined},
        "keys": {dict: dict.keys},
        "replace": {str: making.replace},
        "rsplit": {str: making.rsplit},
        "split": {str: making.split},
        "strftime": {datetime: times.strftime},
        "timestamp": {datetime: datetime.timestamp},
        "total_seconds": {timedelta: timedelta.total_seconds},
        "values": {dict: dict.values},
        "zfill": {str: making.zfill},
    }
    table["count"][list] = _charged(meter, list.count)
    table["index"][list] = _charged(meter, list.index)
    return {name: _method(name, by_type) for name, by_type in table.items()}


def _method(name: str, by_type: Mapping[type, _Function]) -> _Function:
    def call(value: Any, *args: Any, **kwargs: Any) -> Any:
        function = by_type.get(value.__class__)
        if function is not None:
            return function(value, *args, **kwargs)
        if isinstance(value, Undefined):
            value()  # raises in Jinja2's words
        if hasattr(value, name):
            raise TemplateError(f"it calls {name} of a {type(value).__name__}")
        raise UndefinedError(f"a {type(value).__name__} has no method {name}")

    return call
