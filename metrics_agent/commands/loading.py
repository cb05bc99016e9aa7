"""From the words on the command line to a plan; used by every command that needs one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from attrs import evolve
from twisted.logger import Logger

from metrics_agent.config import AgentConfig, Fault, Found, find, load
from metrics_agent.errors import ConfigError, MissingDependency
from metrics_agent.modules import find_kind, known_kinds
from metrics_agent.plan import Plan, build
from metrics_agent.process.descriptors import Kind, kind_of
from metrics_agent.process.exit import ExitCode

__all__ = ["Load", "complain", "load_found", "load_from", "locate", "plan_or_complain"]

Load = Callable[[], AgentConfig]
"""Reads the configuration file; raises ConfigError."""


def locate(config: str | None) -> Found:
    """Return where the configuration is: absolute, since a daemon changes its directory.

    Raises:
        ConfigError: none was asked for, and there is none in the usual places.
    """
    try:
        directory = Path.cwd()
    except OSError:
        # The working directory was removed; the path may still be absolute.
        directory = Path()
    # Telegraf has a pipe there, a shell's user a terminal, a service /dev/null.
    has_parent = kind_of(0) in {Kind.PIPE, Kind.SOCKET}
    return find(config, directory, has_parent=has_parent)


def load_found(found: Found) -> AgentConfig:
    """Read a configuration file for the first time: with the warnings of the search for it.

    Raises:
        ConfigError: as `load_from`.
    """
    config = load_from(found.path)
    return evolve(config, warnings=(*found.warnings, *config.warnings))


def load_from(path: Path) -> AgentConfig:
    """Read a configuration file.

    Raises:
        ConfigError: it cannot be read, or a global key is wrong.
    """

    @cache  # each misspelt name asks for them
    def known() -> tuple[str, ...]:
        try:
            return known_kinds()
        except MissingDependency as error:
            raise ConfigError([Fault(str(path), str(error))]) from error

    return load(path, find_kind, known)


def plan_or_complain(config: str | None, log: Logger) -> tuple[Plan, Load] | ExitCode:
    """Return the plan and what reads it again, or the exit code after all faults were logged."""
    path = None
    try:
        found = locate(config)
        path = found.path
        plan = build(load_found(found))
    except ConfigError as error:
        return complain(error, log, path)
    if plan.nothing_can_run:
        return complain(ConfigError(plan.faults), log, path)
    return plan, partial(load_from, path)


def complain(error: ConfigError, log: Logger, path: Path | None) -> ExitCode:
    """Log what keeps the agent from starting, and return the exit code.

    Args:
        error: what does.
        log: where to.
        path: of the configuration; None where there is none.
    """
    for reason in error.faults:
        log.error("{reason}", reason=reason, fold=False)
    if path is None:
        log.error("Not started: there is no configuration.", fold=False)
    else:
        log.error("Not started: the configuration {path} cannot be used.", path=path, fold=False)
    return ExitCode.CONFIG
