"""What `once` and `check --connect` share: an agent that runs by the rule of `diagnosis`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from metrics_agent.commands.loading import plan_or_complain
from metrics_agent.commands.run import run_plan
from metrics_agent.commands.stdout import say_error
from metrics_agent.config import state_directory
from metrics_agent.diagnosis import Diagnosis
from metrics_agent.logs.logger import make_logger
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.plan import Plan
from metrics_agent.process.boot import Process
from metrics_agent.process.exit import ExitCode
from metrics_agent.state.directory import state_directory_name
from metrics_agent.supervision.connection_problems import ConnectionProblems

__all__ = ["Begin", "copied_state", "diagnose"]

Begin = Callable[[Any, Any, Plan, Diagnosis], object]
"""Called before the reactor runs, with it, the agent, the plan as written, and the rule."""


def diagnose(
    process: Process,
    config: str | None,
    observer: StderrObserver,
    output: str,
    begin: Begin,
    rewrite: Callable[[Plan], Plan] = lambda plan: plan,
) -> tuple[Plan, Diagnosis] | ExitCode:
    """Run the modules of a configuration until the agent is asked to stop.

    Args:
        process: what `boot` made.
        config: the configuration file, None to look for it.
        observer: the log.
        output: where metrics go, as of the setting `output`.
        begin: has to see to the end.
        rewrite: makes the plan that is run of the one that was read.

    Returns:
        The plan that ran, with the settings as written, and what came out; or the exit code, where
        nothing could run.
    """
    log = make_logger()
    found = plan_or_complain(config, log)
    if isinstance(found, ExitCode):
        return found
    plan, load = rewrite(found[0]), found[1]
    problems = ConnectionProblems()
    with ExitStack() as stack:
        state_dir = state_directory(plan.config.settings, os.environ)
        try:
            copy = stack.enter_context(copied_state(state_dir, plan, problems))
        except OSError as error:
            reason = error.strerror or str(error)
            say_error(
                f"error: no temporary directory for a copy of the state: {reason}; set TMPDIR to a "
                "directory that this user may write"
            )
            return ExitCode.FAILED
        diagnosis = Diagnosis(copy, output, problems=problems)
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


@contextmanager
def copied_state(state_dir: Path, plan: Plan, problems: ConnectionProblems) -> Iterator[Path]:
    """Copy the state of the modules of a plan to a private directory, and remove that at the end.

    Args:
        state_dir: the real one; it need not exist.
        plan: says which modules there are.
        problems: takes what cannot be read; a module goes on without it.

    Raises:
        OSError: no temporary directory can be made.
    """
    with TemporaryDirectory(prefix="metrics-agent-") as name:
        copy = Path(name)
        for module in dict.fromkeys(module.name for module in plan.modules):
            own = state_directory_name(module)
            try:
                _copy_files(state_dir / own, copy / own)
            except FileNotFoundError:
                continue
            except OSError as error:
                text = f"cannot be read: {error.strerror or error}"
                if isinstance(error, PermissionError):
                    text += "; run this command as the user that the agent runs as"
                problems.note(module, str(state_dir / own), text)
        yield copy


def _copy_files(source: Path, target: Path) -> None:
    paths = [path for path in source.iterdir() if path.is_file()]
    target.mkdir(mode=0o700)
    for path in paths:
        copy = target / path.name
        copy.touch(mode=0o600)
        shutil.copyfile(path, copy)
