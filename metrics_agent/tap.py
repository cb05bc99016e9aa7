"""`twistd metrics-agent`: options, and the service that twistd runs.

twistd imports this when the command is asked for; the signal handlers are installed here, before
anything slow is imported.
"""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Any, Final, NoReturn

from metrics_agent.process.boot import Process, boot

PROCESS: Final[Process] = boot()

from twisted.python import usage  # noqa: E402 - the handlers come first

if TYPE_CHECKING:
    from twisted.logger import Logger

    from metrics_agent.agent import Agent
    from metrics_agent.plan import Plan

__all__ = ["CONFIG_HELP", "Options", "makeService"]


CONFIG_HELP: Final = (
    "The configuration; without it metrics-agent.toml or metrics-agent.json is looked for in ./ "
    "and ./config/ (only a file that you own, and never as root or when stdin is a pipe) and in "
    "/etc/metrics-agent/."
)


class Options(usage.Options):
    """Options of the plugin; twistd has its own before it."""

    synopsis = "[options]"
    longdesc = (
        "Collects metrics from devices in supervised modules and writes InfluxDB line protocol to "
        "stdout. Run it in the foreground: twistd -n metrics-agent. SIGHUP reloads the "
        "configuration."
    )
    optParameters = [["config", "c", None, CONFIG_HELP]]  # noqa: RUF012 - as Twisted has it


def makeService(options: Options) -> Agent:
    """Make the agent.

    Raises:
        SystemExit: it cannot be started; the reason is on stderr, the code is 78.
    """
    from twisted.logger import globalLogPublisher

    from metrics_agent.commands.loading import complain, plan_or_complain
    from metrics_agent.commands.reactor import import_reactor
    from metrics_agent.errors import ConfigError
    from metrics_agent.logs.capture import bridge_logging, contain_observers
    from metrics_agent.logs.logger import make_logger
    from metrics_agent.logs.observer import StderrObserver

    twistd: Any = options.parent or {}
    observer = StderrObserver()
    # Before the handlers that are registered already; twistd itself does not wait for the log.
    atexit.register(observer.final_flush)
    # twistd begins to log when it has the service: what prevents that is printed directly.
    log = make_logger(observer=observer)
    found = plan_or_complain(options["config"], log)
    if not isinstance(found, tuple):
        _end(found)
    plan, load = found
    _check_stdout(twistd, plan, log)

    reactor = import_reactor(plan)

    from metrics_agent.assembly import assemble

    log_with = observer if _logs_by_default(twistd, plan) else None
    try:
        agent = assemble(PROCESS, reactor, plan, load, observer, log_with=log_with)
    except ConfigError as error:
        _end(complain(error, log, plan.config.path))
    contain_observers()
    if twistd.get("nodaemon", True):
        bridge_logging(observer)
    else:
        # The log is twistd's. Whoever started the daemon may wait until its stderr is closed, as
        # `$(twistd ...)` and ssh do; twistd itself closes only numbers 0 to 2.
        bridge_logging(observer, to=globalLogPublisher)
        reactor.callWhenRunning(observer.close)
    return agent


def _check_stdout(twistd: Any, plan: Plan, log: Logger) -> None:
    """Refuse to write metrics to the /dev/null that a daemon has for stdout."""
    from metrics_agent.config.output import STDOUT
    from metrics_agent.process.exit import ExitCode

    if twistd.get("nodaemon", True) or plan.config.settings.output != STDOUT:
        return
    log.error(
        "twistd puts itself into the background, where there is no stdout for the metrics: run "
        "`twistd -n metrics-agent`, or set output to a file or an endpoint."
    )
    _end(ExitCode.CONFIG)


def _logs_by_default(twistd: Any, plan: Plan) -> bool:
    """Return whether the log is ours: no other was asked for, and there is a stderr.

    ``--logfile=-`` asks for stdout, and that is for metrics.
    """
    from metrics_agent.config.output import STDOUT

    logfile = twistd.get("logfile")
    to_stdout = logfile == "-" and plan.config.settings.output == STDOUT
    asked = twistd.get("syslog") or twistd.get("logger") or (logfile and not to_stdout)
    return bool(twistd.get("nodaemon", True)) and not asked


def _end(code: int) -> NoReturn:
    raise SystemExit(int(code))
