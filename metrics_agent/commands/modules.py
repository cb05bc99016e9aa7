"""`metrics-agent modules`: what can be enabled."""

from __future__ import annotations

import sys

from metrics_agent.commands.saying import say
from metrics_agent.errors import MissingDependency
from metrics_agent.modules import find_kind, known_kinds
from metrics_agent.process.exit import ExitCode

__all__ = ["modules"]


def modules() -> ExitCode:
    """Write the name of each module and what it is for, one a line, to stdout."""
    names = known_kinds()
    width = max(map(len, names))
    for name in names:
        say(f"{name:<{width}}  {_purpose(name)}")
    return ExitCode.STOPPED


def _purpose(name: str) -> str:
    try:
        kind = find_kind(name)
    except MissingDependency as error:
        return f"cannot be used: {error}"
    # A maker may be any object that can be called.
    module = sys.modules.get(str(getattr(kind.make, "__module__", ""))) if kind else None
    text = (module and module.__doc__) or ""
    first = text.strip().partition("\n")[0].rstrip(".")
    return first.partition(": ")[2] or first
