"""A file becomes an `AgentConfig`; a fault in one module's table does not concern the others."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, field, fields_dict, frozen

from metrics_agent.config.agent import LOG_LEVELS, AgentSettings
from metrics_agent.config.document import Document, LineFinder, read
from metrics_agent.config.faults import Fault, describe_type, join, nearest, quote
from metrics_agent.config.secret import Sources
from metrics_agent.config.setting import setting
from metrics_agent.config.shapes import NamedFile, Place
from metrics_agent.config.structure import (
    UNKNOWN_KEY,
    Entry,
    Structured,
    ignored_key,
    structure,
    structure_entries,
)
from metrics_agent.errors import ConfigError

if TYPE_CHECKING:
    from metrics_agent.module_kind import ModuleKind

__all__ = ["AgentConfig", "CommonSettings", "ModuleConfig", "load"]

_MODULES: Final = "modules"
_CUSTOM: Final = "custom"
_OVERRIDES: Final = "friendly_name_overrides"
_VARIABLE = re.compile(
    r"\$\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)[^}]*\}"
    # Without braces only as a whole and in capitals: a `$` may begin a topic or a password.
    r"|\A\$(?P<bare>[A-Z_][A-Z0-9_]*)\Z"
)
_INSTANCE = re.compile(r"[A-Za-z0-9_-]+")


@frozen
class ModuleConfig:
    """One table under ``[modules]``.

    Attributes:
        name: its key, ``tasmota`` or ``tasmota:garage``.
        kind: what the part before the colon names, or None if nothing has that name.
        enabled: shall run; a wrong ``enabled`` counts as true, so that its fault is seen.
        log_level: of this module, or None for the global one.
        settings: an instance of ``kind.settings``, or None if there are faults.
        faults: all that is wrong in the table.
        files: what its settings name.
    """

    name: str
    kind: ModuleKind | None
    enabled: bool
    log_level: str | None
    settings: object | None
    faults: tuple[Fault, ...]
    files: tuple[NamedFile, ...] = ()


@frozen
class AgentConfig:
    """A whole file.

    Attributes:
        path: of the file.
        settings: the global keys.
        modules: all module tables, in the order of the file.
        warnings: sentences about what is odd but stops nothing.
        files: what the global keys name.
        lines: where the keys of the file are, for what is found out later.
    """

    path: Path
    settings: AgentSettings
    modules: tuple[ModuleConfig, ...]
    warnings: tuple[str, ...]
    files: tuple[NamedFile, ...] = ()
    lines: LineFinder = field(factory=LineFinder, repr=False, eq=False)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All faults of enabled modules."""
        return _enabled_faults(self.modules)


def _enabled_faults(modules: Iterable[ModuleConfig]) -> tuple[Fault, ...]:
    return tuple(fault for module in modules if module.enabled for fault in module.faults)


@frozen
class CommonSettings:
    """The keys that every module's table may have."""

    enabled: bool = setting(default=False, doc="Whether the module runs.")
    log_level: str | None = setting(
        default=None,
        choices=LOG_LEVELS,
        doc="The lowest level that is logged for this module, in place of the global one.",
        example="info",
    )


@frozen
class _ModuleResult:
    config: ModuleConfig
    ignored: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    literal_secrets: tuple[str, ...] = ()


