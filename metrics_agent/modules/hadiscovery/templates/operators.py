"""Operators and formats that can make long texts or integers, each asking first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from metrics_agent.modules.hadiscovery.templates.faults import MAX_INT_BITS, TemplateError
from metrics_agent.modules.hadiscovery.templates.meter import ELEMENT, VIEWS, Meter

__all__ = ["INTERCEPTED", "MAX_WIDTH", "operators", "printf", "str_format"]

INTERCEPTED: Final = frozenset({"+", "-", "*", "**", "%"})
"""The others make nothing longer than what they are given."""

MAX_WIDTH: Final = 200
"""Width and precision of a value in a format."""

_SEQUENCES: Final = (str, list, tuple, bytes)
_WIDTH_DIGITS: Final = 3
_MAX_FIELDS: Final = 64
_PRINTF: Final = re.compile(
    r"%(?:\([^()]*\))?[#0 +-]*([0-9]*)(?:\.([0-9]*))?[hlL]?[diouxXeEfFgGcrsa%]"
)
_FIELD: Final = re.compile(
    r"\{[A-Za-z0-9_]*"
    r"(?::(?:[^{}]?[<>=^])?[ +-]?#?0?([0-9]*)[,_]?(?:\.([0-9]+))?[A-Za-z%]?)?\}"
)


def operators(meter: Meter) -> Mapping[str, Callable[[Any, Any], Any]]:
    """Return the functions of `INTERCEPTED`."""
    ours = _Operators(meter)
    return {
        "+": ours.plus,
        "-": ours.minus,
        "*": ours.times,
        "**": ours.power,
        "%": ours.modulo,
    }


class _Operators:
    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def plus(self, left: Any, right: Any) -> Any:
        if isinstance(left, _SEQUENCES) and isinstance(right, _SEQUENCES):
            self._meter.make(len(left) + len(right), _unit(left))
        return left + right

    def minus(self, left: Any, right: Any) -> Any:
        if isinstance(left, VIEWS) or isinstance(right, VIEWS):
            raise TypeError("keys cannot be subtracted")  # they would make a set
        return left - right

    def times(self, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() + right.bit_length())
        else:
            for sequence, count in ((left, right), (right, left)):
                if isinstance(sequence, _SEQUENCES) and isinstance(count, int):
                    self._meter.make(len(sequence) * max(count, 0), _unit(sequence))
        return left * right

    def power(self, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int) and abs(left) > 1 and right > 0:
            _check_bits(left.bit_length() * right)
        return left**right

    def modulo(self, left: Any, right: Any) -> Any:
        if isinstance(left, str):
            return printf(self._meter, left, right)
        if isinstance(left, bytes):
            raise TypeError("bytes are no format")
        return left % right


def printf(meter: Meter, text: str, arguments: Any) -> str:
    """Format as ``text % arguments`` does, with widths up to `MAX_WIDTH`."""
    specs = list(_PRINTF.finditer(text))
    if "%" in _PRINTF.sub("", text):
        raise TemplateError("it has a format that is not allowed")
    _check_widths([spec.groups() for spec in specs])
    # A mapping's values may be named more than once.
    meter.make(len(text) + (1 + len(specs)) * (MAX_WIDTH + meter.read(arguments)))
    return str(text % arguments)


def str_format(meter: Meter, text: str, *args: Any, **kwargs: Any) -> str:
    """Format as ``text.format()`` does; a field is a name or an index, and has no attributes."""
    bare = text.replace("{{", "").replace("}}", "")
    fields = list(_FIELD.finditer(bare))
    if bare.count("{") != len(fields) or bare.count("}") != len(fields):
        raise TemplateError("it has a field of format() that is not allowed")
    _check_widths([field.groups() for field in fields])
    meter.make(len(text) + (1 + len(fields)) * (MAX_WIDTH + meter.read(args, kwargs)))
    return text.format(*args, **kwargs)


def _check_widths(specs: list[Iterable[str | None]]) -> None:
    if len(specs) > _MAX_FIELDS:
        raise TemplateError(f"it formats more than {_MAX_FIELDS} values")
    for width in (each for spec in specs for each in spec if each):
        if len(width) > _WIDTH_DIGITS or int(width) > MAX_WIDTH:
            raise TemplateError(f"it has a width of more than {MAX_WIDTH}")


def _check_bits(bits: int) -> None:
    if bits > MAX_INT_BITS:
        raise TemplateError(f"it makes an integer of more than {MAX_INT_BITS:,} bits")


def _unit(sequence: Any) -> int:
    return 1 if isinstance(sequence, str | bytes) else ELEMENT
