"""`metrics-agent run`: the agent in this process, until it is asked to stop."""

from __future__ import annotations

from metrics_agent.commands.loading import complain, plan_or_complain
from metrics_agent.commands.reactor import import_reactor
from metrics_agent.errors import OutputError
from metrics_agent.logs.capture import (
    begin_logging,
    bridge_logging,
    contain_observers,
    redirect_stdout,
)
from metrics_agent.logs.logger import make_logger
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.process.boot import Process
from metrics_agent.process.exit import ExitCode

__all__ = ["run"]

_LAST_WORDS_S = 1.0
"""How long the end of the process waits for whoever reads stderr."""


def run(process: Process, config: str | None, *, for_s: float | None = None) -> ExitCode:
    """Run the agent.

    Args:
        process: what `boot` made.
        config: the configuration file, None to look for it.
        for_s: stop in order after so many seconds; None: run until asked to stop.

    Returns:
        The exit code.
    """
    observer = StderrObserver()
    begin_logging(observer)
    bridge_logging(observer)
    contain_observers()
    redirect_stdout()
    try:
        return _run(process, config, observer, for_s)
    finally:
        observer.final_flush(_LAST_WORDS_S)


def _run(
    process: Process, config: str | None, observer: StderrObserver, for_s: float | None
) -> ExitCode:
    log = make_logger()
    found = plan_or_complain(config, log)
    if isinstance(found, ExitCode):
        return found
    plan, load = found

    reactor = import_reactor(plan)

    from metrics_agent.assembly import assemble
    from metrics_agent.process.running import run_service

    try:
        agent = assemble(process, reactor, plan, load, observer)
    except OutputError as error:
        return complain(error, log, plan.config.path)
    if for_s is not None:
        reactor.callLater(for_s, agent.request_stop, f"{for_s:g} s are over")
    run_service(reactor, agent)
    return process.exit_status.code