def load(
    path: Path,
    kinds: Callable[[str], ModuleKind | None],
    known_kinds: Callable[[], Sequence[str]],
    environ: Mapping[str, str] | None = None,
) -> AgentConfig:
    """Read a configuration file; pure but for reading files.

    Args:
        path: the file, see `search.find`.
        kinds: the registry: name to kind, None for a name it does not know; may import.
        known_kinds: returns all names of the registry, for the hints; asked only for one.
        environ: where variables are looked up; the environment of the process if None.

    Raises:
        ConfigError: the file cannot be read or parsed, or a global key is wrong; carries the
            faults of enabled modules too. Faults of modules alone are left in their
            `ModuleConfig`.
    """
    document = read(path)
    sources = Sources(path.parent, os.environ if environ is None else environ)
    top = {key: value for key, value in document.table.items() if key != _MODULES}
    misplaced = [key for key, value in top.items() if _is_module(key, value, known_kinds)]
    faults = [
        Fault(join("", key), UNKNOWN_KEY, hint=f"did you mean `[{join(_MODULES, key)}]`?")
        for key in misplaced
    ]
    own = {key: value for key, value in top.items() if key not in misplaced}
    agent = structure(AgentSettings, own, sources=sources, known=[_MODULES])
    faults += map(_explain_unknown, agent.faults)
    tables = document.table.get(_MODULES, {})
    if not isinstance(tables, Mapping):
        faults.append(Fault(_MODULES, describe_type(tables), "a table of modules"))
        tables = {}
    results = [
        _Module(str(name), table, sources, kinds, known_kinds).read(document.lines)
        for name, table in tables.items()
    ]
    modules = tuple(result.config for result in results)
    if agent.value is None or faults:
        raise ConfigError([*map(document.lines.locate, faults), *_enabled_faults(modules)])
    warnings = tuple(_warnings(document, agent, results))
    return AgentConfig(path, agent.value, modules, warnings, agent.files, document.lines)


def _is_module(key: str, value: object, known_kinds: Callable[[], Sequence[str]]) -> bool:
    """Return whether a key at the top is a module's table that lacks ``modules.``."""
    if not isinstance(value, Mapping) or key in fields_dict(AgentSettings):
        return False
    return key.partition(":")[0] in known_kinds()


def _explain_unknown(fault: Fault) -> Fault:
    """Add what is likely to an unknown key at the top that resembles no other."""
    if fault.got != UNKNOWN_KEY or fault.hint:
        return fault
    return evolve(fault, hint="a module's settings belong below a line [modules.NAME]")


def _warnings(
    document: Document, agent: Structured[AgentSettings], results: Sequence[_ModuleResult]
) -> Iterator[str]:
    for fault in (*_variables(document.table), *agent.warnings):
        yield str(document.lines.locate(fault))
    for result in results:
        yield from map(str, result.ignored)
        if result.config.enabled:
            yield from map(str, result.warnings)
        else:
            for fault in result.config.faults:
                yield f"{fault} (module {quote(result.config.name)} is not enabled)"
    secrets = list(agent.literal_secrets)
    secrets += [path for result in results for path in result.literal_secrets]
    if secrets and document.mode & stat.S_IROTH:
        yield (
            f"{document.path}: everybody on this machine may read it (mode {document.mode:04o}) "
            f'and it holds secrets ({", ".join(secrets)}): chmod o-r, or use {{ env = "NAME" }} '
            f'or {{ file = "path" }}'
        )


def _variables(table: Mapping[str, Any]) -> Iterator[Fault]:
    """Find texts such as "${NAME}" or "$NAME", which Telegraf replaces in its own files."""
    pending: list[tuple[str, object]] = [("", table)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, Mapping):
            pending += [(join(path, key), item) for key, item in reversed([*value.items()])]
        elif isinstance(value, list):
            pending += reversed([(f"{path}[{index}]", item) for index, item in enumerate(value)])
        elif isinstance(value, str) and (found := _VARIABLE.search(value)):
            name = found["bare"] or found["braced"]
            shown = f"${name}" if found["bare"] else f"${{{name}}}"
            yield Fault(
                path,
                f"{shown} is not replaced by the variable's value",
                hint=f'a secret may be {{ env = "{name}" }}',
            )


