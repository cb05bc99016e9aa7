"""The modules that can be enabled, by name; a module's package is imported when it is used.

Modules of other packages are found by the entry point group ``metrics_agent.modules``: its name is
the module's, its object the ``ModuleKind``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from metrics_agent.cause import system_reason
from metrics_agent.errors import MissingDependency
from metrics_agent.module_kind import ModuleKind

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

__all__ = ["BUILT_IN", "ENTRY_POINT_GROUP", "find_kind", "known_kinds"]

BUILT_IN = ("demo", "hadiscovery", "netatmo", "opendtu", "tasmota")
ENTRY_POINT_GROUP = "metrics_agent.modules"


def known_kinds() -> tuple[str, ...]:
    """Return the names of all modules, ours first.

    Raises:
        MissingDependency: the names of installed ones cannot be read.
    """
    others = sorted({point.name for point in _installed()})
    return (*BUILT_IN, *(name for name in others if name not in BUILT_IN))


def find_kind(name: str) -> ModuleKind | None:
    """Return the module of that name, None if there is none.

    Raises:
        MissingDependency: it is there but cannot be imported.
    """
    try:
        if name in BUILT_IN:
            kind: object = import_module(f"{__name__}.{name}").MODULE
        else:
            from metrics_agent.process.openssl import allow_openssl

            found = [point for point in _installed() if point.name == name]
            if not found:
                return None
            # It may take for granted what is installed.
            allow_openssl()
            kind = found[0].load()
    except MissingDependency:
        raise
    except Exception as error:
        raise MissingDependency(
            f"module {name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(kind, ModuleKind):
        raise MissingDependency(
            f"module {name!r} is a {type(kind).__name__}, expected a ModuleKind"
        )
    return kind


def _installed() -> EntryPoints:
    """Look at every installed distribution: that costs more than all our own imports."""
    from importlib.metadata import entry_points

    try:
        return entry_points(group=ENTRY_POINT_GROUP)
    except OSError as error:
        reason = system_reason(error.errno or 0)
        raise MissingDependency(f"the installed packages cannot be read: {reason}") from error
