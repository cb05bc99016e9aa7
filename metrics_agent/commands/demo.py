"""`metrics-agent demo`: the agent at work, with a broker and devices of its own."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, ensureDeferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from metrics_agent.agent import Agent
from metrics_agent.assembly import assemble
from metrics_agent.commands.loading import load_from
from metrics_agent.demo.child import Simulation
from metrics_agent.demo.configuration import TRIGGER_FILE, demo_configuration
from metrics_agent.errors import MetricsAgentError
from metrics_agent.logs.capture import (
    begin_logging,
    bridge_logging,
    contain_observers,
    redirect_stdout,
)
from metrics_agent.logs.logger import make_logger
from metrics_agent.logs.observer import StderrObserver
from metrics_agent.plan import build
from metrics_agent.process.boot import Process
from metrics_agent.process.exit import ExitCode
from metrics_agent.process.running import run_service, use_monotonic_clock

__all__ = ["demo"]


def demo(process: Process, for_s: float | None) -> ExitCode:
    """Run the demo until it is asked to stop.

    Args:
        process: what `boot` made.
        for_s: stop in order after so many seconds; None: run until asked to stop.
    """
    from twisted.internet import reactor

    use_monotonic_clock(reactor)

    observer = StderrObserver()
    begin_logging(observer)
    bridge_logging(observer)
    contain_observers()
    redirect_stdout()
    try:
        with tempfile.TemporaryDirectory(prefix="metrics-agent-demo-") as directory:
            service = DemoService(process, reactor, observer, Path(directory), make_logger())
            if for_s is not None:
                reactor.callLater(for_s, service.request_stop, f"{for_s:g} s are over")
            run_service(reactor, service)
    finally:
        observer.final_flush()
    return process.exit_status.code


class DemoService(Service):
    """The simulation, and the agent once that is ready.

    Args:
        process: signals and exit code.
        reactor: the reactor.
        observer: the log.
        directory: for the configuration, state and the trigger file.
        log: of the demo itself.
    """

    def __init__(
        self, process: Process, reactor: Any, observer: StderrObserver, directory: Path, log: Logger
    ) -> None:
        self._process = process
        self._reactor = reactor
        self._observer = observer
        self._directory = directory
        self._log = log
        self._simulation = Simulation(reactor, log, self._simulation_ended)
        self._agent: Agent | None = None

    def startService(self) -> None:
        """Start the simulation, then the agent."""
        super().startService()
        self._observer.attach(self._reactor)
        self._process.signals.attach(
            self._reactor, lambda name: self.request_stop(f"got {name}"), lambda: None
        )
        self._log.info(
            "Starting a broker, eight devices and a DTU with three inverters, all simulated."
        )
        self._simulation.start().addCallback(self._ready).addErrback(self._failed)

    def request_stop(self, reason: str, code: ExitCode = ExitCode.STOPPED) -> None:
        """Stop all in order."""
        if self._agent is not None:
            self._agent.request_stop(reason, code)
        elif self.running:
            self._process.exit_status.set(code)
            self._reactor.stop()

    def stopService(self) -> Any:
        """Stop the agent, then the simulation."""
        super().stopService()
        self._simulation.ignore_messages()
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        if self._agent is not None:
            await maybeDeferred(self._agent.stopService)
        await self._simulation.stop()

    def _ready(self, ports: tuple[int, int]) -> None:
        if not self.running:
            return
        path = self._directory / "metrics-agent.toml"
        text = demo_configuration(*ports, self._directory)
        path.write_text(text, encoding="utf-8")
        load = partial(load_from, path)
        agent = assemble(self._process, self._reactor, build(load()), load, self._observer)
        self._agent = agent
        self._log.info(
            "Metrics go to stdout, this log to stderr; Ctrl-C ends it. The configuration is "
            "{path}. To see a failure contained: touch {trigger}",
            path=str(path),
            trigger=str(self._directory / TRIGGER_FILE),
        )
        agent.startService()

    def _failed(self, failure: Failure) -> None:
        if isinstance(failure.value, CancelledError):
            return
        if isinstance(failure.value, (MetricsAgentError, OSError)):
            self._log.error("The demo cannot run: {reason}", reason=failure.value)
        else:
            self._log.failure("The demo cannot run", failure)
        self.request_stop("the demo cannot run", ExitCode.FAILED)

    def _simulation_ended(self, sentence: str) -> None:
        self._log.error("{sentence}.", sentence=sentence)
        self.request_stop("a part of the demo is gone", ExitCode.FAILED)
