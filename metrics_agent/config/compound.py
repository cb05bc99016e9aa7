"""Shapes made of shapes: lists, tables, choices, limits, one of several; and from type to shape."""

from __future__ import annotations

import types
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from attrs import evolve, field, frozen

from metrics_agent.config.faults import describe, describe_type, nearest, quote
from metrics_agent.config.setting import Spec
from metrics_agent.config.shapes import (
    FAULTY,
    NULL,
    SIMPLE,
    UNITS,
    Place,
    Shape,
    Walk,
    toml_string,
)
from metrics_agent.config.types import UnitOfText

__all__ = ["limited", "shape_of"]


@frozen(eq=False, repr=False)
class _List(Shape):
    item: Shape = field(kw_only=True)
    make: Callable[[list[Any]], Any] = field(kw_only=True)

    def read(self, raw: object, place: Place, walk: Walk) -> Any:
        if not isinstance(raw, (list, tuple)):
            return walk.fault(place, _hidden(raw, self.item), self.noun)
        values = [self.item.read(value, place.item(index), walk) for index, value in enumerate(raw)]
        return FAULTY if FAULTY in values else self.make(values)

    def suits(self, raw: object) -> bool:
        return isinstance(raw, (list, tuple))

    def show(self, value: Any) -> str:
        return f"[{', '.join(self.item.show(item) for item in value)}]"


@frozen(eq=False, repr=False)
class _Mapping(Shape):
    """A table with keys of the user's choice."""

    value: Shape = field(kw_only=True)

    def read(self, raw: object, place: Place, walk: Walk) -> Any:
        if not isinstance(raw, Mapping):
            return walk.fault(place, _hidden(raw, self.value), self.noun)
        values = {
            str(key): self.value.read(value, place.child(key), walk) for key, value in raw.items()
        }
        return FAULTY if FAULTY in values.values() else values

    def suits(self, raw: object) -> bool:
        return isinstance(raw, Mapping)

    def show(self, value: Any) -> str:
        parts = [f"{toml_string(key)} = {self.value.show(item)}" for key, item in value.items()]
        return f"{{ {', '.join(parts)} }}" if parts else "{}"


@frozen(eq=False, repr=False)
class _Limited(Shape):
    """A value of another shape that has to pass a test; None always passes."""

    base: Shape = field(kw_only=True)

    def read(self, raw: object, place: Place, walk: Walk) -> Any:
        attempt = Walk(walk.sources)
        value = self.base.read(raw, place, attempt)
        for fault in attempt.faults:
            # Say all that is expected here, and not the type alone.
            if fault.path == place.path and fault.expected == self.base.noun:
                attempt.faults[attempt.faults.index(fault)] = evolve(fault, expected=self.noun)
        walk.adopt(attempt)
        if value is None or value is FAULTY or self.allows(value):
            return value
        got = quote(raw) if isinstance(raw, str) else describe(raw)
        return walk.fault(place, got, self.noun, self.hint(value))

    def suits(self, raw: object) -> bool:
        return self.base.suits(raw)

    def show(self, value: Any) -> str:
        return self.base.show(value)

    @abstractmethod
    def allows(self, value: Any) -> bool:
        """Return whether a value of the right type passes."""

    def hint(self, value: Any) -> str:  # noqa: ARG002 - for those that override it
        """Say what to do about a value that does not pass."""
        return ""


@frozen(eq=False, repr=False)
class _Choice(_Limited):
    """One of a few values."""

    choices: tuple[Any, ...] = field(kw_only=True)

    def allows(self, value: Any) -> bool:
        return value in self.choices

    def hint(self, value: Any) -> str:
        words = [choice for choice in self.choices if isinstance(choice, str)]
        meant = nearest(value, words) if isinstance(value, str) else ""
        return f"did you mean {quote(meant)}?" if meant else ""


@frozen(eq=False, repr=False)
class _Range(_Limited):
    """A number between limits."""

    spec: Spec = field(kw_only=True)

    def allows(self, value: Any) -> bool:
        if value == 0 and self.spec.zero:
            return True
        low, high = self.spec.minimum, self.spec.maximum
        return (low is None or value >= low) and (high is None or value <= high)

    def hint(self, value: Any) -> str:
        low = self.spec.minimum
        return self.spec.below if low is not None and value < low else ""


