"""`metrics-agent check`: all that is wrong with a configuration, without running anything."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import Final

from metrics_agent.commands.files import inspect_files
from metrics_agent.commands.loading import load_found, locate
from metrics_agent.commands.stdout import say
from metrics_agent.config import AgentConfig, Fault, state_directory
from metrics_agent.config.output import read_output
from metrics_agent.errors import ConfigError, MissingDependency
from metrics_agent.modules import known_kinds
from metrics_agent.output.target import file_trouble
from metrics_agent.plan import Plan, build
from metrics_agent.process.exit import ExitCode

__all__ = ["check"]

_SYSTEM_CONFIG: Final = Path("/etc/metrics-agent")
_SYSTEM_STATE: Final = Path("/var/lib/metrics-agent")


def check(config: str | None) -> ExitCode:
    """Write every fault and every warning, one a line, and a verdict to stdout.

    What a start refuses is a fault here, in the same words; beside that every file is opened that
    a setting names. Nothing is created, and nothing is connected to.

    Returns:
        0, or 78 if there is a fault.
    """
    path = None
    try:
        found = locate(config)
        path = found.path
        plan = build(load_found(found))
    except ConfigError as error:
        return _report_faults(error.faults, path)
    opened = [inspect_files(module.files) for module in plan.config.modules if module.enabled]
    opened.append(inspect_files(plan.config.files))
    with_line = plan.config.lines.locate
    about_files = [with_line(warning) for each in opened for warning in each.warnings]
    for warning in (*plan.config.warnings, *about_files, *_about_state(plan.config)):
        say(f"warning: {warning}")
    faults = [*_output(plan), *plan.faults, *_missing(plan)]
    faults += [fault for each in opened for fault in each.faults]
    if faults:
        return _report_faults([*map(with_line, faults)], path)
    if not plan.modules:
        say(f"warning: no module is enabled; enable one of: {', '.join(known_kinds())}")
    names = ", ".join(module.name for module in plan.modules) or "none"
    say(f"{path} is valid; enabled modules: {names}")
    return ExitCode.STOPPED


def _output(plan: Plan) -> Iterator[Fault]:
    """Make the output as a start does, and look whether its file could be written."""
    setting = plan.config.settings.output
    target = read_output(setting)
    if target.kind == "file":
        trouble = file_trouble(target.path)
        if trouble:
            yield Fault("output", f"{target.path} cannot be written: {trouble}")
    elif target.kind in {"tls", "https", "mqtt", "endpoint"}:
        from metrics_agent.commands.reactor import import_reactor
        from metrics_agent.planned_output import make_planned_output

        try:
            make_planned_output(plan, import_reactor(plan), lambda: -1)
        except ConfigError as error:
            yield from error.faults


def _about_state(config: AgentConfig) -> Iterator[str]:
    """Warn that nothing can be kept, or that the state directory belongs to another user."""
    if config.settings.state_dir is None and config.path.parent == _SYSTEM_CONFIG:
        state = _SYSTEM_STATE
    else:
        state = state_directory(config.settings, os.environ)
    try:
        status = state.stat()
    except FileNotFoundError:
        return  # the agent has not run yet
    except OSError as error:
        yield _no_state(state, error.strerror or str(error))
        return
    if not stat.S_ISDIR(status.st_mode):
        yield _no_state(state, "it is not a directory")
        return
    if os.statvfs(state).f_flag & os.ST_RDONLY:
        yield _no_state(state, os.strerror(errno.EROFS))
    owner, user = status.st_uid, os.geteuid()
    if owner != user:
        agent = _name(owner)
        yield (
            f"this check runs as {_name(user)}, and the agent as {agent}, who owns {state}: files "
            f"that {agent} may not read or write are not noticed; run "
            f"sudo -u {quote(agent)} metrics-agent check -c {quote(str(config.path))}"
        )


def _no_state(state: Path, reason: str) -> str:
    return (
        f"the agent cannot keep state in {state}: {reason}; it runs without it, set state_dir to a "
        "directory that it can write to"
    )


def _name(user: int) -> str:
    from pwd import getpwuid

    try:
        return getpwuid(user).pw_name
    except KeyError:
        return f"#{user}"


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


def _report_faults(faults: Sequence[Fault], path: Path | None) -> ExitCode:
    for fault in faults:
        say(f"error: {fault}")
    count = "1 error" if len(faults) == 1 else f"{len(faults)} errors"
    say(count if path is None else f"{count} in {path}")
    return ExitCode.CONFIG
