"""From the words on the command line to a plan; used by every command that needs one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.logger import Logger

from metrics_agent.config import AgentConfig, find, load
from metrics_agent.errors import ConfigError, OutputError
from metrics_agent.modules import find_kind, known_kinds
from metrics_agent.plan import Plan, build
from metrics_agent.process.exit import ExitCode

__all__ = ["Load", "complain", "loader", "plan_or_complain"]

Load = Callable[[], AgentConfig]
"""Reads the configuration file; raises ConfigError."""


def loader(config: str | None) -> Load:
    """Return what reads the configuration; the file is looked for now, and read at each call.

    Raises:
        ConfigError: there is no file.
    """
    # Absolute: a daemon changes its directory.
    path = find(config, Path.cwd())
    return lambda: load(path, find_kind, known_kinds())


def plan_or_complain(config: str | None, log: Logger) -> tuple[Plan, Load] | ExitCode:
    """Return the plan and what reads it again, or the exit code after all faults were logged."""
    try:
        read = loader(config)
        plan = build(read())
    except ConfigError as error:
        return complain(error, log)
    if plan.nothing_can_run:
        return complain(ConfigError(plan.faults), log)
    return plan, read


def complain(error: ConfigError | OutputError, log: Logger) -> ExitCode:
    """Log what keeps the agent from starting, and return the exit code."""
    reasons = error.faults if isinstance(error, ConfigError) else (error,)
    for reason in reasons:
        log.error("{reason}", reason=reason, fold=False)
    log.error("Not started: the configuration cannot be used.", fold=False)
    return ExitCode.CONFIG
