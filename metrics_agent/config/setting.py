"""One setting of a settings class: its default, its limits and its documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from attrs import NOTHING, Attribute, Converter, Factory, field, frozen

from metrics_agent.config.types import UnitOfText, parse_duration, parse_size
from metrics_agent.pem import hide_keys

__all__ = ["FileUse", "Spec", "hints", "setting", "spec_of"]

FileUse: TypeAlias = Literal["authorities", "certificate", "key", "secret", "watched"]
"""What a file is that a setting names: PEM files, a secret, or one that need not exist."""

_METADATA: Final = "metrics_agent.setting"
_PARSERS = {UnitOfText.DURATION: parse_duration, UnitOfText.SIZE: parse_size}


@frozen
class Spec:
    """What a setting says of itself beside its type.

    Attributes:
        doc: its meaning, sentences for docs/configuration.md.
        minimum, maximum: limits of a number, both allowed; seconds or bytes.
        choices: the allowed values, or empty for no such limit.
        example: a value as the file writes it, or None.
        zero: what 0 means, such as ``off``; 0 is then allowed below the minimum.
        below: what to do in place of a value below the minimum, or empty.
        instead_of: the setting that this one replaces, or empty.
        file: what the file is that the setting names, or None where it names none.
        unlocked_by: the setting with the password of that file, or empty.
        warning: what to warn of when it is true, or empty.
        last: it is shown after those that are not.
        fixed: it is read once, at the start of the process.
    """

    doc: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[object, ...] = ()
    example: object = None
    zero: str = ""
    below: str = ""
    instead_of: str = ""
    file: FileUse | None = None
    unlocked_by: str = ""
    warning: str = ""
    last: bool = False
    fixed: bool = False


def setting(
    default: Any = NOTHING,
    *,
    doc: str,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[object] = (),
    example: object = None,
    zero: str = "",
    below: str = "",
    instead_of: str = "",
    file: FileUse | None = None,
    unlocked_by: str = "",
    warning: str = "",
    last: bool = False,
    fixed: bool = False,
) -> Any:
    """Declare a setting of a frozen attrs class; keyword only.

    Args:
        default: as the file would write it (``"30s"``, ``"16MiB"``) or as a value; a list or
            table is copied for each instance; without it the setting is required.
        doc: its meaning, for docs/configuration.md.
        minimum: the least number (seconds, bytes) that is allowed.
        maximum: the greatest number that is allowed.
        choices: the values that are allowed.
        example: a value as the file writes it, for the documentation.
        zero: what 0 means, such as ``"off"``; allows 0 below the minimum.
        below: what to do in place of a value below the minimum; the end of the fault.
        instead_of: the setting that this one replaces: a file has one or the other. The sample
            configuration sets this one apart.
        file: for a setting that names a file: what it is. `metrics-agent check` then opens it, and
            a relative path starts at the directory of the configuration file. Every setting that
            names a file has this; a test looks for those that do not.
        unlocked_by: for a file that may be encrypted: the name of the setting with its password.
        warning: for a boolean: what `check` and a start warn of when it is true.
        last: show it after those that are not, in the documentation and the sample; for settings
            of base classes, which come first otherwise.
        fixed: of a global one: what depends on it outlives a reload, which logs that a change
            takes effect at the next start.
    """
    spec = Spec(
        doc,
        minimum,
        maximum,
        tuple(choices),
        example,
        zero,
        below,
        instead_of,
        file,
        unlocked_by,
        warning,
        last,
        fixed,
    )
    if isinstance(default, (dict, list)):
        default = Factory(default.copy)
    return field(
        default=default,
        kw_only=True,
        repr=_shown,
        converter=Converter(_from_text, takes_self=True, takes_field=True),
        metadata={_METADATA: spec},
    )


def _shown(value: object) -> str:
    """Return the repr of a value without what may be secret in an address: login and query."""
    if isinstance(value, str):
        value = hide_keys(value)
        scheme, mark, rest = value.partition("://")
        login, at, rest = rest.rpartition("@")
        rest, query, _secret = rest.partition("?")
        return repr(f"{scheme}{mark}{login and '***'}{at}{rest}{query and '?***'}")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, Mapping):
        items = (f"{key!r}: {_shown(item)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    return repr(value)


def spec_of(attribute: Attribute[Any]) -> Spec:
    """Return what a setting says of itself; an attribute not made by `setting` says nothing."""
    found: Spec | None = attribute.metadata.get(_METADATA)
    return Spec("") if found is None else found


def hints(cls: Any) -> dict[str, Any]:
    """Return the resolved annotations of a settings class."""
    return _hints(cls)


@lru_cache(maxsize=256)
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _from_text(value: object, instance: Any, attribute: Attribute[Any]) -> object:
    """Turn "30s" into 30.0 and "16MiB" into bytes, for defaults and hand-made instances."""
    if type(value) is not str:
        return value
    unit = _unit_of(hints(type(instance)).get(attribute.name))
    return value if unit is None else _PARSERS[unit](value)


def _unit_of(hint: object) -> UnitOfText | None:
    """Return the unit of a type that has no use for a plain string."""
    for member in getattr(hint, "__metadata__", ()):
        if isinstance(member, UnitOfText):
            return member
    if get_origin(hint) is not Union:
        return None
    members = get_args(hint)
    units = [unit for unit in map(_unit_of, members) if unit is not None]
    return units[0] if units and str not in members else None