class _Module:
    """Reads the table of one module.

    Args:
        name: its key.
        raw: what was found.
        sources: where secrets are looked up.
        kinds: the registry.
        known_kinds: returns all its names.
    """

    def __init__(
        self,
        name: str,
        raw: object,
        sources: Sources,
        kinds: Callable[[str], ModuleKind | None],
        known_kinds: Callable[[], Sequence[str]],
    ) -> None:
        self._name = name
        self._place = Place(join(_MODULES, name))
        self._raw = raw
        self._sources = sources
        self._kinds = kinds
        self._known_kinds = known_kinds
        self._faults: list[Fault] = []

    def read(self, lines: LineFinder) -> _ModuleResult:
        """Return the module's part of the configuration, with all that is wrong in it.

        Args:
            lines: where the keys of the file are.
        """
        result = self._read()
        faults = tuple(map(lines.locate, result.config.faults))
        ignored = tuple(map(lines.locate, result.ignored))
        warnings = tuple(map(lines.locate, result.warnings))
        config = evolve(result.config, faults=faults)
        return evolve(result, config=config, ignored=ignored, warnings=warnings)

    def _read(self) -> _ModuleResult:
        kind = self._find_kind()
        config = ModuleConfig(
            self._name, kind, enabled=True, log_level=None, settings=None, faults=()
        )
        if not isinstance(self._raw, Mapping):
            self._add("", describe_type(self._raw), "a table")
            return _ModuleResult(evolve(config, faults=tuple(self._faults)))
        names = [*fields_dict(CommonSettings), _CUSTOM]
        raw = {str(key): value for key, value in self._raw.items()}
        common = self._common(raw)
        if common.value is not None:
            config = evolve(config, enabled=common.value.enabled, log_level=common.value.log_level)
        elif raw.get("enabled", False) is False:
            # What is wrong is the log level.
            config = evolve(config, enabled=False)
        if kind is None:
            return _ModuleResult(evolve(config, faults=(*self._faults, *common.faults)))
        own = {key: value for key, value in raw.items() if key not in names}
        entries, ignored = self._entries(kind, own, raw.get(_CUSTOM, {}))
        found: Structured[Any] = structure_entries(
            kind.settings, entries, self._place.path, sources=self._sources, known=names
        )
        faults = (*common.faults, *self._faults, *found.faults)
        settings = None if faults else found.value
        return _ModuleResult(
            evolve(config, settings=settings, faults=faults, files=found.files),
            (*ignored, *found.ignored),
            found.warnings,
            found.literal_secrets,
        )

    def _add(self, key: str, got: str, expected: str = "", hint: str = "") -> None:
        path = join(self._place.path, key) if key else self._place.path
        self._faults.append(Fault(path, got, expected, hint))

    def _find_kind(self) -> ModuleKind | None:
        name, colon, part = self._name.partition(":")
        if colon and not _INSTANCE.fullmatch(part):
            self._add("", f"an instance named {quote(part)}", "letters, digits, - and _", "")
        try:
            kind = self._kinds(name)
        except BaseException as error:
            # The module's own code is imported here; what it raises, SystemExit too, concerns no
            # other module.
            self._add("", f"this module cannot be loaded: {type(error).__name__}: {error}")
            return None
        if kind is None:
            known = self._known_kinds()
            meant = nearest(name, known)
            all_kinds = f"known are {', '.join(known)}" if known else ""
            hint = f"did you mean `{meant}`?" if meant else all_kinds
            self._add("", "unknown module", hint=hint)
        return kind

    def _common(self, raw: Mapping[str, object]) -> Structured[CommonSettings]:
        given = {key: value for key, value in raw.items() if key in fields_dict(CommonSettings)}
        return structure(CommonSettings, given, self._place.path)

    def _entries(
        self, kind: ModuleKind, own: Mapping[str, object], custom: object
    ) -> tuple[dict[str, Entry], list[Fault]]:
        """Gather the module's settings from its table and from ``custom`` in it."""
        settings = fields_dict(kind.settings)
        entries = {key: Entry(value, self._place.child(key)) for key, value in own.items()}
        ignored: list[Fault] = []
        if not isinstance(custom, Mapping):
            self._add(_CUSTOM, describe_type(custom), "a table")
            custom = {}
        inside = evolve(self._place.child(_CUSTOM), lenient=True)
        for key, value in custom.items():
            place = inside.child(key)
            if key in settings and key in entries:
                twice = f"duplicate key, also set in {self._place.path}"
                self._faults.append(Fault(place.path, twice, hint="remove one"))
            elif key in settings:
                entries[key] = Entry(value, place)
            else:
                ignored.append(ignored_key(place.path, kind.custom_ignored.get(key, "")))
        if _OVERRIDES in own and _OVERRIDES not in settings:
            # The Go agent's files carry an empty one in every module.
            overrides = entries.pop(_OVERRIDES)
            if overrides.raw != {}:
                self._add(_OVERRIDES, "this module has no device names that could be replaced")
        return entries, ignored