@frozen(eq=False, repr=False)
class _Either(Shape):
    """A value of one of several types; the first that reads it."""

    members: tuple[Shape, ...] = field(kw_only=True)

    def read(self, raw: object, place: Place, walk: Walk) -> Any:
        passes: list[tuple[Shape, Walk]] = []
        for member in self.members:
            attempt = Walk(walk.sources)
            value = member.read(raw, place, attempt)
            if value is not FAULTY:
                walk.adopt(attempt)
                return value
            passes.append((member, attempt))
        # The faults of a member that the value was meant for say more than those of all.
        meant = [attempt for member, attempt in passes if member.suits(raw)]
        named = [attempt for member, attempt in passes if member is not NULL]
        if len(meant) != 1 and len(named) == 1:
            meant = named
        if len(meant) == 1:
            walk.adopt(meant[0])
            return FAULTY
        return walk.fault(place, _hidden(raw, self), self.noun)

    def suits(self, raw: object) -> bool:
        return any(member.suits(raw) for member in self.members)

    def show(self, value: Any) -> str:
        if value is None:
            return "null"
        for member in self.members:
            if member is not NULL:
                with suppress(TypeError, ValueError):
                    return member.show(value)
        return str(value)


def shape_of(hint: Any, nested: Callable[[Any], Shape | None]) -> Shape:
    """Return the shape of a type.

    Args:
        hint: a resolved annotation.
        nested: gives the shape of a settings class, None for anything else.

    Raises:
        TypeError: a settings class uses a type that a file cannot express.
    """
    simple = SIMPLE.get(hint) if isinstance(hint, type) else None
    return simple or nested(hint) or _generic(hint, nested)


def _generic(hint: Any, nested: Callable[[Any], Shape | None]) -> Shape:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        units = [mark for mark in hint.__metadata__ if isinstance(mark, UnitOfText)]
        return UNITS[units[0]] if units else shape_of(args[0], nested)
    if origin is Literal:
        return _choice(shape_of(type(args[0]), nested), args)
    if origin in {Union, types.UnionType}:
        return _either(tuple(shape_of(arg, nested) for arg in args))
    if origin in {list, Sequence} or (origin is tuple and args[-1:] == (...,)):
        item = shape_of(args[0], nested)
        make = list if origin is list else tuple
        return _List(f"a list of {item.plural}", "lists", item=item, make=make)
    if origin not in {dict, Mapping} or args[0] is not str:
        raise TypeError(f"no setting can be of type {hint!r}")
    value = shape_of(args[1], nested)
    return _Mapping(f"a table of {value.plural}", "tables", value=value)


def _either(members: tuple[Shape, ...]) -> Shape:
    named = [member for member in members if member is not NULL]
    noun = " or ".join(member.noun for member in named)
    plural = " or ".join(member.plural for member in named)
    secret = any(member.secret for member in members)
    return _Either(noun, plural, members=members, secret=secret)


def _choice(base: Shape, choices: tuple[Any, ...]) -> Shape:
    noun = " or ".join(base.show(choice) for choice in choices)
    return _Choice(noun, noun, base=base, choices=choices)


def limited(shape: Shape, spec: Spec) -> Shape:
    """Return the shape with the choices and limits of a setting."""
    if spec.choices:
        shape = _choice(shape, spec.choices)
    if spec.minimum is None and spec.maximum is None:
        return shape
    low = "" if spec.minimum is None else shape.show(spec.minimum)
    high = "" if spec.maximum is None else shape.show(spec.maximum)
    if low and high:
        noun = f"{shape.noun}, from {low} to {high}"
    else:
        noun = f"{shape.noun}, at least {low}" if low else f"{shape.noun}, at most {high}"
    if spec.zero and (spec.minimum or 0) > 0:
        noun += f", or 0 ({spec.zero})"
    return _Range(noun, shape.plural, base=shape, spec=spec)


def _hidden(raw: object, shape: Shape) -> str:
    """Describe a value, by its type alone where it may be a secret."""
    return describe_type(raw) if shape.secret else describe(raw)
