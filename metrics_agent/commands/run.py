"""`metrics-agent run`: the agent in this process, until it is asked to stop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from metrics_agent.commands.loading import Load, complain, plan_or_complain
from metrics_agent.commands.reactor import import_reactor
from metrics_agent.diagnosis import Diagnosis
from metrics_agent.errors import ConfigError
from metrics_agent.logs.capture import (
    begin_logging,
    bridge_logging,
    contain_observers,
    redirect_stdout,
)
from metrics_agent.logs.logger import make_logger
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.plan import Plan
from metrics_agent.process.boot import Process
from metrics_agent.process.exit import ExitCode

__all__ = ["logged", "run", "run_plan"]


def run(process: Process, config: str | None) -> ExitCode:
    """Run the agent.

    Args:
        process: what `boot` made.
        config: the configuration file, None to look for it.

    Returns:
        The exit code.
    """

    def work(observer: StderrObserver) -> ExitCode:
        log = make_logger()
        found = plan_or_complain(config, log)
        if isinstance(found, ExitCode):
            return found
        return run_plan(process, *found, observer, log)

    return logged(StderrObserver(), work)


def logged(observer: StderrObserver, work: Callable[[StderrObserver], ExitCode]) -> ExitCode:
    """Do work whose log an observer writes; what is printed meanwhile goes to the log."""
    begin_logging(observer)
    bridge_logging(observer)
    contain_observers()
    stdout = sys.stdout
    redirect_stdout()
    try:
        return work(observer)
    finally:
        sys.stdout = stdout
        observer.final_flush()


def run_plan(
    process: Process,
    plan: Plan,
    load: Load,
    observer: StderrObserver,
    log: Logger,
    *,
    diagnosis: Diagnosis | None = None,
    begin: Callable[[Any, Any], object] = lambda _reactor, _agent: None,
) -> ExitCode:
    """Run an agent until it is asked to stop.

    Args:
        process: what `boot` made.
        plan: what shall run.
        load: reads the configuration again.
        observer: the log.
        log: takes what keeps the agent from starting.
        diagnosis: the rule of a command that only looks, see `assembly.assemble`.
        begin: called with the reactor and the agent before the reactor runs.

    Returns:
        The exit code.
    """
    if diagnosis is not None:
        plan, load = diagnosis.plan(plan), diagnosis.loader(load)
    reactor = import_reactor(plan)

    from metrics_agent.assembly import assemble
    from metrics_agent.process.running import run_service

    try:
        agent = assemble(process, reactor, plan, load, observer, diagnosis=diagnosis)
    except ConfigError as error:
        return complain(error, log, plan.config.path)
    begin(reactor, agent)
    run_service(reactor, agent)
    return process.exit_status.code
