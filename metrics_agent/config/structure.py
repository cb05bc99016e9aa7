"""A raw table becomes an instance of a settings class, or a list of all that is wrong in it.

The walk over the types is our own and not cattrs': its coercions (5 becomes "5", "no" True) would
all have to be replaced, its errors carry neither paths of merged tables nor what was expected, and
ranges, near misses of keys, secrets and the ``custom`` table of the Go agent have to join the same
list; what remained of it is the loop over the fields, for 45 ms of import time at each start.

Every type is turned into a `Shape` once; a shape reads raw values. A value that cannot be read
adds its faults to the `Walk` and becomes `FAULTY`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar, cast

from attrs import NOTHING, Attribute, evolve, field, fields, frozen, has

from metrics_agent.config.compound import limited, shape_of
from metrics_agent.config.faults import Fault, describe_type, join, nearest
from metrics_agent.config.secret import Secret, Sources
from metrics_agent.config.setting import hints, spec_of
from metrics_agent.config.shapes import FAULTY, NamedFile, Place, Shape, Walk
from metrics_agent.pem import is_pasted

__all__ = [
    "UNKNOWN_KEY",
    "Entry",
    "Structured",
    "ignored_key",
    "setting_shape",
    "structure",
    "structure_entries",
    "type_shape",
]

T = TypeVar("T")

UNKNOWN_KEY: Final = "unknown key"
"""What a fault says of a key that no settings class has."""


@frozen
class Structured(Generic[T]):
    """What became of a raw table.

    Attributes:
        value: the instance, or None if there are faults.
        faults: all that is wrong, in the order of the file; empty if there is a value.
        ignored: unknown keys where those are allowed (the ``custom`` table).
        warnings: settings that are allowed and dangerous.
        literal_secrets: the paths of secrets written in the file itself.
        files: what the settings name.
    """

    value: T | None
    faults: tuple[Fault, ...] = ()
    ignored: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    literal_secrets: tuple[str, ...] = ()
    files: tuple[NamedFile, ...] = ()


@frozen
class Entry:
    """A raw value and its place in the file."""

    raw: object
    place: Place


def structure(
    cls: type[T],
    raw: object,
    path: str = "",
    *,
    sources: Sources | None = None,
    known: Iterable[str] = (),
) -> Structured[T]:
    """Make an instance of a settings class from a raw table.

    Args:
        cls: a frozen attrs class made with `setting`.
        raw: what the parser of the file gave.
        path: of the table, empty at the top.
        sources: where secrets are looked up.
        known: further keys of this table, for the hints; not allowed in `raw`.
    """
    if not isinstance(raw, Mapping):
        return Structured(None, (Fault(path, describe_type(raw), "a table"),))
    return structure_entries(cls, _entries(raw, Place(path)), path, sources=sources, known=known)


def structure_entries(
    cls: type[T],
    entries: Mapping[str, Entry],
    path: str,
    *,
    sources: Sources | None = None,
    known: Iterable[str] = (),
) -> Structured[T]:
    """Do the same for keys that were gathered from several tables."""
    walk = Walk(sources or Sources())
    value = _read_fields(cls, entries, Place(path), walk, known)
    found = None if value is FAULTY else cast("T", value)
    faults = tuple(walk.faults) if value is FAULTY else ()
    return Structured(
        found,
        faults,
        tuple(walk.ignored),
        tuple(walk.warnings),
        tuple(walk.literal),
        tuple(walk.files),
    )


def _entries(raw: Mapping[Any, object], place: Place) -> dict[str, Entry]:
    return {str(key): Entry(value, place.child(key)) for key, value in raw.items()}


def _read_fields(
    cls: type[Any],
    entries: Mapping[str, Entry],
    place: Place,
    walk: Walk,
    known: Iterable[str] = (),
) -> Any:
    """Read the fields of a class, then its own check; an instance or `FAULTY`."""
    before = len(walk.faults)
    types = hints(cls)
    attributes = {attribute.name: attribute for attribute in fields(cls) if attribute.init}
    values: dict[str, Any] = {}
    for key, entry in entries.items():
        attribute = attributes.get(key)
        if attribute is None:
            _unknown(key, entry, [*attributes, *known], walk)
        else:
            values[attribute.alias] = _read_field(attribute, types[key], entry, walk)
    _add_passwords(attributes, entries, values, walk)
    for name, attribute in attributes.items():
        if attribute.default is NOTHING and name not in entries:
            noun = setting_shape(attribute, types[name]).noun
            walk.faults.append(Fault(join(place.path, name), "nothing", noun, "it is required"))
    if len(walk.faults) == before:
        return _checked(cls, values, place, walk)
    _check_the_rest(cls, attributes, values, place, walk)
    return FAULTY


def _read_field(attribute: Attribute[Any], hint: Any, entry: Entry, walk: Walk) -> Any:
    value = setting_shape(attribute, hint).read(entry.raw, entry.place, walk)
    spec = spec_of(attribute)
    if spec.warning and value is True:
        walk.warnings.append(Fault(entry.place.path, spec.warning))
    use = spec.file
    if use is None or not isinstance(value, str) or not value:
        return value
    if "\0" in value:
        return walk.fault(entry.place, "a path with a null character", "the path of a file")
    if is_pasted(value):
        hint = "save it in a file that only its owner may read, and give the path of that"
        return walk.fault(entry.place, "the content of a file", "the path of a file", hint)
    file = walk.sources.directory / value
    walk.files.append(NamedFile(entry.place.path, file, use))
    return str(file)


def _add_passwords(
    attributes: Mapping[str, Attribute[Any]],
    entries: Mapping[str, Entry],
    values: Mapping[str, Any],
    walk: Walk,
) -> None:
    """Give the files of this table that may be encrypted their passwords."""
    for name, attribute in attributes.items():
        password = values.get(spec_of(attribute).unlocked_by)
        if isinstance(password, Secret) and name in entries:
            path = entries[name].place.path
            walk.files = [
                evolve(file, password=password) if file.path == path else file
                for file in walk.files
            ]


def setting_shape(attribute: Attribute[Any], hint: Any) -> Shape:
    """Return how a setting is read, its limits included."""
    return limited(type_shape(hint), spec_of(attribute))


def _unknown(key: str, entry: Entry, known: Iterable[str], walk: Walk) -> None:
    if entry.place.lenient:
        walk.ignored.append(ignored_key(entry.place.path))
        return
    meant = nearest(key, known)
    hint = f"did you mean `{meant}`?" if meant else ""
    walk.faults.append(Fault(entry.place.path, UNKNOWN_KEY, hint=hint))


def ignored_key(path: str, why: str = "") -> Fault:
    """Say that a key of a ``custom`` table has no effect."""
    return Fault(path, "this key has no effect here", hint=why)


def _checked(cls: type[Any], values: dict[str, Any], place: Place, walk: Walk) -> Any:
    """Make the instance and run what the class itself checks across its settings."""
    before = len(walk.faults)
    try:
        instance = cls(**values)
        for fault in _own_faults(instance):
            _add(fault, place, walk)
    except BaseException as error:
        # A module's own code: whatever it raises, SystemExit too, is a fault of this table alone.
        text = f"its own check failed with {type(error).__name__}: {error}"
        walk.faults.append(Fault(place.path or cls.__name__, text))
    return FAULTY if len(walk.faults) > before else instance


def _check_the_rest(
    cls: type[Any],
    attributes: Mapping[str, Any],
    values: Mapping[str, Any],
    place: Place,
    walk: Walk,
) -> None:
    """Run that check even where settings are wrong, to report faults in the others as well.

    The wrong ones are taken out of the instance. A check that asks for one ends there; what it has
    said before did not depend on it.
    """
    given = {alias: value for alias, value in values.items() if value is not FAULTY}
    wrong = [
        attribute
        for name, attribute in attributes.items()
        if values.get(attribute.alias) is FAULTY
        or (attribute.default is NOTHING and attribute.alias not in values)
    ]
    with suppress(BaseException):  # as above
        instance = cls(**given, **{each.alias: None for each in wrong})
        for each in wrong:
            object.__delattr__(instance, each.name)
        for fault in _own_faults(instance):
            _add(fault, place, walk)


def _own_faults(instance: Any) -> Iterable[Fault]:
    check = getattr(instance, "check", None)
    return check() if callable(check) else ()


def _add(fault: Fault, place: Place, walk: Walk) -> None:
    """Add what a class says of itself, with the place of its table."""
    path = f"{place.path}.{fault.path}" if place.path and fault.path else ""
    walk.faults.append(
        Fault(path or fault.path or place.path, fault.got, fault.expected, fault.hint)
    )


@frozen(eq=False, repr=False)
class _Table(Shape):
    """A nested settings class."""

    cls: type[Any] = field(kw_only=True)

    def suits(self, raw: object) -> bool:
        return isinstance(raw, Mapping)

    def read(self, raw: object, place: Place, walk: Walk) -> Any:
        if not isinstance(raw, Mapping):
            return walk.fault(place, describe_type(raw), self.noun)
        return _read_fields(self.cls, _entries(raw, place), place, walk)


def type_shape(hint: Any) -> Shape:
    """Return how a type is read."""
    return shape_of(hint, _nested)


def _nested(hint: Any) -> Shape | None:
    if isinstance(hint, type) and has(hint):
        return _Table(noun="a table", plural="tables", cls=hint)
    return None
