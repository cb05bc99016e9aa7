"""What `once` and `check --connect` share: an agent that runs by the rule of `diagnosis`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.logger import Logger

from metrics_agent.commands.loading import plan_or_complain
from metrics_agent.commands.run import run_plan
from metrics_agent.config import state_directory
from metrics_agent.diagnosis import Diagnosis
from metrics_agent.interfaces import state_directory_name
from metrics_agent.logs.logger import make_logger
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.plan import Plan
from metrics_agent.process.boot import Process
from metrics_agent.process.exit import ExitCode

__all__ = ["Begin", "copied_state", "diagnose"]

Begin = Callable[[Any, Any, Plan, Diagnosis], object]
"""Called before the reactor runs, with it, the agent, the plan as written, and the rule."""


def diagnose(
    process: Process, config: str | None, observer: StderrObserver, output: str, begin: Begin
) -> tuple[Plan, Diagnosis] | ExitCode:
    """Run the modules of a configuration until the agent is asked to stop.

    Args:
        process: what `boot` made.
        config: the configuration file, None to look for it.
        observer: the log.
        output: where metrics go, as of the setting `output`.
        begin: has to see to the end.

    Returns:
        The plan as written and what came out; or the exit code, where nothing could run.
    """
    log = make_logger()
    found = plan_or_complain(config, log)
    if isinstance(found, ExitCode):
        return found
    plan, load = found
    with ExitStack() as stack:
        state_dir = state_directory(plan.config.settings, os.environ)
        try:
            copy = stack.enter_context(copied_state(state_dir, plan, log))
        except OSError as error:
            return _no_directory(log, error)
        diagnosis = Diagnosis(copy, output)
        code = run_plan(
            process,
            plan,
            load,
            observer,
            log,
            diagnosis=diagnosis,
            begin=lambda reactor, agent: begin(reactor, agent, plan, diagnosis),
        )
    return code if code is ExitCode.CONFIG else (plan, diagnosis)


def _no_directory(log: Logger, error: OSError) -> ExitCode:
    log.error(
        "Not run: no temporary directory can be made for a copy of the state: {reason}. Set TMPDIR "
        "to a directory that this user may write.",
        reason=error.strerror or str(error),
    )
    return ExitCode.GAVE_UP


@contextmanager
def copied_state(state_dir: Path, plan: Plan, log: Logger) -> Iterator[Path]:
    """Copy the state of the modules of a plan to a private directory, and remove that at the end.

    Args:
        state_dir: the real one; it need not exist.
        plan: says which modules there are.
        log: is told what cannot be read; a module goes on without it.

    Raises:
        OSError: no temporary directory can be made.
    """
    with TemporaryDirectory(prefix="metrics-agent-") as name:
        copy = Path(name)
        for module in plan.modules:
            own = state_directory_name(module.name)
            try:
                _copy_files(state_dir / own, copy / own)
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warn(
                    "The state of module {name} in {path} cannot be read: {reason}; going on "
                    "without it. Run this command as the user that the agent runs as.",
                    name=module.name,
                    path=str(state_dir / own),
                    reason=error.strerror or str(error),
                )
        yield copy


def _copy_files(source: Path, target: Path) -> None:
    paths = [path for path in source.iterdir() if path.is_file()]
    target.mkdir(mode=0o700)
    for path in paths:
        copy = target / path.name
        copy.touch(mode=0o600)
        shutil.copyfile(path, copy)
