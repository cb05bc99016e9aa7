"""The first tier: a path into the payload and a chain of simple filters, without Jinja2.

What this file does not understand, whatever the reason, is left to Jinja2: so nothing here decides
what a template means, and each form that is understood can be compared with Jinja2's result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from metrics_agent.modules.hadiscovery.templates import plain
from metrics_agent.modules.hadiscovery.templates.access import (
    NOWHERE,
    TAKEN_NAMES,
    attribute,
    item,
)
from metrics_agent.modules.hadiscovery.templates.faults import (
    MAX_RESULT,
    MISSING,
    TemplateError,
    excerpt,
)

__all__ = ["compile_path", "path_at"]

_Filter = Callable[[Any], Any]
_Find = Callable[[str | bytes, object], Any]

_MAX_KEYS: Final = 12
_MAX_FILTERS: Final = 8

_STRING: Final = r"'[^'\\\r\n]*'|\"[^\"\\\r\n]*\""
_INT: Final = r"0|[1-9][0-9]{0,14}"
_KEY: Final = rf"\.(?:[A-Za-z_][A-Za-z0-9_]*|{_INT})|\[(?:{_STRING}|-?(?:{_INT}))\]"
_ARGUMENT: Final = (
    rf"(?:{_STRING}|-?(?:[0-9]{{1,15}}\.[0-9]{{1,15}}|{_INT})|[Tt]rue|[Ff]alse|[Nn]one)"
)
_FILTER: Final = (
    rf"\|\s*([a-z_]+)(?:\(\s*({_ARGUMENT}(?:\s*,\s*{_ARGUMENT})*)?\s*\))?(?![A-Za-z0-9_.(])"
)
_TEMPLATE: Final = re.compile(
    rf"\{{\{{-?\s*(value_json|value)((?:{_KEY})*)((?:\s*{_FILTER})*)\s*-?\}}\}}"
)
_KEYS: Final = re.compile(_KEY)
_FILTERS: Final = re.compile(_FILTER)
_ARGUMENTS: Final = re.compile(_ARGUMENT)
_WORDS: Final[Mapping[str, Any]] = {"true": True, "false": False, "none": None}


class _Undefined:
    """What is not in the payload: an empty text, but no number and nothing to look into."""

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def fail(self, *_args: object) -> NoReturn:
        raise TemplateError(f"{self._what} is undefined", undefined=True)

    __float__ = __int__ = fail

    def __str__(self) -> str:
        return ""

    def __len__(self) -> int:
        return 0


def _is_defined(value: Any) -> Any:
    return value.fail() if value.__class__ is _Undefined else value


def _default(value: Any, default_value: Any = "", boolean: Any = False) -> Any:
    if value.__class__ is _Undefined or (boolean and not value):
        return default_value
    return value


# Each with the fewest and the most arguments; what has others fails in Jinja2's own words.
_KNOWN: Final[Mapping[str, tuple[Callable[..., Any], int, int]]] = {
    "abs": (abs, 0, 0),
    "add": (plain.add, 1, 2),
    "bool": (plain.to_bool, 0, 1),
    "count": (len, 0, 0),
    "d": (_default, 0, 2),
    "default": (_default, 0, 2),
    "float": (plain.to_float, 0, 1),
    "int": (plain.to_int, 0, 2),
    "is_defined": (_is_defined, 0, 0),
    "length": (len, 0, 0),
    "lower": (plain.lower, 0, 0),
    "multiply": (plain.multiply, 1, 2),
    "replace": (plain.replace, 2, 3),
    "round": (plain.round_number, 0, 3),
    "string": (plain.text_of, 0, 0),
    "trim": (plain.trim, 0, 1),
    "upper": (plain.upper, 0, 0),
}


def path_at(text: str, start: int) -> str | None:
    """Return the path in braces that begins at a place of a text, None if there is none."""
    found = _TEMPLATE.match(text, start)
    return None if found is None else found[0]


def compile_path(text: str) -> Callable[..., str] | None:
    """Return the function of a template that is a path and filters, None for all others.

    Args:
        text: a template without blanks around it.
    """
    match = _TEMPLATE.fullmatch(text)
    if match is None:
        return None
    root, keys, filters = match[1], _KEYS.findall(match[2]), _FILTERS.findall(match[3])
    if len(keys) > _MAX_KEYS or len(filters) > _MAX_FILTERS:
        return None
    steps = []
    for name, arguments in filters:
        values = tuple(_literal(each) for each in _ARGUMENTS.findall(arguments))
        function, fewest, most = _KNOWN.get(name, (len, 1, 0))
        if not fewest <= len(values) <= most:
            return None
        steps.append(_step(function, values))
    return _renderer(_finder(root, tuple(_key(each) for each in keys)), tuple(steps))


def _literal(text: str) -> Any:
    if text[0] in "'\"":
        return text[1:-1]
    word = text.lower()
    if word in _WORDS:
        return _WORDS[word]
    return float(text) if "." in text else int(text)


def _key(text: str) -> tuple[bool, Any]:
    """Return whether an attribute is meant, and its name or the item's key."""
    if text[0] == ".":
        return (False, int(text[1:])) if text[1].isdigit() else (True, text[1:])
    return (False, _literal(text[1:-1]))


def _step(function: Callable[..., Any], arguments: tuple[Any, ...]) -> _Filter:
    if not arguments:
        return function
    if len(arguments) == 1:
        [only] = arguments
        return lambda value: function(value, only)
    return lambda value: function(value, *arguments)


def _finder(root: str, keys: tuple[tuple[bool, Any], ...]) -> _Find:
    """Return the function that follows a path; a payload that is not JSON has no `value_json`."""
    if root == "value":
        return lambda value, _value_json: _follow(value, keys, root)
    if len(keys) != 1 or keys[0][1] in TAKEN_NAMES or isinstance(keys[0][1], int):
        return lambda _value, value_json: _follow(value_json, keys, root)
    [(_, name)] = keys
    undefined = _Undefined(excerpt(name))

    def find(_value: str | bytes, value_json: object) -> Any:
        # Most templates are one key of a JSON object, and it is there.
        if value_json.__class__ is dict:
            return value_json.get(name, undefined)
        return _follow(value_json, keys, root)

    return find


def _follow(found: Any, keys: tuple[tuple[bool, Any], ...], root: str) -> Any:
    if found is MISSING:
        found = _Undefined(root)
    for is_attribute, key in keys:
        if found.__class__ is _Undefined:
            found.fail()
        found = (attribute if is_attribute else item)(found, key)
        if found is NOWHERE:
            found = _Undefined(excerpt(key))
    return found


def _renderer(find: _Find, filters: tuple[_Filter, ...]) -> Callable[..., str]:
    def render(value: str | bytes, value_json: object = MISSING) -> str:
        found = find(value, value_json)
        try:
            for each in filters:
                found = each(found)
            text = found if found.__class__ is str else str(found)
        except TemplateError:
            raise
        except Exception as error:
            raise TemplateError(f"{type(error).__name__}: {error}") from error
        if len(text) > MAX_RESULT:
            raise TemplateError(f"it makes more than {MAX_RESULT:,} characters")
        return text.strip()

    return render
