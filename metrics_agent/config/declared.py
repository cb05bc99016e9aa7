"""What a settings class declares, in the words of a file: for the documentation and the sample."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from typing import Any, Final, Literal, Union, get_args, get_origin

from attrs import NOTHING, Attribute, Factory, fields, frozen, has

from metrics_agent.config.secret import Sources
from metrics_agent.config.setting import Spec, hints, spec_of
from metrics_agent.config.shapes import FAULTY, Place, Shape, Walk, toml_string
from metrics_agent.config.structure import setting_shape, structure, type_shape

__all__ = ["Declared", "declared", "needed"]

_EXAMPLE = re.compile(r' such as "[^"]*"( or a number of bytes)?')
_CANDIDATES: Final[tuple[object, ...]] = ("example", "10s", 1, 1.0, False, [], {})
"""Values to show where a setting names none: one of each type that a file can express."""


@frozen
class Declared:
    """One setting; values are written as TOML.

    Attributes:
        name: the key.
        doc: its meaning.
        type_name: such as ``duration`` or ``list of strings``.
        default: its default, None if it is not set by default or required.
        required: the file has to set it.
        choices: the values that are allowed, empty for no such limit.
        limits: such as ``at least "1s"`` and ``0: off``.
        example: the value that the declaration names as an example, or None.
        sample: a value that is accepted: the example, the default, a choice, or any; empty for a
            type of which none is found.
        raw_sample: the same as a parser of files gives it.
        table: the settings class of a nested table, or None.
        inside: the settings classes of the type, that of a list's or a table's items too.
        instead_of: the setting that this one replaces, or empty.
    """

    name: str
    doc: str
    type_name: str
    default: str | None
    required: bool
    choices: tuple[str, ...]
    limits: tuple[str, ...]
    example: str | None
    sample: str
    raw_sample: object
    table: type[Any] | None
    inside: tuple[type[Any], ...]
    instead_of: str

    @property
    def default_text(self) -> str:
        """The default, or why there is none."""
        return self.default or ("required" if self.required else "not set")


def declared(cls: type[Any]) -> Iterator[Declared]:
    """Yield the settings of a class in the order to show; those of nested classes are in `inside`.

    Raises:
        TypeError: the class is not a settings class, or uses a type that a file cannot express.
    """
    annotations = hints(cls)
    for attribute in sorted(fields(cls), key=lambda each: spec_of(each).last):
        yield _declared(attribute, annotations[attribute.name])


def needed(cls: type[Any]) -> frozenset[str]:
    """Return the settings without which a table of this class is not accepted.

    They are those without default, and those that have one which the class's own check rejects,
    such as the empty address of a device.
    """
    settings = {each.name: each for each in declared(cls) if each.table is None}
    wanted = {name for name, each in settings.items() if each.required}
    raw = {name: settings[name].raw_sample for name in wanted}
    for fault in structure(cls, raw).faults:
        name = fault.path.partition(".")[0]
        if name in settings and settings[name].example is not None:
            wanted.add(name)
    return frozenset(wanted)


def _declared(attribute: Attribute[Any], hint: Any) -> Declared:
    spec = spec_of(attribute)
    named = get_args(hint) if get_origin(hint) is Literal else ()
    shape = type_shape(type(named[0]) if named else hint)
    inside = tuple(_settings_classes(hint))
    members = get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)
    tables = [each for each in members if each in inside]
    raw_sample = _raw_sample(attribute, hint, spec)
    return Declared(
        name=attribute.name,
        doc=spec.doc,
        type_name=_type_name(shape),
        default=_default(attribute, shape),
        required=attribute.default is NOTHING,
        choices=tuple(_value(choice, shape) for choice in spec.choices or named),
        limits=tuple(_limits(spec, shape)),
        example=None if spec.example is None else _value(spec.example, shape),
        sample=_value(raw_sample, shape),
        raw_sample=raw_sample,
        table=tables[0] if tables else None,
        inside=inside,
        instead_of=spec.instead_of,
    )


def _settings_classes(hint: Any) -> Iterator[type[Any]]:
    if isinstance(hint, type) and has(hint):
        yield hint
    for argument in get_args(hint):
        yield from _settings_classes(argument)


def _type_name(shape: Shape) -> str:
    noun = "a secret" if shape.secret else _EXAMPLE.sub("", shape.noun)
    for article in ("a ", "an "):
        noun = noun.removeprefix(article).replace(f" or {article}", " or ")
    return noun


def _default(attribute: Attribute[Any], shape: Shape) -> str | None:
    default: Any = attribute.default
    if isinstance(default, Factory):  # type: ignore[arg-type]  # the stubs call it a function
        default = None if default.takes_self else default.factory()
    if default is NOTHING or default is None:
        return None
    if has(type(default)):
        return "{}" if structure(type(default), {}).value == default else None
    return _value(default, shape)


def _raw_sample(attribute: Attribute[Any], hint: Any, spec: Spec) -> object:
    """Return the example, the default, or the first value that the setting accepts."""
    if spec.example is not None:
        return spec.example
    shape = setting_shape(attribute, hint)
    if shape.secret:
        return "secret"
    default = attribute.default
    given = () if default is None or default is NOTHING else (default,)
    least = () if spec.minimum is None else (spec.minimum, shape.show(spec.minimum).strip('"'))
    for raw in (*given, *spec.choices, *_literals(hint), *least, *_CANDIDATES):
        if shape.read(raw, Place(""), Walk(Sources())) is not FAULTY:
            return raw
    return ""


def _literals(hint: Any) -> Iterator[object]:
    for argument in get_args(hint):
        if get_origin(hint) is Literal:
            yield argument
        else:
            yield from _literals(argument)


def _value(value: Any, shape: Shape) -> str:
    return toml_string(value) if isinstance(value, str) else shape.show(value)


def _limits(spec: Spec, shape: Shape) -> Iterator[str]:
    if spec.minimum is not None:
        yield f"at least {shape.show(spec.minimum)}"
    if spec.maximum is not None:
        yield f"at most {shape.show(spec.maximum)}"
    if spec.zero:
        yield f"0: {spec.zero}"
