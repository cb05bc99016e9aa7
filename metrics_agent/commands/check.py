"""`metrics-agent check`: all that is wrong with a configuration, without running anything."""

from __future__ import annotations

import sys

from metrics_agent.commands.loading import loader
from metrics_agent.errors import ConfigError
from metrics_agent.plan import build
from metrics_agent.process.exit import ExitCode

__all__ = ["check"]


def check(config: str | None) -> ExitCode:
    """Write every fault and every warning, one a line, and a verdict to stdout.

    Returns:
        0, or 78 if there is a fault.
    """
    say = sys.stdout.write
    try:
        found = loader(config)()
    except ConfigError as error:
        for fault in error.faults:
            say(f"error: {fault}\n")
        say(_verdict(len(error.faults)))
        return ExitCode.CONFIG
    plan = build(found)
    for warning in found.warnings:
        say(f"warning: {warning}\n")
    for fault in plan.faults:
        say(f"error: {fault}\n")
    if plan.faults:
        say(_verdict(len(plan.faults)))
        return ExitCode.CONFIG
    names = ", ".join(module.name for module in plan.modules) or "none"
    say(f"{found.path} is right; modules that will run: {names}\n")
    return ExitCode.STOPPED


def _verdict(count: int) -> str:
    return "1 error\n" if count == 1 else f"{count} errors\n"
