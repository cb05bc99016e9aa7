"""`metrics-agent check`: all that is wrong with a configuration, without running anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from metrics_agent.commands.loading import load_found, locate
from metrics_agent.commands.saying import say
from metrics_agent.config import Fault
from metrics_agent.errors import ConfigError, MissingDependency
from metrics_agent.modules import known_kinds
from metrics_agent.plan import Plan, build
from metrics_agent.process.exit import ExitCode

__all__ = ["check"]


def check(config: str | None) -> ExitCode:
    """Write every fault and every warning, one a line, and a verdict to stdout.

    Returns:
        0, or 78 if there is a fault.
    """
    path = None
    try:
        found = locate(config)
        path = found.path
        plan = build(load_found(found))
    except ConfigError as error:
        return _condemn(error.faults, path)
    for warning in plan.config.warnings:
        say(f"warning: {warning}")
    faults = (*plan.faults, *_missing(plan))
    if faults:
        return _condemn(faults, path)
    if not plan.modules:
        say(f"warning: no module is enabled; enable one of: {', '.join(known_kinds())}")
    names = ", ".join(module.name for module in plan.modules) or "none"
    say(f"{path} is right; modules that will run: {names}")
    return ExitCode.STOPPED


def _missing(plan: Plan) -> Iterator[Fault]:
    """Find optional packages that the modules would ask for at their start."""
    for module in plan.modules:
        try:
            for name in module.needs:
                import_module(name)
        except BaseException as error:  # noqa: PERF203 - the others go on
            # Ours says it all; a module of another package may raise anything, SystemExit too.
            ours = isinstance(error, MissingDependency)
            text = str(error) if ours else f"{type(error).__name__}: {error}"
            yield Fault(f"modules.{module.name}", text)


def _condemn(faults: Sequence[Fault], path: Path | None) -> ExitCode:
    for fault in faults:
        say(f"error: {fault}")
    count = "1 error" if len(faults) == 1 else f"{len(faults)} errors"
    say(count if path is None else f"{count} in {path}")
    return ExitCode.CONFIG
