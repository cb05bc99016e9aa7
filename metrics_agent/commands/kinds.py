"""Modules by the name that a user gives: what each is for, and its settings."""

from __future__ import annotations

import sys
from typing import Any, Final

from metrics_agent.commands.stdout import say_error
from metrics_agent.config.declared import declared
from metrics_agent.config.faults import nearest, quote
from metrics_agent.config.sample import Subject
from metrics_agent.errors import MissingDependency
from metrics_agent.module_kind import ModuleKind
from metrics_agent.modules import find_kind, known_kinds
from metrics_agent.process.exit import ExitCode

__all__ = ["all_subjects", "subject_or_complain"]

_WRONG_ARGUMENTS: Final = 2


def all_subjects() -> list[Subject]:
    """Return every module; one that cannot be used says so in its purpose."""
    return list(map(_subject_or_reason, known_kinds()))


def subject_or_complain(name: str) -> Subject | int:
    """Return the module of that name, or the exit code after an error on stderr.

    The code is 2 for an unknown name, the error has the nearest one; 1 for a module that cannot be
    used.
    """
    known = known_kinds()
    if name not in known:
        meant = nearest(name, known)
        hint = f"did you mean {meant}?" if meant else f"known are {', '.join(known)}"
        say_error(f"error: unknown module {quote(name)}; {hint}")
        return _WRONG_ARGUMENTS
    try:
        return _subject(name)
    except MissingDependency as error:
        say_error(f"error: {error}")
        return ExitCode.FAILED


def _subject_or_reason(name: str) -> Subject:
    try:
        return _subject(name)
    except MissingDependency as error:
        return Subject(name, f"cannot be used: {error}", None)


def _subject(name: str) -> Subject:
    try:
        kind = find_kind(name)
        assert kind is not None, "it was uninstalled just now"
        _explore(kind.settings)
    except MissingDependency:
        raise
    except BaseException as error:
        # A module of another package may do anything in here, SystemExit too.
        raise MissingDependency(
            f"module {name!r} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    return Subject(name, _purpose(kind), kind.settings)


def _explore(settings: type[Any]) -> None:
    """Look at every setting: a class that cannot be described cannot be read from a file either."""
    for each in declared(settings):
        for nested in each.inside:
            _explore(nested)


def _purpose(kind: ModuleKind) -> str:
    service = kind.service
    if isinstance(service, str):
        # The package's words: the class itself is not imported for this.
        package = service.partition(":")[0].rpartition(".")[0]
    else:
        package = str(getattr(service, "__module__", ""))  # of any object that can be called
    module = sys.modules.get(package)
    text = (module and module.__doc__) or ""
    first = text.strip().partition("\n")[0].rstrip(".")
    return first.partition(": ")[2] or first
